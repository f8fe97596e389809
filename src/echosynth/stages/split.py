"""Divide the four-class set by patient and choose the nested subsets."""

import sys
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from echosynth.common import paths
from echosynth.common.files import atomic_folder, write_json
from echosynth.common.views import VIEWS
from echosynth.config.parameters import Params
from echosynth.imagesets.schema import ASSIGNMENT, MANIFEST, SUBSET, check
from echosynth.imagesets.store import read_image_set
from echosynth.splits.duplicates import Duplicates, find_duplicates, group_keys, linked_groups
from echosynth.splits.split import SPLITS, nested_subsets, split_groups, split_rules, torn_clusters
from echosynth.stages import stage


def counts(rows: pd.DataFrame, column: str, names: list[str]) -> dict[str, int]:
    """Number of rows for each of `names`, zeros included."""
    found = rows[column].value_counts()
    return {name: int(found.get(name, 0)) for name in names}


def duplicate_counts(
    manifest: pd.DataFrame, found: Duplicates, clusters: npt.NDArray[Any], official: list[str]
) -> dict[str, Any]:
    """How many pictures are duplicates, and what they did to the split."""
    across = counts(found.pairs, "kind", ["exact", "near"])
    groups = pd.Series(group_keys(manifest)).groupby(clusters).nunique()
    return {
        **across,
        "other_view": int((~found.pairs["same_view"]).sum()),
        "within_groups": found.within,
        "blank": found.blank,
        "linked_groups": int(groups[groups > 1].sum()),
        "clusters": int((groups > 1).sum()),
        "largest_cluster": int(groups.max()),
        "torn_clusters": torn_clusters(manifest, clusters, official),
    }


def contradictions(manifest: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Which pictures are equal to one with another view: nobody can tell which label is right, so none is used."""
    return (manifest.groupby("pixels")["view"].transform("nunique") > 1).to_numpy()


@stage
def main(params: Params) -> None:
    """Read the image sets under data/sources, write data/split."""
    settings, train_sources = params.split, [str(source) for source in params.data.train_sources]
    sets = [read_image_set(paths.SOURCES / source) for source in train_sources]
    manifest = pd.concat([item.manifest for item in sets], ignore_index=True)
    manifest = check(MANIFEST, manifest, f"{paths.SOURCES}: all manifests together")
    images, contradictory = [item.images for item in sets], contradictions(manifest)
    if contradictory.any():
        ends = np.cumsum([len(item) for item in images])[:-1]
        parts_kept = np.split(~contradictory, ends)
        images = [item[keep] for item, keep in zip(images, parts_kept, strict=True)]
        manifest = manifest[~contradictory].reset_index(drop=True)
    found = find_duplicates(images, manifest, settings.near_duplicate)
    clusters = linked_groups(manifest, found.pairs)
    rules = split_rules(manifest, settings.official)
    official = [source for source, rule in rules.items() if rule.rule == "official"]
    split = split_groups(manifest, settings.validation, settings.test, settings.seed, clusters, official)
    manifest["split"] = split.to_numpy()
    parts = {name: manifest[manifest["split"] == name] for name in SPLITS}
    subsets = nested_subsets(parts["train"], settings.subsets, settings.seed)
    views, twice = list(VIEWS), duplicate_counts(manifest, found, clusters, official)
    chosen = {name: parts["train"][parts["train"]["id"].isin(set(ids))] for name, ids in subsets.items()}
    metrics = {
        "by_source": {name: counts(part, "source", train_sources) for name, part in parts.items()},
        "by_view": {name: counts(part, "view", views) for name, part in parts.items()},
        "groups": {name: len(np.unique(group_keys(part))) for name, part in parts.items()},
        "subsets": {
            name: {
                "images": len(part),
                "by_view": counts(part, "view", views),
                "by_source": counts(part, "source", train_sources),
            }
            for name, part in chosen.items()
        },
        "rules": {source: asdict(rule) for source, rule in rules.items()},
        "duplicates": twice | {"contradictory": int(contradictory.sum())},
    }
    assignment = check(ASSIGNMENT, manifest[["id", "source", "split"]], str(paths.ASSIGNMENT))
    with atomic_folder(paths.SPLIT) as folder:
        assignment.to_csv(folder / paths.ASSIGNMENT.name, index=False, lineterminator="\n")
        (folder / "subsets").mkdir()
        for name, ids in subsets.items():
            table = check(SUBSET, pd.DataFrame({"id": ids}), str(paths.subset_file(name)))
            table.to_csv(folder / "subsets" / f"{name}.csv", index=False, lineterminator="\n")
        found.pairs.to_csv(folder / "duplicates.csv", index=False, lineterminator="\n")
        write_json(folder / "metrics.json", metrics)
    print(
        f"split: {twice['exact']} exact and {twice['near']} near duplicates across groups; {twice['linked_groups']} "
        f"groups in {twice['clusters']} clusters stay together, {twice['torn_clusters']} across official splits",
        file=sys.stderr,
    )
    if contradictory.any():
        print(
            f"split: {contradictory.sum()} images are in no split, since equal ones have another view", file=sys.stderr
        )
    if lacking := [view for view, held in counts(parts["test"], "view", views).items() if not held]:
        print(
            f"split: the test set has no image of {', '.join(lacking)}, so that scores which need one will be absent; "
            "add patients with this view, or make split.test larger",
            file=sys.stderr,
        )
    print(f"split: {metrics['by_view']}", file=sys.stderr)


if __name__ == "__main__":
    main()
