"""Who is image n of a synthetic set: its view and its source, from counts alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from echosynth.common.errors import EchosynthError
from echosynth.common.views import VIEW_INDEX, VIEWS
from echosynth.diffusion.model import DiffusionCard
from echosynth.diffusion.options import SampleParams, SourceShares, ViewShares, check_guidance, check_sources

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class SetPlan:
    """What each image of a set shows.

    Attributes:
        views: (N,) index of `VIEWS` of image n.
        sources: (N,) index of `source_names`; their number, the null token, where no source is told.
        source_names: the sources that the model was told.
    """

    views: Indices
    sources: Indices
    source_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.views)

    def source(self, number: int) -> str | None:
        """Name the source of image `number`; None where it is not told."""
        return (*self.source_names, None)[self.sources[number]]

    def manifest_row(self, number: int, name: str, size: int) -> dict[str, Any]:
        """Describe image `number` of the set `name`, whose side is `size` pixels, for its manifest."""
        source = self.source(number)
        return {
            "id": f"{name}-{number:06d}",
            "source": f"synthetic-{source}" if source else "synthetic",
            "view": VIEWS[self.views[number]],
            "group": f"synthetic-{number:06d}",
            "group_kind": "none",
            "official_split": "",
            "moment": "",
            "frame": 0,
            "frames": 1,
            "width": size,
            "height": size,
            "synthetic": True,
        }

    def facts(self) -> dict[str, Any]:
        """Count images in all, by view, and by view and source, for the set's metrics.json."""
        table = self.counts()
        by_view = {view: sum(row.values()) for view, row in table.items()}
        return {"images": len(self), "by_view": by_view, "by_view_and_source": table}

    def counts(self) -> dict[str, dict[str, int]]:
        """Count images by view and source ("none" where it is not told), empty ones left out."""
        names = (*self.source_names, "none")
        table = np.zeros((len(VIEWS), len(names)), np.int64)
        np.add.at(table, (self.views, self.sources), 1)
        by_view = {
            view: {name: int(n) for name, n in zip(names, row, strict=True) if n}
            for view, row in zip(VIEWS, table, strict=True)
        }
        return {view: row for view, row in by_view.items() if row}


