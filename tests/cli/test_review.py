"""Decisions on the command line."""

from collections.abc import Callable
from pathlib import Path
from shutil import copyfile

import pytest
import yaml

from echosynth import cli

ROOT = Path(__file__).parents[2]
SOURCE = "echonet-lvh"
DECISIONS = Path("data/review/echonet-lvh.yaml")
SCREENING = Path("data/screening/echonet-lvh")


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    copyfile(ROOT / "params.yaml", "params.yaml")


@pytest.fixture
def validated(write_csv: Callable[..., Path]) -> None:
    """Three groups a, b, c."""
    lines = ("a,2,0,0,keep,", "b,1,9,1,drop,colour Doppler", "c,1,3,0,keep,usable tint")
    write_csv(SCREENING / "groups.csv", "group,size,colourfulness,flagged,proposal,reason", *lines)
    rows = (f"{name},{group},1,0,,0,1" for name, group in (("a", "a"), ("d", "a"), ("b", "b"), ("c", "c")))
    write_csv(SCREENING / "recordings.csv", "id,group,grey_share,coloured_share,proposal,statistic,p_value", *rows)
    (SCREENING / "sheet.png").write_bytes(b"")


def decide(groups: dict[str, str], recordings: dict[str, str]) -> None:
    DECISIONS.parent.mkdir(parents=True)
    DECISIONS.write_text(yaml.safe_dump({"groups": groups, "recordings": recordings}))


def test_without_a_validation_the_file_is_made_and_the_stage_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["review", SOURCE]) == 1
    out, err = capsys.readouterr()
    assert f"{DECISIONS} was missing" in out
    assert "`dvc repro screen@echonet-lvh`" in err
    assert len(err.splitlines()) == 1
    assert yaml.safe_load(DECISIONS.read_text()) == {"groups": {}, "recordings": {}}
    assert cli.main(["review", "unity"]) == 1
    assert "`dvc repro screen-shift@unity`" in capsys.readouterr().err


def test_what_is_open_and_stale_is_counted(validated: None, capsys: pytest.CaptureFixture[str]) -> None:
    decide({"a": "keep", "gone": "drop"}, {"a": "drop", "lost": "keep"})
    assert cli.main(["review", SOURCE]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "echonet-lvh: 1 groups decided, 2 undecided, 2 stale decisions"
    assert f"{SCREENING}/sheet.png" in lines[1]
    assert f"write keep or drop in {DECISIONS}" in lines[2]
    assert yaml.safe_load(DECISIONS.read_text())["groups"] == {"a": "keep", "gone": "drop"}
    assert "  # b: drop  # 1 recording, colourfulness 9.0, colour Doppler\n" in DECISIONS.read_text()


def test_when_all_is_decided_the_pipeline_is_next(validated: None, capsys: pytest.CaptureFixture[str]) -> None:
    decide({"a": "keep", "b": "keep"}, {})
    assert cli.main(["review", SOURCE, "--accept"]) == 0
    out = capsys.readouterr().out
    assert "3 groups decided, 0 undecided, 0 stale" in out
    assert out.endswith(f"next: commit {DECISIONS} and run `dvc repro`\n")
    assert yaml.safe_load(DECISIONS.read_text())["groups"] == {"a": "keep", "b": "keep", "c": "keep"}
