"""Looking through a folder on the command line."""

import json
from collections.abc import Callable
from pathlib import Path
from shutil import copyfile

import pytest

from echosynth import cli

ROOT = Path(__file__).parents[2]
VIEWS = ("A2C", "A4C", "PLAX", "PSAX")


@pytest.fixture
def tmed2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_csv: Callable[..., Path], write_png: Callable[..., Path]
) -> Path:
    """A project with TMED-2 in its place: two patients, 8 stills of each view; one name is no ASCII, one row mixed."""
    monkeypatch.chdir(tmp_path)
    copyfile(ROOT / "params.yaml", "params.yaml")
    Path("data").mkdir()
    copyfile(ROOT / "data" / "salt.demo", "data/salt.demo")
    folder = Path("data/raw/phantom/tmed2")
    rows = []
    for patient in (1, 2):
        for view, name in enumerate(VIEWS):
            for number in range(8):
                file = f"{patient}s1_{view}{number}.png"
                write_png(folder / "view_labeled_set" / file, size=(16, 16), seed=len(rows))
                rows.append(f"{file},{name}")
    rows += [f"3s1_{number}.png,A4CorA2CorOther" for number in range(7)]
    write_csv(folder / "labels_per_image.csv", "query_key,view_label", *rows)
    return folder


def test_what_was_found_is_said(tmed2: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", "tmed2", str(tmed2)]) == 0
    out, err = capsys.readouterr()
    assert not err
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[0] == f"TMED-2 in {tmed2}: 64 usable"
    assert "views A2C 16, A4C 16, PLAX 16, PSAX 16" in lines
    assert "files still 64" in lines
    assert "groups patient 2" in lines
    assert "official split none 64" in lines
    assert "left out: 7" in lines
    row = next(line for line in lines if line.startswith("view A4CorA2CorOther"))
    assert row == "view A4CorA2CorOther 7 3s1_0.png, 3s1_1.png, 3s1_2.png, 3s1_3.png, 3s1_4.png, ..."
    assert "an ingest would take 64, all of them" in lines
    assert lines[-1] == "next: `dvc repro ingest@tmed2`"


def test_json_holds_every_name(tmed2: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", "tmed2", str(tmed2), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["records"] == content["taken"] == 64
    assert content["omitted"] == {"view A4CorA2CorOther": [f"3s1_{number}.png" for number in range(7)]}
    assert content["stops"] == []


def test_too_many_bad_files_fail_it(tmed2: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(3):
        (tmed2 / "view_labeled_set" / f"1s1_0{number}.png").write_bytes(b"")
    assert cli.main(["check", "tmed2", str(tmed2)]) == 1
    out, err = capsys.readouterr()
    assert "61 usable" in out
    assert "view_labeled_set/1s1_00.png" in out
    assert "next:" not in out
    assert err.startswith("error: tmed2: 3 of 64 files (4.7%) are unreadable or missing")
    assert len(err.splitlines()) == 1


def test_what_cannot_be_checked_is_one_sentence(tmed2: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmed2 / "labels_per_image.csv").unlink()
    for source, words in (("tmed2", "labels_per_image.csv is missing"), ("nonsense", "no source 'nonsense'")):
        assert cli.main(["check", source, str(tmed2)]) == 1
        out, err = capsys.readouterr()
        assert not out
        assert words in err
        assert len(err.splitlines()) == 1


def test_a_missing_salt_fails_it(tmed2: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("data/salt.demo").unlink()
    assert cli.main(["check", "tmed2", str(tmed2)]) == 1
    assert "data.salt_file: data/salt.demo is missing" in capsys.readouterr().err


def test_a_missing_view_fails_it(tmed2: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (tmed2 / "view_labeled_set").glob("*s1_3*"):
        path.unlink()
    assert cli.main(["check", "tmed2", str(tmed2)]) == 1
    out, err = capsys.readouterr()
    assert "missing: no PSAX" in out
    assert "no image of PSAX" in err


def test_the_next_step_depends_on_where_the_folder_is(
    tmed2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def last(folder: Path) -> str:
        assert cli.main(["check", "tmed2", str(folder)]) == 0
        return capsys.readouterr().out.splitlines()[-1]

    elsewhere = tmp_path / "unpacked"
    tmed2.rename(elsewhere)
    assert "put the folder at data/raw/phantom/tmed2" in last(elsewhere)
    tmed2.symlink_to(elsewhere, target_is_directory=True)
    assert last(tmed2) == "next: `dvc repro ingest@tmed2`"
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("[echonet-dynamic, echonet-lvh, tmed2]", "[echonet-dynamic]"))
    assert "name tmed2 in data.train_sources" in last(tmed2)
    monkeypatch.chdir("/")
    assert "name tmed2 in params.yaml" in last(elsewhere)


def test_names_that_are_no_text_can_be_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", "tmed2", "no\udcff"]) == 1
    assert "no\\udcff is missing" in capsys.readouterr().err
