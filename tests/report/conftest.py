"""A small fake pipeline: every file that the report reads, with random but plausible numbers."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from echosynth.common import paths
from echosynth.common.files import read_json, write_json
from echosynth.common.views import RARE_VIEWS, VIEWS
from echosynth.common.yaml12 import read_yaml
from echosynth.config.parameters import Params, parse_params
from echosynth.imagesets.store import write_image_set
from echosynth.report.study.inputs import Inputs, read_inputs
from echosynth.report.study.page import render
from echosynth.sources.registry import find_source

ROOT = Path(__file__).parents[2]
SUBSETS = {"150": 150, "500": 500, "all": 1556}
ARMS = ("real", "oversampled", "synthetic", "mixed", "gaussian", "mixup")
GENERATORS = ("diffusion", "gaussian", "mixup")
SEEDS = (0, 1)
COUNTS = {"A2C": 17, "A4C": 73, "PLAX": 90, "PSAX": 14}
SIDE = 32


def _picture(rng: np.random.Generator, view: str) -> np.ndarray:
    """A sector with a blob whose place depends on the view."""
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    sector = np.hypot(x - 0.5, y) < 0.95
    sector &= np.abs(np.arctan2(x - 0.5, y + 0.02)) < 0.7
    spot = np.hypot(x - 0.3 - 0.13 * VIEWS.index(view), y - 0.55) < 0.14
    picture = sector * (110 + 40 * rng.standard_normal((SIDE, SIDE)) - 80 * spot)
    return np.clip(picture, 0, 255).astype(np.uint8)


def _manifest(ids: list[str], source: str, views: list[str], synthetic: bool) -> pd.DataFrame:
    rows: dict[str, Any] = {"id": ids, "source": source, "view": views, "group": [name[-12:] for name in ids]}
    rows |= {"group_kind": "none" if synthetic else "patient", "official_split": "", "moment": ""}
    return pd.DataFrame(rows | {"frame": 0, "frames": 1, "width": 640, "height": 480, "synthetic": synthetic})


def _sources(params: Params, rng: np.random.Generator) -> None:
    rows = []
    for source in params.data.train_sources:
        views = [view for view in find_source(source).views for _ in range(20)]
        ids = [f"{source}-{rng.integers(16**12):012x}" for _ in views]
        images = [_picture(rng, view) for view in views]
        write_image_set(paths.SOURCES / source, images, _manifest(ids, source, views, False))
        rows += [{"id": name, "source": source, "split": "train"} for name in ids]
    paths.subset_file("150").parent.mkdir(parents=True)
    table = pd.DataFrame(rows)
    table.to_csv(paths.ASSIGNMENT, index=False)
    for subset in SUBSETS:
        table.loc[table["split"] == "train", ["id"]].to_csv(paths.subset_file(subset), index=False)


def _split(params: Params) -> None:
    views = {"train": {"A2C": 138, "A4C": 582, "PLAX": 728, "PSAX": 108}, "validation": COUNTS, "test": COUNTS}
    sources = {"train": dict(zip(params.data.train_sources, (401, 447, 708), strict=True))}
    sources |= {
        split: dict(zip(params.data.train_sources, (50, 56, 88), strict=True)) for split in ("validation", "test")
    }
    subsets = {
        name: {
            "images": size,
            "by_view": {view: round(count * size / 1556) for view, count in views["train"].items()},
            "by_source": {source: round(count * size / 1556) for source, count in sources["train"].items()},
        }
        for name, size in SUBSETS.items()
    }
    metrics = {"by_source": sources, "by_view": views, "groups": {"train": 900}, "subsets": subsets}
    write_json(paths.SPLIT / "metrics.json", metrics)


def _diffusion(rng: np.random.Generator) -> None:
    for index, (subset, size) in enumerate(SUBSETS.items()):
        steps = np.arange(20, 801, 20)
        loss = 0.05 + 0.5 * np.exp(-steps / 120) + 0.004 * rng.random(len(steps))
        held = np.where(steps % 200 == 0, loss * (1.1 + 0.2 / (index + 1)), np.nan)
        curve = pd.DataFrame({"step": steps, "loss": loss, "learning_rate": 1e-3, "validation_loss": held})
        facts = {"subset": subset, "images": size, "by_view": dict.fromkeys(VIEWS, size // 4), "steps": 800}
        losses = {"loss": loss[-1], "validation_loss": held[-1], "bits_per_dimension": 4.2}
        chosen = {"step": 600, "ema_decay": 0.99, "kernel": 0.048}
        write_json(paths.DIFFUSION / subset / "metrics.json", facts | {"parameters": 2_345_678} | losses | chosen)
        rows = [(step, decay, 0.05 + abs(step - 600) / 5000) for step in range(200, 801, 200) for decay in (0.97, 0.99)]
        snapshots = pd.DataFrame(rows, columns=["step", "ema_decay", "kernel"])
        snapshots.to_csv(paths.DIFFUSION / subset / "snapshots.csv", index=False)
        curve.to_csv(paths.DIFFUSION / subset / "curve.csv", index=False)
        for place, generator in enumerate(GENERATORS):
            _set(rng, generator, subset, 41.25 - 9 * index - place)


def _set(rng: np.random.Generator, generator: str, subset: str, frechet: float) -> None:
    """The synthetic set of a generator, at this distance."""
    views = [VIEWS[number % 4] for number in range(40)]
    ids = [f"synthetic-{generator}-{subset}-{number:06d}" for number in range(40)]
    images = [_picture(rng, view) for view in views]
    write_image_set(paths.synthetic_set(generator, subset), images, _manifest(ids, "synthetic", views, True))
    echo = {"frechet": frechet, "frechet_sd": 1.1, "kernel": 0.031, "kernel_sd": 0.004}
    echo |= {"floor_frechet": 12.5, "floor_frechet_sd": 0.8, "floor_kernel": -0.0004, "floor_kernel_sd": 0.003}
    fidelity = {"subset": subset, "generator": generator, "count": 194, "echo": echo, "inception": None}
    fidelity |= {"privacy": {"near_copies": 0.023, "quantile": 0.01}}
    missing = "No Inception distances: the weights are not there."
    fidelity |= {"imagenet": echo | {"frechet": 7 * frechet}, "imagenet_architecture": "tf_efficientnet_lite0"}
    fidelity |= {"inception_missing": missing, "imagenet_missing": None}
    write_json(paths.fidelity_report(generator, subset) / "metrics.json", fidelity)


def _by_source(level: float) -> dict[str, Any]:
    several = {
        "count": 88,
        "accuracy": level,
        "macro_auprc": level,
        "macro_f1": level,
        "recall": dict.fromkeys(VIEWS, level),
    }
    single = {"macro_auprc": None, "macro_f1": None}
    return {
        "echonet-dynamic": {"count": 50, "accuracy": 0.97} | single | {"recall": dict.fromkeys(VIEWS) | {"A4C": 0.97}},
        "echonet-lvh": {"count": 56, "accuracy": 0.98} | single | {"recall": dict.fromkeys(VIEWS) | {"PLAX": 0.98}},
        "tmed2": several,
    }


def _evaluation(
    recall: dict[str, float | None], counts: dict[str, int], level: float, by_source: dict[str, Any]
) -> dict[str, Any]:
    matrix = np.zeros((4, 4), int)
    for i, view in enumerate(VIEWS):
        hits = round((recall[view] or 0) * counts.get(view, 0))
        matrix[i, i], matrix[i, (i + 1) % 4] = hits, counts.get(view, 0) - hits
    return {
        "count": int(matrix.sum()),
        "loss": 1.2 - level,
        "accuracy": float(np.trace(matrix) / matrix.sum()),
        "macro_auprc": level,
        "macro_f1": level - 0.03,
        "auprc": {view: None if recall[view] is None else level for view in VIEWS},
        "recall": recall,
        "confusion": matrix.tolist(),
        "confusion_normalised": (matrix / np.maximum(matrix.sum(1, keepdims=True), 1)).round(6).tolist(),
        "by_source": by_source,
        "interval": {
            "macro_auprc": [level - 0.04, level + 0.03],
            "macro_f1": [level - 0.08, level + 0.02],
            "recall": {
                view: [None, None] if value is None else [max(0, value - 0.15), min(1, value + 0.14)]
                for view, value in recall.items()
            },
        },
    }


def _comparison(rng: np.random.Generator) -> dict[str, Any]:
    runs, cells = [], []
    gain = {"real": 0.0, "oversampled": 0.22, "synthetic": 0.34, "mixed": 0.37, "gaussian": 0.3, "mixup": 0.2}
    for index, (subset, size) in enumerate(SUBSETS.items()):
        for arm in ARMS:
            better = gain[arm] / (1 + 2.2 * index)
            extra = {"real": 0, "oversampled": 2 * size - size}.get(arm, 1500)
            facts = {"arm": arm, "subset": subset, "real_images": size, "architecture": "resnet18", "steps": 300}
            facts |= {"images": extra if arm in ("synthetic", "gaussian", "mixup") else size + extra}
            facts |= {"synthetic": 0 if arm in ("real", "oversampled") else extra}
            own = []
            for seed in SEEDS:
                noise = 0.04 * rng.random(5)
                level = float(0.62 + 0.11 * index + 0.5 * better + noise[4])
                recall = {view: float(0.9 + noise[i]) for i, view in enumerate(VIEWS)}
                recall |= {view: float(0.08 + 0.3 * index + better + noise[i]) for i, view in enumerate(RARE_VIEWS)}
                scores = {
                    "macro_auprc": level,
                    "macro_f1": level - 0.03,
                    "loss": 1.2 - level,
                    "accuracy": 0.8 + 0.1 * level,
                }
                tmed2 = {"macro_auprc": level - 0.02, "macro_f1": level - 0.06}
                own.append(facts | {"seed": seed} | scores | {"recall": recall, "tmed2": tmed2})
            recall = {view: float(np.mean([run["recall"][view] for run in own])) for view in VIEWS}
            level = float(np.mean([run["macro_auprc"] for run in own]))
            cell = (
                facts
                | {"seeds": len(SEEDS)}
                | _evaluation(recall, {v: 2 * n for v, n in COUNTS.items()}, level, _by_source(level))
            )
            sds = {f"{key}_sd": float(np.std([run[key] for run in own], ddof=1)) for key in ("macro_auprc", "macro_f1")}
            cell |= sds | {"tmed2_macro_auprc": level - 0.02, "tmed2_macro_f1": level - 0.06}
            runs += own
            cells.append(cell)
        _compare(cells[-len(ARMS) :])
    seen = {"images": 40, "macro_sd": 0.02, "by_view": dict.fromkeys(VIEWS, 0.8)}
    sets = [
        {"generator": generator, "subset": subset, "macro": 0.81 - 0.1 * place} | seen
        for subset in SUBSETS
        for place, generator in enumerate(GENERATORS)
    ]
    judges = {"subset": "all", "architecture": "resnet18", "number": 2}
    agreement = {"judges": judges, "real": {"macro": 0.85} | seen, "sets": sets}
    best = max(runs, key=lambda run: run["macro_auprc"])
    over = {"intervals_over": "patients and trainings"}
    return {"runs": runs, "cells": cells, "best": best, "agreement": agreement} | over


def _compare(cells: list[dict[str, Any]]) -> None:
    """Add the difference of each arm of a subset to each other one."""
    for cell in cells:
        cell["versus"] = {}
        for other in cells:
            if other is not cell:
                auprc = cell["macro_auprc"] - other["macro_auprc"]
                rare = float(np.mean([cell["recall"][view] - other["recall"][view] for view in RARE_VIEWS]))
                cell["versus"][other["arm"]] = {
                    "macro_auprc": auprc,
                    "macro_auprc_interval": [auprc - 0.06, auprc + 0.05],
                    "rare_recall": rare,
                    "rare_recall_interval": [rare - 0.14, rare + 0.13],
                }


def _final(best: dict[str, Any]) -> dict[str, Any]:
    recall = best["recall"]
    shifted = {"A2C": 0.21, "A4C": 0.74, "PLAX": 0.83, "PSAX": None}
    counts = {"A2C": 101, "A4C": 215, "PLAX": 144}
    shift = _evaluation(shifted, counts, 0.55, {"camus": _by_source(0.5)["tmed2"], "unity": _by_source(0.6)["tmed2"]})
    return {
        "best": best,
        "validation": _evaluation(recall, COUNTS, best["macro_auprc"], _by_source(0.9)),
        "test": _evaluation(recall, COUNTS, 0.913, _by_source(0.88)),
        "shift": shift,
    }


def _params() -> Params:
    """params.yaml with the subsets of this tree."""
    content = read_yaml(ROOT / "params.yaml")
    content["split"]["subsets"] = [150, 500, "all"]
    return parse_params(content)


def _write_all(params: Params) -> None:
    """Write a whole pipeline below the current folder."""
    rng = np.random.default_rng(0)
    _sources(params, rng)
    _split(params)
    _diffusion(rng)
    comparison = _comparison(rng)
    write_json(paths.COMPARISON / "metrics.json", comparison)
    names = ("other real images", "mirrored")
    known = [{"name": name, "kernel": 0.284, "frechet": 94.96, "view_agreement": 0.579} for name in names]
    write_json(paths.KNOWN_PICTURES, known)
    write_json(paths.FINAL_SCORES / "metrics.json", _final(comparison["best"]))


@pytest.fixture
def params() -> Params:
    """The parameters of the demo."""
    return _params()


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished fake pipeline, to be copied: to write one takes a second."""
    folder = tmp_path_factory.mktemp("pipeline")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        _write_all(_params())
    return folder


@pytest.fixture(scope="session")
def inputs(written: Path) -> Inputs:
    """What the report reads of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(written)
        return read_inputs(_params())


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: Path) -> Path:
    """The current folder holds a finished fake pipeline."""
    shutil.copytree(written, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def page(inputs: Inputs) -> str:
    """The page of another, equal pipeline."""
    return render(inputs)


@pytest.fixture
def comparison(tree: Path) -> dict[str, Any]:
    """The comparison of the fake pipeline."""
    return dict(read_json(paths.COMPARISON / "metrics.json"))
