"""Gaussians of the pixels, one for each view and source: what can be known of images without any training.

Notation: a group's pixels have the mean m, orthonormal directions u_k with variances v_k, and the variance r in all
other directions. Groups lie in a tree: all images, then a view, then a view of one source (or a source whose view is
not told). Each is the posterior mean under a normal-inverse-Wishart prior that stands around its parent and counts as
`PRIOR_IMAGES` images (Gelman et al. 2013, Bayesian Data Analysis, section 3.6): with w = n / (n + PRIOR_IMAGES) for n
images of mean a and covariance S,

    m = w a + (1 - w) m_parent,    C = w S + (1 - w) C_parent + w (1 - w) (a - m_parent) (a - m_parent)^T.

So a group without images is its parent, and one of a few lies between the two.

Fewer images than pixels say nothing about most directions: S has no variance there, and a Gaussian that believes it
knows that every new image lies among the old ones. Therefore a share LOCAL_IMAGES / (n + LOCAL_IMAGES) of S is
localised: its element for two pixels is multiplied by exp(-distance / LOCAL_LENGTH) (covariance tapering: Furrer &
Bengtsson 2007; Houtekamer & Mitchell 2001), which keeps the texture and drops what few images make up between far
pixels. Where pixels are too many for a square matrix of them, only half as many directions as a group has images are
taken from S, and the others share what is left of its variance.
"""

from dataclasses import dataclass, fields
from pathlib import Path

import torch

from echosynth.common.errors import EchosynthError
from echosynth.common.views import VIEWS
from echosynth.common.weights import read_weights, save_weights

Tensor = torch.Tensor
PRIOR_IMAGES = 4.0
LOCAL_IMAGES = 10.0
LOCAL_LENGTH = 4.0  # pixels
# No variance is smaller: 8-bit pixels say no more than the bin that a value lies in, 2/255 wide, and a constant pixel
# is known as well as that.
SMALLEST_VARIANCE = (2 / 255) ** 2 / 12
LARGEST_LOCAL = 2048  # pixels: beyond that many nothing is localised
LARGEST_EXACT = 4096  # beyond that many rows and columns the leading directions come from a randomised factorisation


@dataclass(frozen=True)
class _Moments:
    """One group in float64: mean (D,), directions (K, D), variances (K,), falling, and the rest's variance."""

    mean: Tensor
    directions: Tensor
    variances: Tensor
    rest: float


def _leading(factor: Tensor, square: Tensor | None, most: int) -> tuple[Tensor, Tensor]:
    """Find the leading eigenvectors (K, D) and eigenvalues (K,), falling, of factor^T factor + square for (R, D) and
    (D, D); at most `most`, and none that the smallest variance hides. Without a square matrix none is made where there
    are fewer rows than columns, or many of both."""
    short = min(factor.shape)
    if square is not None or len(factor) >= factor.shape[1] == short <= LARGEST_EXACT:
        whole = factor.T @ factor
        values, columns = torch.linalg.eigh(whole if square is None else whole + square)
        vectors = columns.T
    elif short > LARGEST_EXACT:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            _, scales, right = torch.svd_lowrank(factor, q=min(most + 32, short), niter=4)  # Halko et al. 2011
        values, vectors = scales.square(), right.T
    else:
        values, left = torch.linalg.eigh(factor @ factor.T)
        values = values.clamp(min=SMALLEST_VARIANCE)
        vectors = (left / values.sqrt()).T @ factor
    order = values.argsort(descending=True)[:most]
    order = order[values[order] > SMALLEST_VARIANCE]
    return vectors[order], values[order]


def _moments(mean: Tensor, factor: Tensor, square: Tensor | None, rest: float, most: int) -> _Moments:
    """Bring the covariance factor^T factor + square + rest I into the form of `_Moments`; its trace stays what it
    is."""
    vectors, values = _leading(factor, square, most)
    others = factor.shape[1] - len(values)
    trace = factor.square().sum() + (0 if square is None else square.trace())
    left = float((trace - values.sum()).clamp(min=0)) / others if others else 0.0
    return _Moments(mean, vectors, values + rest, rest + left)


def _localised(centred: Tensor, count: int, shape: torch.Size) -> Tensor:
    """Compute the partly localised covariance (D, D) of `count` images of this shape, from centred^T centred."""
    share = LOCAL_IMAGES / (count + LOCAL_IMAGES)
    places = torch.cartesian_prod(*(torch.arange(side, dtype=torch.float64) for side in shape[-2:]))
    near = torch.exp(-torch.cdist(places, places) / LOCAL_LENGTH).repeat(shape[0], shape[0])
    return centred.T @ centred * (1 - share + share * near)


