"""What an ingest would find, without decoding."""

from collections.abc import Callable
from pathlib import Path

import pytest

from echosynth.common.errors import EchosynthError
from echosynth.config.parameters import Params
from echosynth.ingest.check import check
from echosynth.media.probe import too_large
from echosynth.sources.registry import find_source

VIEWS = ("A2C", "A4C", "PLAX", "PSAX")


@pytest.fixture(autouse=True)
def probed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """A probe that finds empty files alone, which do for pictures here; the paths that it was asked about."""
    asked: list[Path] = []

    def look(path: Path) -> str | None:
        asked.append(path)
        return None if path.stat().st_size else "is empty"

    monkeypatch.setattr("echosynth.ingest.check.probe", look)
    return asked


@pytest.fixture(autouse=True)
def project(monkeypatch: pytest.MonkeyPatch) -> None:
    """The salt's path is relative to the project's root."""
    monkeypatch.chdir(Path(__file__).parents[2])


@pytest.fixture
def tmed2(tmp_path: Path, write_csv: Callable[..., Path]) -> Path:
    """Two patients with 3 stills of each view; no file holds a picture."""
    folder = tmp_path / "a folder" / "tmed2"
    (folder / "view_labeled_set").mkdir(parents=True)
    rows = [
        (f"{patient}s1_{view}{k}.png", name) for patient in (1, 2) for view, name in enumerate(VIEWS) for k in range(3)
    ]
    for name, _ in rows:
        (folder / "view_labeled_set" / name).write_bytes(b"no picture")
    write_csv(folder / "labels_per_image.csv", "query_key,view_label", *(",".join(row) for row in rows))
    return folder


def test_all_is_counted_and_every_file_looked_at_once(tmed2: Path, params: Params, probed: list[Path]) -> None:
    found = check(find_source("tmed2"), tmed2, params)
    assert found.records == found.taken == 24
    assert found.views == dict.fromkeys(VIEWS, 6)
    assert found.groups == {"patient": 2}
    assert found.files == {"still": 24}
    assert found.splits == {"none": 24}
    assert (found.omitted, found.bad, found.missing, found.stops) == ({}, 0, [], [])
    assert sorted(probed) == sorted((tmed2 / "view_labeled_set").iterdir())


def test_the_limit_of_a_patient_and_view_is_applied(tmed2: Path, params_with: Callable[..., Params]) -> None:
    found = check(find_source("tmed2"), tmed2, params_with(ingest={"max_per_patient_view": 2}))
    assert (found.records, found.taken) == (24, 16)


def test_the_limit_of_pixels_is_that_of_the_section(
    tmed2: Path, params_with: Callable[..., Params], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("echosynth.ingest.check.probe", lambda path: too_large(10, 11))
    assert check(find_source("tmed2"), tmed2, params_with(decoding={"pixels": 110})).bad == 0
    assert check(find_source("tmed2"), tmed2).bad == 0
    found = check(find_source("tmed2"), tmed2, params_with(decoding={"pixels": 109}))
    assert found.bad == 24
    assert list(found.omitted) == [
        "file claims pictures of 10 x 11 pixels, more than decoding.pixels = 109 allows; leave it out"
    ]


def test_without_parameters_nothing_is_said_about_shares(tmed2: Path) -> None:
    (tmed2 / "view_labeled_set" / "1s1_00.png").write_bytes(b"")
    found = check(find_source("tmed2"), tmed2)
    assert found.taken is None
    assert found.bad == 1
    assert found.stops == []


def test_bad_and_lost_files_count_against_the_allowed_share(tmed2: Path, params_with: Callable[..., Params]) -> None:
    folder = tmed2 / "view_labeled_set"
    (folder / "1s1_00.png").write_bytes(b"")
    (folder / "2s1_32.png").unlink()
    found = check(find_source("tmed2"), tmed2, params_with(data={"max_bad_share": 0.1}))
    assert found.records == 22
    assert found.bad == 2
    assert found.omitted == {"file is empty": ["view_labeled_set/1s1_00.png"], "row without a file": ["2s1_32.png"]}
    assert found.stops == []  # 2 of 24 is 8 %
    (stop,) = check(find_source("tmed2"), tmed2, params_with(data={"max_bad_share": 0.08})).stops
    assert "2 of 24 files (8.3%)" in stop
    assert "data.max_bad_share = 0.08" in stop


def test_a_view_that_the_release_should_hold_is_missed(tmed2: Path, params: Params) -> None:
    for path in (tmed2 / "view_labeled_set").glob("*s1_3*"):
        path.write_bytes(b"")
    found = check(find_source("tmed2"), tmed2, params)
    assert found.missing == ["PSAX"]
    assert found.views["PSAX"] == 0
    assert any("no image of PSAX" in stop for stop in found.stops)


def test_a_release_of_bad_files_is_no_release(tmed2: Path, params_with: Callable[..., Params]) -> None:
    for path in (tmed2 / "view_labeled_set").iterdir():
        path.write_bytes(b"")
    for params in (None, params_with(data={"max_bad_share": 1.0})):
        assert check(find_source("tmed2"), tmed2, params).stops == ["no file is usable; copy the release again"]


def test_a_folder_without_its_table_is_refused(tmed2: Path, params: Params) -> None:
    (tmed2 / "labels_per_image.csv").unlink()
    with pytest.raises(EchosynthError, match=r"labels_per_image\.csv is missing"):
        check(find_source("tmed2"), tmed2, params)


def test_cines_are_told_from_stills(tmp_path: Path, params: Params, write_csv: Callable[..., Path]) -> None:
    folder = tmp_path / "echonet-dynamic"
    (folder / "Videos").mkdir(parents=True)
    names = [f"0X{k:016X}" for k in range(4)]
    for name in names:
        (folder / "Videos" / f"{name}.avi").write_bytes(b"no video")
    write_csv(folder / "FileList.csv", "FileName,Split", *(f"{name},TRAIN" for name in names[:3]), f"{names[3]},TEST")
    found = check(find_source("echonet-dynamic"), folder, params)
    assert found.files == {"cine": 4}
    assert found.splits == {"test": 1, "train": 3}
    assert found.taken == 4


def test_both_moments_of_a_patient_are_stills(tmp_path: Path, params: Params) -> None:
    folder = tmp_path / "camus"
    for chambers in ("2CH", "4CH"):
        for moment in ("ED", "ES"):
            path = folder / "database_nifti" / "patient0001" / f"patient0001_{chambers}_{moment}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"ES" if moment == "ES" else b"")
    found = check(find_source("camus"), folder, params)
    assert found.files == {"still": 2}
    assert found.omitted["file is empty"] == [
        "database_nifti/patient0001/patient0001_2CH_ED.nii.gz ED",
        "database_nifti/patient0001/patient0001_4CH_ED.nii.gz ED",
    ]
