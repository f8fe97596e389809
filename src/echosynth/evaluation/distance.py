"""One yardstick for many sets: distances to the same real images on the same kinds of features."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from echosynth.evaluation.fidelity import (
    Ints,
    fidelity,
    fidelity_to_all,
    matched_counts,
    matched_draw,
    mixture_counts,
)
from echosynth.evaluation.frechet import Features, frechet_distance
from echosynth.imagesets.dataset import LabelledImages
from echosynth.imagesets.store import Images

Extract = Callable[[Images], Features]


class Yardstick:
    """Real images, whose features are computed once.

    Args:
        reference: real images that sets are compared with; their mixture of views is that of every comparison.
        other: further real images of the same views: what they reach is the floor.
        kinds: name of the features -> from images (N, S, S) uint8 to (N, D).
        repeats: draws behind a distance; see `echosynth.evaluation.fidelity.fidelity`.
        seed: of the draws.
        whole: compare with all of the reference, however many images a set has; otherwise with as many.
    """

    def __init__(
        self,
        reference: LabelledImages,
        other: LabelledImages,
        kinds: Mapping[str, Extract],
        repeats: int,
        seed: int,
        whole: bool = False,
    ) -> None:
        self.reference, self.other = reference.labels, other.labels
        self._kinds, self._repeats, self._seed, self._whole = dict(kinds), repeats, seed, whole
        self._real = {name: (kind(reference.images), kind(other.images)) for name, kind in kinds.items()}

    def counts(self, count: int) -> dict[int, int]:
        """View -> images of a set of `count` in the reference's mixture. Where all sides of a distance are of one size,
        they are fewer if a real set holds fewer."""
        if self._whole:
            return mixture_counts(self.reference, count)
        return matched_counts([self.reference, self.other], count)

    def distances(self, images: Images, labels: Ints, count: int) -> dict[str, Any]:
        """Distances of a set at `count` images, fewer where there are fewer.

        Args:
            images: (N, S, S) uint8.
            labels: (N,) views.
            count: see `fidelity` and, for all of the reference, `fidelity_to_all` of `echosynth.evaluation.fidelity`.

        Returns:
            count, real_count and floor_count: images of the set, of the reference and behind the floor; and for each
            kind of features the distances.
        """
        compare = fidelity_to_all if self._whole else fidelity
        found: dict[str, Any] = {}
        sizes: dict[str, int] = {}
        for name, (reference, other) in self._real.items():
            own = compare(
                self._kinds[name](images),
                labels,
                reference,
                self.reference,
                other,
                self.other,
                count,
                self._repeats,
                self._seed,
            )
            count_found = own.pop("count")
            sizes = {"count": count_found} | {key: own.pop(key, count_found) for key in ("real_count", "floor_count")}
            found[name] = own
        return {**sizes, **found}

    def growing(self, images: Images, sizes: Sequence[int], most: int) -> dict[str, Any]:
        """Distance of the first n images of a set to one fixed set of real images, by n.

        Args:
            images: (N, S, S) uint8, every beginning of which has about the reference's mixture of views.
            sizes: numbers n, none above N.
            most: most real images in the fixed set, unless it is all of the reference.

        Returns:
            real: size of the fixed set; self: kind -> distance of the whole set to itself, 0 but for rounding; points:
            for each n its count, kind -> distance, and `floor`: the same for further real images, or None where there
            are fewer than n.
        """
        rng = np.random.default_rng((self._seed, 0))
        everything = len(self.reference) + len(self.other)
        if self._whole:
            fixed = np.arange(len(self.reference))
            available = sum(mixture_counts(self.reference, everything, self.other).values())
        else:
            fixed = matched_draw(self.reference, matched_counts([self.reference], most), rng)
            available = sum(self.counts(everything).values())
        floors = {n: matched_draw(self.other, self.counts(n), rng) for n in sizes if n <= available}
        points: list[dict[str, Any]] = [{"count": n, "floor": {} if n in floors else None} for n in sizes]
        itself = {}
        for name, (reference, other) in self._real.items():
            features, real = self._kinds[name](images), reference[fixed]
            itself[name] = frechet_distance(features, features)
            for n, point in zip(sizes, points, strict=True):
                point[name] = frechet_distance(features[:n], real)
                if n in floors:
                    point["floor"] |= {"count": len(floors[n]), name: frechet_distance(other[floors[n]], real)}
        return {"real": len(fixed), "self": itself, "points": points}
