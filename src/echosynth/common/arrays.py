"""Types of arrays that several rooms speak of."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Image: TypeAlias = npt.NDArray[np.uint8]  # (H, W) grey or (H, W, 3) RGB: a frame, or what is made of it
Images: TypeAlias = npt.NDArray[np.uint8]  # several of one size, along a first axis
