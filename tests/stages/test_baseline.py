"""The stage `baseline`: which pictures leave the workspace."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml

from echosynth.common import paths
from echosynth.config.parameters import Params
from echosynth.imagesets.dataset import LabelledImages
from echosynth.stages import baseline


@pytest.mark.parametrize(("root", "pictures"), [("data/raw/phantom", ["samples.png"]), ("data/raw/real", [])])
def test_pictures_that_are_mixed_from_patients_stay_out_of_mlflow(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    params_with: Callable[..., Params],
    root: str,
    pictures: list[str],
) -> None:
    saved = []

    class Run:
        def __enter__(self) -> "Run":
            return self

        def __exit__(self, *_: object) -> None: ...
        def dataset(self, *_: object) -> None: ...
        def metrics(self, *_: object) -> None: ...
        def save(self, folder: Path, *files: str, pictures: dict[str, bytes]) -> None:
            saved.append((folder.name, list(pictures)))

    monkeypatch.chdir(tmp_path)
    content: dict[str, Any] = params_with(sample={"per_view": 3}).model_dump(mode="json")
    content["data"] |= {"root": root, "salt_file": "data/salt"}
    Path("params.yaml").write_text(yaml.safe_dump(content))
    names = np.array([f"image-{number}" for number in range(8)])
    training = LabelledImages(np.zeros((8, 32, 32), np.uint8), np.arange(8) % 4, names, np.full(8, "tmed2"), names)
    monkeypatch.setattr(baseline, "read_subset", lambda *_: training)
    monkeypatch.setattr(baseline, "child_run", lambda *_: Run())
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", SimpleNamespace(name="echosynth.stages.baseline"))
    monkeypatch.setattr("sys.argv", ["stage", "12"])
    baseline.main()
    assert saved == [("gaussian", pictures), ("mixup", pictures)]
    assert (paths.BASELINES / "12/mixup/images.zip").is_file()
