"""The stage `pairs`: what it samples beside a synthetic set, and what it says where it samples nothing."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from echosynth.common import paths
from echosynth.common.files import read_json
from echosynth.common.views import VIEWS
from echosynth.config.parameters import Params
from echosynth.diffusion.model import DiffusionCard, save
from echosynth.diffusion.network import ViewDenoiser
from echosynth.imagesets.dataset import LabelledImages, read_labelled
from echosynth.stages.study import pairs as stage
from echosynth.thesis import pairs

TINY = {"channels": [16, 32], "preconditioning": "none", "loss": "simple", "timesteps": 20, "precision": "fp32"}


def images(sources: list[str], before: str = "") -> LabelledImages:
    """One image of A4C in the first source, of the other views in the second."""
    ids = np.array([f"{before}{number}" for number in range(4)])
    origins = np.array([before + sources[view != 1] for view in range(4)])
    return LabelledImages(np.zeros((4, 16, 16), np.uint8), np.arange(4), ids, origins, ids)


class Run:
    """Takes everything."""

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, *_: object) -> None: ...
    def dataset(self, *_: object) -> None: ...
    def metrics(self, *_: object, **__: object) -> None: ...
    def save(self, *_: object, **__: object) -> None: ...


@pytest.mark.parametrize("told", [True, False])
def test_pairs_that_the_real_images_lack_are_sampled_where_the_model_is_told_the_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, params_with: Callable[..., Params], told: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    params = params_with(diffusion=TINY | {"source_conditioning": told}, sample={"evaluations": 2})
    Path("params.yaml").write_text(yaml.safe_dump(params.model_dump(mode="json")))
    sources = ["echonet-dynamic", "tmed2"]
    card: dict[str, Any] = {"sources": sources if told else [], "size": 16, "diffusion": params.diffusion}
    counts = {"training_images": {view: {"tmed2": 1} for view in VIEWS}, "training_hash": "0"}
    card |= counts | {"step": 1, "ema_decay": 0.9, "kernel": None}
    model = paths.DIFFUSION / "12"
    model.mkdir(parents=True)
    torch.manual_seed(0)
    network = ViewDenoiser(params.diffusion, 16, len(card["sources"]))
    save(model, network.state_dict(), DiffusionCard(**card))
    monkeypatch.setattr(pairs, "subset", lambda *_: images(sources))
    made = images(sources, "synthetic-")
    monkeypatch.setattr(pairs, "synthetic", lambda _: made.joined(made))
    monkeypatch.setattr(stage, "child_run", lambda *_: Run())
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", SimpleNamespace(name="echosynth.stages.study.pairs"))
    monkeypatch.setattr("sys.argv", ["stage", "12"])
    stage.main()  # type: ignore[operator]
    found = read_json(paths.PAIRS / "12/metrics.json")
    if not told:
        assert found["images"] == 0 and "is not told the source" in found["why"]
        assert {file.name for file in (paths.PAIRS / "12").iterdir()} == {"metrics.json"}
        return
    sampled = read_labelled([paths.PAIRS / "12"])
    # Of two images a view, one in each source: the one that no real image shows.
    pairs_of = {(VIEWS[view], source) for view, source in zip(sampled.labels, sampled.sources, strict=True)}
    assert pairs_of == {("A4C", "synthetic-tmed2")} | {
        (view, "synthetic-echonet-dynamic") for view in ("A2C", "PLAX", "PSAX")
    }
    assert found["images"] == sampled.synthetic == 4
