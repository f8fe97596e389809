"""A stage for each cell against one for all cells of a subset: the same trainings, all instances, what is reported."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from bench.cells import CELLS, QUICK, SUBSETS, Sizes, fill, measure, predictions, settings, targets
from bench.cells import write_pipeline as write
from bench.results import Comparison
from tests.thesis.test_cells import run as untracked

from bench import cells, one_cell
from echosynth.common.arrays import Images
from echosynth.common.errors import EchosynthError
from echosynth.common.files import fingerprint
from echosynth.config.parameters import Params, parse_params
from echosynth.imagesets.dataset import LabelledImages
from echosynth.thesis import cells as trainings
from echosynth.thesis import fractions, images, material

ROOT = Path(__file__).parents[2]
ARMS = ["plus-0", "plus-50", "plus-100", "twice-real"]


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(ROOT)
    yield
    images._split.cache_clear()
    images._subset.cache_clear()
    images.synthetic.cache_clear()


def test_both_ways_train_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here the predictions are drawn from all that the training is given; the benchmark compares real ones."""

    def train(settings: Any, architecture: str, seed: int, data: LabelledImages, **more: Any) -> SimpleNamespace:
        told = fingerprint(settings.model_dump(), architecture, seed, data.hash(), more["name"], repr(more["recipe"]))
        return SimpleNamespace(network=int(told[:8], 16), steps=1, seconds=1.0)

    def predict(told: int, pictures: Images) -> Any:
        return np.random.default_rng(told).dirichlet(np.ones(4), len(pictures))

    params = parse_params(settings(QUICK))
    fill(tmp_path, QUICK)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ECHOSYNTH_PROCESSES", "1")
    monkeypatch.setattr(trainings, "child_run", untracked)
    monkeypatch.setattr(trainings, "code_hash", lambda *_: "")
    monkeypatch.setattr(trainings, "confusion_png", lambda *_: b"")
    monkeypatch.setattr(material, "train", train)
    monkeypatch.setattr(material, "predict", predict)
    fractions.run(params, "8")
    together = predictions(tmp_path)
    assert list(together) == [f"8/{arm}-resnet18/seed-0" for arm in ("plus-0", "plus-100", "twice-real")]
    assert len(set(together.values())) == 3
    one_cell.run(params, "8", "plus-100", "0")
    alone = tmp_path / "reports/study/fractions/8-plus-100-0/plus-100-resnet18/seed-0/validation.csv"
    assert alone.read_bytes() == together["8/plus-100-resnet18/seed-0"]
    assert predictions(tmp_path) == together  # under the name of the same cell


def test_dvc_knows_all_instances_and_those_that_run(tmp_path: Path) -> None:
    from dvc.repo import Repo

    for way, instances, timed in zip((SUBSETS, CELLS), (6, 72), (1, 12), strict=True):
        folder = tmp_path / way
        folder.mkdir()
        write(folder, way, Sizes(), ARMS)
        with Repo.init(str(folder), no_scm=True) as repo:
            known = {stage.name: stage for stage in repo.index.stages}
        assert len(known) == instances
        run = [known[name.partition(":")[2]] for name in targets(way, Sizes(), ARMS)]
        assert len(run) == timed and all(" 100" in stage.cmd for stage in run)
    assert known["fractions@100-twice-real-2"].cmd == "python -m one_cell 100 twice-real 2"


def project_of(predicted: Any) -> Any:
    """Stands for a project: `dvc repro` writes what `predicted` says of the number of the project."""
    numbers = count()

    @contextmanager
    def project(way: str, sizes: Sizes, names: list[str]) -> Iterator[Any]:
        folder, number = Path(f"project-{next(numbers)}"), len(list(Path().glob("project-*")))

        def call(*words: str) -> float:
            for name in names:
                for seed in sizes.seeds:
                    instance = "100" if way == SUBSETS else f"100-{name}-{seed}"
                    cell = folder / "reports/study/fractions" / instance / name / f"seed-{seed}"
                    cell.mkdir(parents=True)
                    (cell / "validation.csv").write_text(predicted(number))
            assert words[:2] == ("dvc", "repro") and len(words) == 2 + (1 if way == SUBSETS else 12)
            return 10.0 + number if way == SUBSETS else 30.0 + number

        yield SimpleNamespace(folder=folder, call=call)

    return project


def test_what_is_reported(tmp_path: Path, params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = count()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cells, "processor_seconds", lambda: next(clock) ** 2)
    monkeypatch.setattr(cells, "project", project_of(lambda number: "the same"))
    wall, processor = measure(params, Sizes(repeats=2))
    assert isinstance(wall, Comparison) and isinstance(processor, Comparison)
    assert wall.seconds == (10, 12) and wall.other_seconds == (31, 33) and wall.times == 3.1 and wall.target == 1.5
    assert processor.seconds == (1, 9) and processor.other_seconds == (5, 13) and processor.times == 5
    assert "12 of 72 cells, those of 1 of 6 subsets, 160 steps" in wall.setting and CELLS in wall.other


def test_ways_that_train_differently_are_no_comparison(
    tmp_path: Path, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cells, "project", project_of(str))
    with pytest.raises(EchosynthError, match="do not train the same"):
        measure(params, Sizes())