def _spread(moments: _Moments) -> Tensor:
    """Factor (K, D) what the covariance of a group is above that of its rest."""
    return (moments.variances - moments.rest).clamp(min=0).sqrt()[:, None] * moments.directions


def _posterior(parent: _Moments | None, images: Tensor, most: int) -> _Moments:
    """Estimate a group from its images (n, C, H, W), see the head of this module; without a parent from them alone."""
    rows, count = images.flatten(1).double(), len(images)
    weight, own = 1.0 if parent is None else count / (count + PRIOR_IMAGES), rows.mean(0)
    centred = (rows - own) / count**0.5
    if rows.shape[1] <= LARGEST_LOCAL:
        parts, square, rest = [centred[:0]], weight * _localised(centred, count, images.shape[1:]), 0.0
    else:
        few = _moments(own, centred, None, 0.0, max(1, min(most, count // 2)))
        parts, square, rest = [weight**0.5 * _spread(few)], None, weight * few.rest
    if parent is not None:
        apart = own - parent.mean
        parts += [(weight * (1 - weight)) ** 0.5 * apart[None], (1 - weight) ** 0.5 * _spread(parent)]
        rest, own = rest + (1 - weight) * parent.rest, parent.mean + weight * apart
    return _moments(own, torch.cat(parts), square, rest, most)


@dataclass(frozen=True)
class PixelGaussian:
    """A Gaussian of the pixels for each view and source, and for each of them not told. All float32.

    Attributes:
        rows: (V + 1, S + 1) int64, for a view and a source the row of the tensors below; the last view and the last
            source stand for "not told". Groups without images of their own share their parent's row.
        mean: (R, C, H, W).
        directions: (R, K, C H W), orthonormal; zeros where a group has fewer.
        variances: (R, K), falling; of the rest where a group has fewer.
        rest: (R,), variance in all other directions, above 0.
    """

    rows: Tensor
    mean: Tensor
    directions: Tensor
    variances: Tensor
    rest: Tensor

    @classmethod
    def fit(cls, images: Tensor, views: Tensor, sources: Tensor, source_count: int, directions: int) -> "PixelGaussian":
        """Estimate it, in float64.

        Time grows with D^3 for D pixels up to `LARGEST_LOCAL`, with min(n, D)^3 for n images up to `LARGEST_EXACT`, and
        linearly beyond.

        Args:
            images: (N, C, H, W) in [-1, 1], at least one.
            views: (N,) indices of `VIEWS`.
            sources: (N,) indices below `source_count`; of no account where that is 0.
            source_count: S, the number of sources that can be told.
            directions: most directions that are kept of a group, 1 or more.
        """
        null = len(VIEWS)
        found = [_posterior(None, images, directions)]
        rows = torch.zeros(null + 1, source_count + 1, dtype=torch.int64)

        def add(parent: int, mask: Tensor) -> int:
            same = mask.sum() == (len(mask) if parent == 0 else members[parent])
            if not mask.any() or same:  # as its parent: nothing, or the very same images
                return parent
            members[len(found)] = int(mask.sum())
            found.append(_posterior(found[parent], images[mask], directions))
            return len(found) - 1

        members: dict[int, int] = {}
        for view in range(null + 1):
            told = views == view if view < null else torch.ones_like(views, dtype=torch.bool)
            rows[view, source_count] = add(0, told) if view < null else 0
            for source in range(source_count):
                rows[view, source] = add(int(rows[view, source_count]), told & (sources == source))
        return cls(rows, *_stacked(found, images.shape[1:]))

    @classmethod
    def load(cls, path: Path) -> "PixelGaussian":
        """Read what `save` wrote.

        Raises:
            EchosynthError: the file is missing, torn, or holds something else.
        """
        tensors = read_weights(path)
        if tensors.keys() != {field.name for field in fields(cls)}:
            raise EchosynthError(f"{path} holds no statistics of pixels; make the model anew with `dvc repro`")
        return cls(**tensors)

    def save(self, path: Path) -> None:
        """Write all tensors as safetensors.

        Raises:
            EchosynthError: the file cannot be written.
        """
        save_weights(vars(self), path)

    def to(self, device: torch.device) -> "PixelGaussian":
        """Copy it to a device."""
        return PixelGaussian(**{name: tensor.to(device) for name, tensor in vars(self).items()})

    def group(self, views: Tensor, sources: Tensor) -> Tensor:
        """Find the rows (B,) of these views and sources (B,); the number of views or of sources stands for "not
        told"."""
        return self.rows[views, sources]

    def sample(self, views: Tensor, sources: Tensor, noise: Tensor) -> Tensor:
        """Turn standard normal noise (B, C, H, W) into images of these views and sources (B,), which may lie somewhat
        outside [-1, 1]."""
        group = self.group(views, sources)
        scale, rest = self.variances[group].sqrt(), self.rest[group].sqrt()
        return self.mean[group] + self._stretched(noise, group, scale, rest)

    def posterior_mean(self, xt: Tensor, alpha: Tensor, sigma: Tensor, group: Tensor) -> Tensor:
        """Compute E[x_0 | x_t] of images of the Gaussian: the Wiener filter.

        Along a direction of variance v it is m + alpha v / (alpha^2 v + sigma^2) (x_t - alpha m).

        Args:
            xt: (B, C, H, W) = alpha x_0 + sigma eps.
            alpha: (B,).
            sigma: (B,), not 0 where alpha is.
            group: (B,) rows, see `group`.
        """
        a, s = alpha[:, None], sigma[:, None]
        gain = a * self.variances[group] / (a**2 * self.variances[group] + s**2)
        rest = alpha * self.rest[group] / (alpha**2 * self.rest[group] + sigma**2)
        mean = self.mean[group]
        return mean + self._stretched(xt - alpha.view(-1, 1, 1, 1) * mean, group, gain, rest)

    def residual_deviation(self, alpha: Tensor, sigma: Tensor, group: Tensor) -> Tensor:
        """Compute the standard deviation (B,) of x_0 around `posterior_mean`, root mean square over the pixels: along
        a direction its variance is v sigma^2 / (alpha^2 v + sigma^2). Arguments as there."""

        def left(variance: Tensor, a: Tensor, s: Tensor) -> Tensor:
            return variance * s**2 / (a**2 * variance + s**2)

        along = left(self.variances[group], alpha[:, None], sigma[:, None]).sum(1)
        others = self._others * left(self.rest[group], alpha, sigma)
        return ((along + others) / self.mean[0].numel()).sqrt()

    def deviation(self, alpha: Tensor, sigma: Tensor, group: Tensor) -> Tensor:
        """Compute the standard deviation (B,) of x_t around alpha m, root mean square over the pixels."""
        total = self.variances[group].sum(1) + self._others * self.rest[group]
        return (alpha**2 * total / self.mean[0].numel() + sigma**2).sqrt()

    @property
    def _others(self) -> int:
        """Number of directions that are not among those kept."""
        return self.mean[0].numel() - self.directions.shape[1]

    def _stretched(self, x: Tensor, group: Tensor, along: Tensor, rest: Tensor) -> Tensor:
        """Multiply x (B, C, H, W) along each direction by `along` (B, K), and in all others by `rest` (B,).

        Each group is computed for the whole batch: so the rounding of an image does not depend on which others there
        are. A GPU, which would have to wait to know which groups are there, computes all of them.
        """
        flat, factor = x.flatten(1), along - rest[:, None]
        out = rest[:, None] * flat
        present = group.unique().tolist() if group.device.type == "cpu" else range(len(self.rest))
        for row in present:
            part = (flat @ self.directions[row].T * factor) @ self.directions[row]
            out = torch.where((group == row)[:, None], rest[:, None] * flat + part, out)
        return out.view_as(x)


def _stacked(found: list[_Moments], shape: torch.Size) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Bring groups with different numbers of directions into common tensors: see `PixelGaussian`."""
    most = max(len(one.variances) for one in found)
    rest = torch.tensor([max(one.rest, SMALLEST_VARIANCE) for one in found], dtype=torch.float64)
    directions = torch.zeros(len(found), most, shape.numel())
    variances = rest[:, None].repeat(1, most)
    for row, one in enumerate(found):
        directions[row, : len(one.variances)] = one.directions.float()
        variances[row, : len(one.variances)] = one.variances.clamp(min=SMALLEST_VARIANCE)
    mean = torch.stack([one.mean for one in found]).view(-1, *shape)
    return mean.float(), directions, variances.float(), rest.float()