def apportion(count: int, weights: Sequence[int], first: int = 0) -> list[int]:
    """Split `count` in the proportions of `weights` by largest remainders.

    Args:
        count: what is split, 0 or more.
        weights: not negative, not all 0.
        first: which one is served first where remainders tie; the others follow in order.

    Returns:
        Whole numbers that sum to `count`, each less than 1 from its share.
    """
    total, number = sum(weights), len(weights)
    counts = [count * weight // total for weight in weights]
    by_remainder = sorted(range(number), key=lambda k: (-(count * weights[k] % total), (k - first) % number))
    for k in by_remainder[: count - sum(counts)]:
        counts[k] += 1
    return counts


def interleave(counts: Sequence[int], first: int = 0) -> Indices:
    """Find an order of `counts[k]` times k whose every beginning holds the proportions of the whole.

    Among the first m, k stands for m counts[k] / sum(counts) times with an error of 1 - 1 / (2 K - 2) at most for K
    counts above 0, the smallest bound there is (Tijdeman 1980, The chairman assignment problem). Equal counts take
    turns.

    Args:
        counts: not negative.
        first: which one comes first where several are equally due; the others follow in order.

    Returns:
        (sum(counts),) int64.
    """
    order = np.roll(np.arange(len(counts)), -first)
    order = order[np.asarray(counts, np.int64)[order] > 0]
    wanted = np.asarray(counts, np.int64)[order]
    total, scale = int(wanted.sum()), 2 * len(order) - 2
    if not scale:
        return np.repeat(order, wanted)
    placed, sequence = np.zeros_like(wanted), np.empty(total, np.int64)
    for position in range(total):
        # Times total * scale, so that all of it is whole numbers. Among those that lag enough, the first that would
        # lag too much if it were passed over.
        lag = scale * (wanted * (position + 1) - placed * total)
        due = np.where(lag >= total, ((scale - 1) * total - lag) / wanted, np.inf)
        chosen = int(due.argmin())
        placed[chosen] += 1
        sequence[position] = order[chosen]
    return sequence


Seen = Mapping[str, Mapping[str, int]]  # view -> source -> training images


def _view_counts(known: Seen, count: int | Mapping[str, int], views: ViewShares) -> list[int]:
    """Count the images of each view, checked against what the generator has seen."""
    seen = [sum(known.get(view, {}).values()) for view in VIEWS]
    if isinstance(count, Mapping):
        if unknown := [name for name in count if name not in VIEW_INDEX]:
            raise EchosynthError(f"{unknown[0]} is no view; known are {', '.join(VIEWS)}")
        if wrong := [name for name, number in count.items() if number < 0]:
            raise EchosynthError(f"{count[wrong[0]]} images of {wrong[0]} cannot be made; ask for 0 or more")
        counts = [count.get(view, 0) for view in VIEWS]
    else:
        counts = apportion(max(count, 0), seen if views == "real" else [1] * len(VIEWS))
    if not sum(counts):
        raise EchosynthError("a synthetic set needs at least one image; ask for 1 or more")
    if unseen := [view for view, wanted, images in zip(VIEWS, counts, seen, strict=True) if wanted and not images]:
        raise EchosynthError(
            f"the model has not seen a single training image of {unseen[0]} and cannot make one; train it on a larger "
            "subset (split.subsets), or set sample.views to real, which leaves this view out"
        )
    return counts


def _source_weights(known: Seen, names: Sequence[str], sources: SourceShares | str, view: int) -> list[int]:
    """Weigh the sources, the null token last, within a view."""
    if not names or sources == "none":
        return [*(0 for _ in names), 1]
    if sources == "real":
        return [*(known[VIEWS[view]].get(name, 0) for name in names), 0]
    return [*(int(sources in ("balanced", name)) for name in names), 0]


def make_plan(card: DiffusionCard, options: SampleParams, count: int | Mapping[str, int] | None = None) -> SetPlan:
    """Decide what each image of a diffusion model's set shows; see `plan_set`.

    Args:
        card: of the model.
        options: section `sample`.
        count: as in `plan_set`.

    Raises:
        EchosynthError: the model cannot make these: it has never seen such a view or source, or an image without, or
            cannot be guided so.
    """
    check_guidance(card.diffusion, options)
    check_sources(card.diffusion, card.sources, options.sources)
    return plan_set(card.training_images, card.sources, options, count)


def plan_set(
    known: Seen, names: Sequence[str], options: SampleParams, count: int | Mapping[str, int] | None = None
) -> SetPlan:
    """Decide what each image of a set shows: exact counts, interleaved so that every beginning of the set has about its
    proportions.

    Args:
        known: view -> source -> number of the images that the generator has seen.
        names: the sources that it tells apart, among which is the one that `options` may name.
        options: of it `per_view`; `views`: `balanced` (image n shows view n mod 4) or `real`, in the proportions of the
            training images; and `sources`, within a view: `real` (the proportions of its training images; not told to a
            model that knows no sources), `balanced` (over all sources that the model knows, also where the data has no
            such pair), `none` (not told), or the name of one.
        count: all images, or view -> images, whatever `per_view` (and `views`) says.

    Raises:
        EchosynthError: the generator has never seen such a view, or no image is asked for.
    """
    counts = _view_counts(known, options.per_view * len(VIEWS) if count is None else count, options.views)
    chosen = interleave(counts)
    told = np.empty_like(chosen)
    for view, number in enumerate(counts):
        # In a balanced set each view begins with another source: so the sources take turns over the whole set too.
        first = view % max(1, len(names)) if options.sources == "balanced" else 0
        weights = _source_weights(known, names, options.sources, view) if number else [1]
        told[chosen == view] = interleave(apportion(number, weights, first), first)
    return SetPlan(chosen, told, tuple(names))
