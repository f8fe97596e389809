"""What the baselines draw: images from the pixel Gaussian of a group of images, and mixtures of them.

Image n depends on the group, the seed and n alone.
"""

import numpy as np
import numpy.typing as npt

from echosynth.common.arrays import Images
from echosynth.imagesets.prepare import grey_levels

Numbers = npt.NDArray[np.int64]
AT_A_TIME = 64  # images


def pixel_gaussian(group: Images, numbers: Numbers, seed: int) -> Images:
    """Draw from the Gaussian with the mean and the unbiased covariance of the group's pixels, clipped to grey values.

    With z of independent standard normals, one for each image x_i of the group, m + sum_i z_i (x_i - m) / sqrt(N - 1)
    has exactly that mean and that covariance: no matrix is formed or decomposed, however many pixels there are.

    Args:
        group: (N, S, S) uint8; of a group of one image every draw is that image.
        numbers: (M,) numbers n of the images to be drawn.
        seed: of the draws.

    Returns:
        (M, S, S) uint8.
    """
    flat = group.reshape(len(group), -1).astype(np.float64)
    mean = flat.mean(0)
    flat -= mean
    made = np.empty((len(numbers), *group.shape[1:]), np.uint8)
    for first in range(0, len(numbers), AT_A_TIME):
        some = numbers[first : first + AT_A_TIME]
        z = np.stack([np.random.default_rng((seed, n)).standard_normal(len(group)) for n in some])
        drawn = mean + z @ flat / np.sqrt(max(1, len(group) - 1))
        made[first : first + AT_A_TIME] = grey_levels(drawn).reshape(len(some), *group.shape[1:])
    return made


def mixtures(group: Images, numbers: Numbers, seed: int, alpha: float) -> Images:
    """Draw convex mixtures of two images of the group, l x_i + (1 - l) x_j with l from Beta(alpha, alpha) (mixup: Zhang
    et al. 2018, eq. 1). The two show one view, so that the label needs no mixing.

    Args:
        group: (N, S, S) uint8; of a group of one image every draw is that image.
        numbers: (M,) numbers n of the images to be drawn.
        seed: of the draws.
        alpha: above 0; small: nearly the images themselves, large: nearly their mean.

    Returns:
        (M, S, S) uint8.
    """
    made = np.empty((len(numbers), *group.shape[1:]), np.uint8)
    for place, number in enumerate(numbers):
        rng = np.random.default_rng((seed, number))
        one, other = rng.choice(len(group), 2, replace=len(group) < 2)
        share = rng.beta(alpha, alpha)
        made[place] = grey_levels(share * group[one] + (1 - share) * group[other])
    return made
