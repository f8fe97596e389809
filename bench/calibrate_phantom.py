"""How hard the phantoms are: real-data arms alone, for several values of `phantom.difficulty`.

    python -m bench.calibrate_phantom 0.7 0.85 1.0

No synthetic image is involved: the difficulty of the demo is set from this table before any generative model is run.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from bench.loading import cache_in
from bench.machine import facts
from echosynth.classifier.network import predict
from echosynth.classifier.train import train
from echosynth.common.files import write_json
from echosynth.config.parameters import Params, load_params
from echosynth.evaluation.scores import evaluate
from echosynth.imagesets.dataset import LabelledImages, read_labelled
from echosynth.imagesets.store import read_image_set
from echosynth.ingest.image_set import ingest
from echosynth.phantom.release import write_all
from echosynth.screening.screen import screen_release
from echosynth.sources.registry import find_source
from echosynth.splits.duplicates import find_duplicates, linked_groups
from echosynth.splits.split import nested_subsets, split_groups, split_rules

RESULTS = Path(__file__).parent / "results" / "calibration.json"


def scores(params: Params, data: LabelledImages, held_out: LabelledImages, seed: int) -> dict[str, Any]:
    """Scores of one classifier trained on real images as they are."""
    network = train(params.classifier, params.arms.architectures[0], seed, data).network
    probabilities = predict(network, held_out.images)
    return evaluate(probabilities, held_out.labels, held_out.groups, held_out.sources)


def reviewed(params: Params, source: str, folder: Path) -> tuple[Path, Path]:
    """Screen the recordings of a source; no decision is made, so that the ingest follows the proposals."""
    screening, decisions = folder / "screening" / source, folder / f"{source}.yaml"
    screen_release(find_source(source), folder / "raw" / source, screening, params)
    decisions.write_text("groups: {}\nrecordings: {}\n", encoding="utf-8")
    return screening, decisions


def divided(params: Params, folders: list[Path]) -> pd.DataFrame:
    """All manifests together with a column `split`, divided as the stage does it."""
    sets = [read_image_set(folder) for folder in folders]
    manifest = pd.concat([item.manifest for item in sets], ignore_index=True)
    settings = params.split
    found = find_duplicates([item.images for item in sets], manifest, settings.near_duplicate)
    rules = split_rules(manifest, settings.official)
    official = [source for source, rule in rules.items() if rule.rule == "official"]
    clusters = linked_groups(manifest, found.pairs)
    split = split_groups(manifest, settings.validation, settings.test, settings.seed, clusters, official)
    return manifest.assign(split=split.to_numpy())


def calibrate(params: Params, folder: Path) -> list[dict[str, Any]]:
    """One row for each subset: means over the seeds."""
    write_all(params.phantom, folder / "raw")
    folders = [folder / source for source in params.data.train_sources]
    for source, out in zip(params.data.train_sources, folders, strict=True):
        ingest(find_source(source), folder / "raw" / source, out, params, reviewed(params, source, folder))
    manifest = divided(params, folders)
    split = manifest.pop("split")
    held_out = read_labelled(folders, manifest.loc[split == "validation", "id"].tolist())
    rows = []
    for size, ids in nested_subsets(manifest[split == "train"], params.split.subsets, params.split.seed).items():
        data = read_labelled(folders, ids)
        runs = [scores(params, data, held_out, seed) for seed in params.classifier.seeds]
        row: dict[str, Any] = {"difficulty": params.phantom.difficulty, "subset": size, "images": len(ids)}
        row |= {f"recall_{view}": float(np.mean([run["recall"][view] for run in runs])) for view in ("A2C", "PSAX")}
        row |= {name: float(np.mean([run[name] for run in runs])) for name in ("macro_auprc", "macro_f1")}
        row["tmed2_macro_auprc"] = float(np.mean([run["by_source"]["tmed2"]["macro_auprc"] for run in runs]))
        rows.append(row)
    return rows


def main() -> None:
    """Print the table and store it under bench/results."""
    base, rows = load_params(), []
    # Decisions are made on the phantoms of one difficulty; of others nobody has looked at a contact sheet.
    base = base.model_copy(update={"review": base.review.model_copy(update={"undecided": "proposal"})})
    for difficulty in map(float, sys.argv[1:]):
        params = base.model_copy(update={"phantom": base.phantom.model_copy(update={"difficulty": difficulty})})
        with TemporaryDirectory() as folder, cache_in(Path(folder)):
            rows += calibrate(params, Path(folder))
        print(pd.DataFrame(rows).round(3).to_string(index=False), flush=True)
    write_json(RESULTS, {"machine": facts(), "seeds": len(base.classifier.seeds), "rows": rows})


if __name__ == "__main__":
    main()
