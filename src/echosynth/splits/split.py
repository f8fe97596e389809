"""Splits without a patient on both sides, and nested training subsets, with the proportions of source and view kept."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from echosynth.common.errors import EchosynthError
from echosynth.common.views import VIEWS
from echosynth.splits.duplicates import group_keys
from echosynth.splits.options import SubsetSize

SPLITS = ("train", "validation", "test")


def _strata(manifest: pd.DataFrame) -> tuple[npt.NDArray[np.int64], int]:
    """Number of the (source, view) of each row, counted in sorted order, and how many there are."""
    codes, names = pd.factorize(manifest["source"] + "\0" + manifest["view"], sort=True)
    return codes.astype(np.int64), len(names)


def _require_views(views: pd.Series, part: str, remedy: str) -> None:
    missing = [view for view in VIEWS if view not in set(views)]
    if missing:
        raise EchosynthError(f"{part} has no image of {', '.join(missing)}; {remedy}")


@dataclass(frozen=True)
class Rule:
    """How one source is split, and why.

    Attributes:
        rule: "official" (the release's own split) or "group" (whole groups, drawn here).
        reason: in words, for the report.
    """

    rule: Literal["official", "group"]
    reason: str


def split_rules(manifest: pd.DataFrame, official: Literal["auto", "always", "never"]) -> dict[str, Rule]:
    """Decide for each source whether the split of its release is used.

    Args:
        manifest: rows with the columns of `echosynth.imagesets.schema.MANIFEST`.
        official: always; never; auto: where the release does not tell which images are of one patient, so that only
        its authors could keep patients apart.

    Returns:
        source -> rule, by name.
    """
    rules = {}
    for source, rows in manifest.groupby("source", sort=True):
        kinds = sorted(set(rows["group_kind"]))
        if official == "never":
            rule = Rule("group", "split.official is never")
        elif not (rows["official_split"] != "").any():
            rule = Rule("group", "the release has no official split")
        elif official == "always":
            rule = Rule("official", "split.official is always")
        elif told := [kind for kind in kinds if kind in ("patient", "study")]:
            most = "" if told == kinds else " for some of them"
            rule = Rule("group", f"the release tells which images are of one {' or '.join(told)}{most}")
        else:
            rule = Rule("official", "the release names no patients, so only its authors could keep them apart")
        rules[str(source)] = rule
    return rules


def _official_votes(
    manifest: pd.DataFrame, members: npt.NDArray[np.int64], count: int, official: Collection[str]
) -> npt.NDArray[np.int64]:
    """Images of each cluster in each official split that is to be used, (clusters, splits)."""
    votes = np.zeros((count, len(SPLITS)), np.int64)
    column = manifest["official_split"] if official else pd.Series("", manifest.index)
    used = manifest["source"].isin(list(official)).to_numpy()
    for index, split in enumerate(SPLITS):
        np.add.at(votes[:, index], members[used & (column == split).to_numpy()], 1)
    return votes


def torn_clusters(manifest: pd.DataFrame, clusters: npt.NDArray[Any], official: Collection[str]) -> int:
    """Number of clusters with images in several official splits; see `split_groups`."""
    names, members = np.unique(clusters, return_inverse=True)
    return int(((_official_votes(manifest, members, len(names), official) > 0).sum(axis=1) > 1).sum())


def split_groups(
    manifest: pd.DataFrame,
    validation: float,
    test: float,
    seed: int,
    clusters: npt.NDArray[Any] | None = None,
    official: Collection[str] = (),
) -> "pd.Series[str]":
    """Assign whole groups (patients, cines, files) to the splits so that every (source, view) is shared out as asked.

    Greedy: groups in random order, the largest first, each to the split where it lessens the misfit most. The misfit
    is the chi-square distance between the images that a split has and should have, over all (source, view): rare ones
    weigh as much as common ones, and small splits fill as fast as large ones.

    A cluster with images in an official split that is to be used goes there first, whole: into the one that holds most
    of these images, and into the training set when several hold as many.

    Args:
        manifest: rows with the columns of `echosynth.imagesets.schema.MANIFEST`; the order of the rows does not matter.
        validation: share of the images, 0 to 1.
        test: share of the images, 0 to 1.
        seed: of the order of groups.
        clusters: (N,) which rows must stay together; groups when None (see
        `echosynth.splits.duplicates.linked_groups`).
        official: sources of which the releases' official splits are used.

    Returns:
        "train", "validation" or "test", indexed by id, in the order of the manifest.

    Raises:
        EchosynthError: the training or the validation set would have no image of some view, or the test set none at
            all. Without a view the test set gives fewer scores (see `echosynth.evaluation.scores.absent`).
    """
    strata, count = _strata(manifest)
    groups, members = np.unique(group_keys(manifest) if clusters is None else clusters, return_inverse=True)
    sizes = np.bincount(members, minlength=len(groups))
    order = np.random.default_rng(seed).permutation(len(groups))
    order = order[np.argsort(-sizes[order], kind="stable")]

    table = np.zeros((len(groups), count))
    np.add.at(table, (members, strata), 1)
    shares = np.array([1 - validation - test, validation, test])
    target = shares[:, None] * table.sum(axis=0)
    votes = _official_votes(manifest, members, len(groups), official)
    most = votes.max(axis=1, keepdims=True)
    chosen = np.where((votes == most).sum(axis=1) > 1, SPLITS.index("train"), votes.argmax(axis=1))
    fixed = most[:, 0] > 0
    filled = np.stack([table[fixed & (chosen == split)].sum(axis=0) for split in range(len(SPLITS))])
    for group in order[~fixed[order]]:
        has = np.flatnonzero(table[group])
        images = table[group, has]
        misfit = images * (2 * (filled[:, has] - target[:, has]) + images) / target[:, has]
        split = int(misfit.sum(axis=1).argmin())
        filled[split, has] += images
        chosen[group] = split
    result = pd.Series(np.array(SPLITS)[chosen[members]], index=manifest["id"].to_numpy(), name="split")
    for split_name in SPLITS:
        views = manifest.loc[(result == split_name).to_numpy(), "view"]
        if split_name != "test" or views.empty:
            _require_views(
                views,
                f"the {split_name} set",
                "add patients with this view or a release that has it (data.train_sources), "
                "or make split.validation and split.test larger",
            )
    return result


def _proportional_order(manifest: pd.DataFrame, seed: int) -> npt.NDArray[np.int64]:
    """An order of the rows of which every beginning keeps the proportions of (source, view).

    The i-th of n images of a stratum, in random order, stands at (i + 1/2) / n; sorting by that is the apportionment
    of Webster and Sainte-Lague. The study rounds by largest remainders, which differs by an image at most but may take
    an image away from a stratum when the subset grows (the Alabama paradox); a divisor method cannot, so that subsets
    nest by themselves.
    """
    strata, count = _strata(manifest)
    by_id = np.argsort(manifest["id"].to_numpy(), kind="stable")
    place = np.zeros(len(manifest))
    for stratum in range(count):
        rows = by_id[strata[by_id] == stratum]
        rows = np.random.default_rng((seed, stratum)).permutation(rows)
        place[rows] = (np.arange(len(rows)) + 0.5) / len(rows)
    return np.lexsort((strata, place))


def nested_subsets(train: pd.DataFrame, sizes: Sequence[SubsetSize], seed: int) -> dict[str, list[str]]:
    """Subsets of the training set, each inside every larger one, with the proportions of source and view kept.

    Images are drawn one by one, as in the study: a patient may have images inside and outside of a subset.

    Args:
        train: manifest rows of the training set.
        sizes: numbers of images, or "all".
        seed: of the choice of images.

    Returns:
        str(size) or "all" -> ids, in the order of `train`.

    Raises:
        EchosynthError: a size is larger than the training set, or a subset would have no image of some view.
    """
    order = _proportional_order(train, seed)
    subsets = {}
    for size in sizes:
        if size != "all" and size > len(train):
            raise EchosynthError(
                f"split.subsets asks for {size} images, but the training set holds {len(train)}; "
                f"take sizes up to {len(train)} or `all`"
            )
        rows = train.iloc[np.sort(order if size == "all" else order[:size])]
        _require_views(rows["view"], f"the subset of {size} in split.subsets", "make it larger")
        subsets[str(size)] = rows["id"].tolist()
    return subsets
