"""Divide the four-class set by patient and choose the nested subsets."""

import sys

import pandas as pd

from echosynth import paths
from echosynth.config import Params
from echosynth.files import atomic_folder, write_json
from echosynth.images.split import nested_subsets, split_groups
from echosynth.images.store import read_manifest
from echosynth.stages import stage
from echosynth.views import VIEWS


def counts(manifest: pd.DataFrame, column: str, names: list[str]) -> dict[str, int]:
    """Number of rows for each of `names`, zeros included."""
    found = manifest[column].value_counts()
    return {name: int(found.get(name, 0)) for name in names}


@stage
def main(params: Params) -> None:
    """Read the manifests under data/sources, write data/split."""
    settings, train_sources = params.split, [str(source) for source in params.data.train_sources]
    manifest = pd.concat([read_manifest(paths.SOURCES / source) for source in train_sources], ignore_index=True)
    manifest["split"] = manifest["id"].map(split_groups(manifest, settings.validation, settings.test, settings.seed))
    parts = {name: manifest[manifest["split"] == name] for name in ("train", "validation", "test")}
    subsets = nested_subsets(parts["train"], settings.subsets, settings.seed)
    views = list(VIEWS)
    chosen = {name: parts["train"][parts["train"]["id"].isin(set(ids))] for name, ids in subsets.items()}
    metrics = {
        "by_source": {name: counts(part, "source", train_sources) for name, part in parts.items()},
        "by_view": {name: counts(part, "view", views) for name, part in parts.items()},
        "groups": {name: int(part["group"].nunique()) for name, part in parts.items()},
        "subsets": {
            name: {
                "images": len(part),
                "by_view": counts(part, "view", views),
                "by_source": counts(part, "source", train_sources),
            }
            for name, part in chosen.items()
        },
    }
    with atomic_folder(paths.SPLIT) as folder:
        manifest[["id", "source", "split"]].to_csv(folder / paths.ASSIGNMENT.name, index=False, lineterminator="\n")
        (folder / "subsets").mkdir()
        for name, ids in subsets.items():
            pd.DataFrame({"id": ids}).to_csv(folder / "subsets" / f"{name}.csv", index=False, lineterminator="\n")
        write_json(folder / "metrics.json", metrics)
    print(f"split: {metrics['by_view']}", file=sys.stderr)


if __name__ == "__main__":
    main()
