"""Pictures that are the same, or nearly so, in different groups: a patient may hide behind two of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from echosynth.common.arrays import Images
from echosynth.common.progress import progress
from echosynth.imagesets.schema import DUPLICATES, check

REDUCED: Final = 16  # side of the area means that stand for a picture at first
# Area means of near duplicates correlate more than the pictures themselves, as what differs averages out; the slack is
# for a brightness that is cut off at the ends of the grey scale.
SLACK: Final = 0.005
ROUNDING: Final = 1e-4  # of float32 products
BLOCK: Final = 4096  # pictures on each side of a block of products: 64 MiB
PAIRS: Final = 256  # pairs that are compared at full size at once: 50 MiB at 112 pixels

Pairs = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Duplicates:
    """What `find_duplicates` found.

    Attributes:
        pairs: across groups, with the columns of `echosynth.imagesets.schema.DUPLICATES`, sorted by the ids.
        within: number of pairs inside a group, by kind.
        blank: images of one grey level, which are not compared.
    """

    pairs: pd.DataFrame
    within: dict[str, int]
    blank: int


def group_keys(manifest: pd.DataFrame) -> npt.NDArray[Any]:
    """What tells the groups of all sources apart, (N,) str."""
    return (manifest["source"] + "\0" + manifest["group"]).to_numpy(str)


class _Pictures:
    """Several packs as one, in their order."""

    def __init__(self, packs: Sequence[Images]) -> None:
        self.packs = [pack for pack in packs if len(pack)]
        self.starts = np.cumsum([0, *(len(pack) for pack in self.packs)])

    def __iter__(self) -> Iterator[Images]:
        for pack in self.packs:
            yield from pack

    def __getitem__(self, rows: Pairs) -> Images:
        packs = np.searchsorted(self.starts, rows, side="right") - 1
        places = rows - self.starts[packs]
        return np.stack([self.packs[pack][place] for pack, place in zip(packs, places, strict=True)])


def _reduced(pictures: _Pictures, count: int) -> tuple[Vectors, npt.NDArray[np.bool_]]:
    """Area means of every picture with mean 0 and norm 1, (N, n), and which pictures are of one grey level, (N,)."""
    side = min(REDUCED, pictures.packs[0].shape[1]) if count else REDUCED
    vectors = np.zeros((count, side * side), np.float32)
    blank = np.zeros(count, bool)
    for row, picture in enumerate(progress(pictures, count, "looking for duplicates", "images")):
        blank[row] = picture.min() == picture.max()
        small = cv2.resize(np.asarray(picture, np.float32), (side, side), interpolation=cv2.INTER_AREA).ravel()
        small -= small.mean()
        norm = np.linalg.norm(small)
        if norm > 1e-3:  # else all areas have the same mean and only rounding is left
            vectors[row] = small / norm
    return vectors, blank


def _bounding(vectors: Vectors) -> Vectors:
    """A quarter as many numbers for each vector, (N, n / 4 + 1), whose products are no less than those of the vectors.

    With a the projection of a unit vector x on areas of 2 x 2 and r the norm of the rest, x . y is at most
    a_x . a_y + r_x r_y (Cauchy and Schwarz).
    """
    half = round(vectors.shape[1] ** 0.5) // 2
    areas = vectors.reshape(len(vectors), half, 2, half, 2).sum(axis=(2, 4)).reshape(len(vectors), half**2) / 2
    rest = np.sqrt(np.maximum(0, 1 - np.square(areas).sum(axis=1, keepdims=True)))
    return np.concatenate([areas, rest], axis=1, dtype=np.float32)


def _exact(pixels: npt.NDArray[Any], rows: Pairs) -> tuple[Pairs, Pairs]:
    """Each repeated picture with the first of its kind, (P, 2), and the first of every kind, (K,)."""
    _, first, kind = np.unique(pixels[rows], return_index=True, return_inverse=True)
    repeated = np.flatnonzero(first[kind] != np.arange(len(rows)))
    return np.column_stack([rows[first[kind[repeated]]], rows[repeated]]), rows[np.sort(first)]


def _candidates(vectors: Vectors, rows: Pairs, threshold: float) -> Iterator[Pairs]:
    """Pairs (P, 2) of `rows`, the earlier first, of which the product of the vectors is at least `threshold`, by blocks
    of the upper triangle of all products."""
    short = _bounding(vectors[rows])
    starts = range(0, len(rows), BLOCK)
    blocks = [(top, left) for top in starts for left in starts if left >= top]
    for top, left in progress(blocks, len(blocks), "comparing images", "blocks"):
        bound = short[top : top + BLOCK] @ short[left : left + BLOCK].T
        above, beside = np.divmod(np.flatnonzero(bound >= threshold - ROUNDING), bound.shape[1])
        above, beside = above + top, beside + left
        pairs = np.column_stack([rows[above], rows[beside]])[above < beside]
        for start in range(0, len(pairs), BLOCK):
            part = pairs[start : start + BLOCK]
            products = np.einsum("ij,ij->i", vectors[part[:, 0]], vectors[part[:, 1]])
            yield part[products >= threshold]


def _correlations(pictures: _Pictures, pairs: Pairs) -> npt.NDArray[np.float64]:
    """Pearson's correlation of the pixels of each pair, (P,), 0 where one is blank.

    All sums are whole numbers below 2^53 and so exact in float64: the result does not depend on the machine.
    """
    result = np.zeros(len(pairs))
    for start in range(0, len(pairs), PAIRS):
        part = slice(start, start + PAIRS)
        x, y = (pictures[pairs[part, side]].reshape(len(pairs[part]), -1).astype(np.float64) for side in (0, 1))
        n, sum_x, sum_y = x.shape[1], x.sum(axis=1), y.sum(axis=1)
        covariance = n * np.einsum("ij,ij->i", x, y) - sum_x * sum_y
        spread_x = n * np.einsum("ij,ij->i", x, x) - sum_x**2
        spread_y = n * np.einsum("ij,ij->i", y, y) - sum_y**2
        scale = np.sqrt(spread_x) * np.sqrt(spread_y)
        np.divide(covariance, scale, out=result[part], where=scale > 0)
    return result


def find_duplicates(packs: Sequence[Images], manifest: pd.DataFrame, threshold: float | Literal["none"]) -> Duplicates:
    """Find pictures that are equal, or nearly equal, over all image sets.

    Equal pictures have the same hash; each is paired with the first of its kind. Near duplicates are looked for among
    the different pictures: all pairs by the correlation of area means of 16 x 16, then what is left by the correlation
    of all pixels. The correlation does not see brightness and contrast and hardly sees compression and rescaling, but
    it does see a shift by a pixel. A picture of one grey level says nothing about a patient and is left alone.

    Args:
        packs: pictures of each set, (n, S, S) uint8, S even.
        manifest: the rows of all sets, in the same order.
        threshold: least Pearson correlation of near duplicates, 0 to 1; "none": nothing is looked for.
    """
    if threshold == "none":
        return find_duplicates([], manifest[:0], 1)
    pictures = _Pictures(packs)
    vectors, blank = _reduced(pictures, len(manifest))
    # In order of the ids, so that the order of the sets does not matter.
    rows = np.argsort(manifest["id"].to_numpy(str), kind="stable")
    exact, different = _exact(manifest["pixels"].to_numpy(str), rows[~blank[rows]])
    near, values = [np.empty((0, 2), np.int64)], [np.empty(0)]
    for candidates in _candidates(vectors, different, threshold - SLACK):
        correlation = _correlations(pictures, candidates)
        near.append(candidates[correlation >= threshold])
        values.append(correlation[correlation >= threshold])
    pairs = np.concatenate([exact, *near])
    ids, groups, views = manifest["id"].to_numpy(str), group_keys(manifest), manifest["view"].to_numpy(str)
    first, second = pairs.T
    table = pd.DataFrame(
        {
            "first": ids[first],
            "second": ids[second],
            "kind": np.repeat(["exact", "near"], [len(exact), len(pairs) - len(exact)]),
            "correlation": np.concatenate([np.ones(len(exact)), *values]).round(6),
            "same_group": groups[first] == groups[second],
            "same_view": views[first] == views[second],
        }
    )
    inside = table.loc[table["same_group"], "kind"].value_counts()
    across = check(DUPLICATES, table[~table["same_group"]].sort_values(["first", "second"]), "the table of duplicates")
    return Duplicates(across, {kind: int(inside.get(kind, 0)) for kind in ("exact", "near")}, int(blank.sum()))


def linked_groups(manifest: pd.DataFrame, pairs: pd.DataFrame) -> npt.NDArray[Any]:
    """Join groups that share a picture, over any number of steps.

    Args:
        manifest: the images.
        pairs: from `find_duplicates`.

    Returns:
        (N,) the cluster of each row: the key of its first group in sorted order; see `group_keys`.
    """
    keys, group = np.unique(group_keys(manifest), return_inverse=True)
    rows = pd.Index(manifest["id"])
    first, second = (group[rows.get_indexer(pd.Index(pairs[side]))] for side in ("first", "second"))
    links = coo_array((np.ones(len(first), bool), (first, second)), shape=(len(keys), len(keys)))
    count, cluster = connected_components(links, directed=False)
    name = np.full(count, len(keys))
    np.minimum.at(name, cluster, np.arange(len(keys)))
    return keys[name[cluster]][group]
