"""The page of times: of what was trained on this machine, the main classifiers beside the thesis's times."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from echosynth.config.parameters import Params
from echosynth.report.thesis.inputs import PUBLISHED
from echosynth.report.thesis.times import main_table, main_trainings, render_times, study_table, study_trainings
from echosynth.tracking import times
from echosynth.tracking.record import Record

SIZES = {"100": 100, "all": 2855}


def written(folder: Path, seconds: float | None, **facts: Any) -> None:
    """A training's record, with its time where it is known here."""
    folder.mkdir(parents=True)
    Record("one", "classify", params={name: str(value) for name, value in facts.items()}).write(folder)
    if seconds is not None:
        times.note(folder / "run.json", {"train_seconds": seconds})


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, params_with: Callable[..., Params]) -> Params:
    """Two seeds on 100 real images, one timed on all of them, and one of the study."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    for size, seed, seconds in (("100", 0, 10.0), ("100", 1, 20.0), ("all", 0, 12.0), ("all", 1, None)):
        facts = {"architecture": "resnet18", "arm": "real", "subset": size, "seed": seed}
        written(Path(f"models/classifiers/real-{size}-resnet18/real/seed-{seed}"), seconds, **facts)
    facts = {"question": "fractions", "architecture": "resnet18", "arm": "plus-50", "subset": "100", "seed": 0}
    written(Path("reports/study/fractions/100/plus-50-resnet18/seed-0"), 3.0, **facts)
    return params_with(
        arms={"real": ["real"], "synthetic": [], "baseline": []},
        split={"subsets": [100, "all"]},
        classifier={"seeds": [0, 1]},
    )


def thesis() -> Any:
    return SimpleNamespace(main=SimpleNamespace(sizes=SIZES), published=pd.read_csv(PUBLISHED))


def test_main_classifiers_stand_by_architecture_arm_and_subset_beside_the_thesis(trained: Params) -> None:
    table = main_table(main_trainings(trained), thesis())
    assert table.rows == [
        ["resnet18", "real", "100", "2", "15.0", "0.5", "1k", "2"],
        ["resnet18", "real", "2,855", "1", "12.0", "0.2", "32k", "23"],
    ]
    assert "In all 0.01 hours" in table.note


def test_an_architecture_of_table_5_3_alone_has_its_time(trained: Params) -> None:
    [(kind, _), *_] = main_trainings(trained)
    other = type(kind)("", "all", "real", "inception_v3")
    assert main_table([(other, 1.0)], thesis()).rows[0][-2:] == ["32k", "57"]


def test_trainings_of_the_study_stand_by_question(trained: Params) -> None:
    assert study_table(study_trainings()).rows == [["fractions", "100", "plus-50, resnet18", "1", "3.0", "0.1"]]


def test_the_page_says_where_nothing_was_timed(trained: Params) -> None:
    page = render_times(thesis(), [], study_trainings())
    assert "None was trained here since times are kept" in page and "plus-50, resnet18" in page
