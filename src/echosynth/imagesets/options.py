"""Options of the images of a set."""

from typing import Literal

Resampling = Literal["area-cubic", "cubic"]
