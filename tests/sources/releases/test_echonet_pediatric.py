import pandas as pd
import pytest

from echosynth.common.errors import EchosynthError
from echosynth.sources.registry import find_source
from echosynth.sources.releases.echonet_pediatric import fold_split, polygon_areas

SOURCE = find_source("echonet-pediatric")
HEADER = "FileName,EF,Sex,Age,Weight,Height,Split"
TRACINGS = "FileName,X,Y,Frame"
ANNA, BELA, CLEO = "CR32a7555", "CR32a95e6", "CR3dca685"


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def write_view(write_csv, place, *names_and_folds, header=HEADER, **how):
    """Videos and table of one view."""
    touch(place, *(f"Videos/{name.removesuffix('.avi')}.avi" for name, _ in names_and_folds))
    rows = [f"{name},60.1,F,3,15.2,98.5,{fold}" for name, fold in names_and_folds]
    write_csv(place / "FileList.csv", header, *rows, **how)


def square(name, frame, side):
    corners = ((10, 10), (10 + side, 10), (10 + side, 10 + side), (10, 10 + side))
    return [f"{name},{x},{y},{frame}" for x, y in corners]


@pytest.fixture
def release(tmp_path, write_csv):
    """Two views of Anna and one each of Bela and Cleo."""
    write_view(write_csv, tmp_path / "A4C", (f"{ANNA}-CR32a7582-000039.avi", 9), (f"{BELA}-CR3dcad12-000058.avi", 7))
    write_view(write_csv, tmp_path / "PSAX", (f"{ANNA}-CR3dca855-000033.avi", 9), (f"{CLEO}-CR3dca85c-000041.avi", 8))
    return tmp_path


@pytest.mark.parametrize("top", ["", "pediatric_echo_avi", "pediatric_echo_avi/pediatric_echo_avi"])
def test_a_child_has_one_group_in_both_views_wherever_the_release_lies(tmp_path, release, top):
    folder = tmp_path
    if top:
        folder = tmp_path / "data"
        (folder / top).mkdir(parents=True)
        for view in ("A4C", "PSAX"):
            (release / view).rename(folder / top / view)
    listing = SOURCE.list_records(folder)
    assert [(record.view, record.group, record.group_kind, record.official_split) for record in listing.records] == [
        ("A4C", ANNA.lower(), "study", "test"),
        ("A4C", BELA.lower(), "study", "train"),
        ("PSAX", ANNA.lower(), "study", "test"),
        ("PSAX", CLEO.lower(), "study", "validation"),
    ]
    assert listing.records[0].path == folder / top / "A4C/Videos" / f"{ANNA}-CR32a7582-000039.avi"
    assert not listing.omitted
    assert listing.notes == [
        "A4C/VolumeTracings.csv is missing, so end diastole and end systole are not marked",
        "PSAX/VolumeTracings.csv is missing, so end diastole and end systole are not marked",
        "4 cines fall into 3 groups by their file names",
    ]


def test_folds_and_the_words_that_others_put_in_their_place():
    assert [fold_split(str(fold)) for fold in range(10)] == ["train"] * 8 + ["validation", "test"]
    assert [fold_split(word) for word in ("8.0", "TRAIN", " VAL", "TEST")] == [
        "validation",
        "train",
        "validation",
        "test",
    ]
    assert [fold_split(word) for word in ("10", "-1", "", "x", ".0")] == [None] * 5


def test_a_fold_that_cannot_be_read_gives_no_split(release, write_csv):
    write_view(write_csv, release / "PSAX", (f"{CLEO}-CR3dca85c-000041", "ten"), (f"{BELA}-CR3dca85c-000042.avi", 2))
    listing = SOURCE.list_records(release)
    splits = {record.path.stem: record.official_split for record in listing.records}
    assert splits[f"{CLEO}-CR3dca85c-000041"] is None
    assert splits[f"{BELA}-CR3dca85c-000042"] == "train"
    assert "PSAX/FileList.csv: 1 rows name no fold 0 to 9; they have no official split" in listing.notes


def test_a_child_in_two_folds_is_split_anew(release, write_csv):
    write_view(write_csv, release / "PSAX", (f"{ANNA.upper()}-CR3dca855-000034.avi", 1))
    listing = SOURCE.list_records(release)
    assert {record.official_split for record in listing.records if record.group == ANNA.lower()} == {None}
    assert listing.notes[-1] == "1 of 2 groups (study) stand in two official splits; these are split anew"


def test_a_name_of_another_form_is_a_group_of_its_own(release, write_csv):
    write_view(write_csv, release / "PSAX", ("CR32a7999.avi", 1), ("Scan 1.avi", 1), ("CR32a7555-x-01.avi", 1))
    listing = SOURCE.list_records(release)
    found = {record.path.name: (record.group, record.group_kind) for record in listing.records if record.view == "PSAX"}
    assert found["Scan 1.avi"] == ("scan 1", "file")
    assert found["CR32a7555-x-01.avi"] == ("cr32a7555-x-01", "file")
    assert "2 cines fall into 2 groups by their file names" in listing.notes
    assert "3 file names have another form; each of these files is a group of its own" in listing.notes


def test_rows_and_files_without_each_other_are_counted_in_both_views(release, write_csv):
    touch(release, "A4C/Videos/extra.avi", "PSAX/Videos/._odd.avi")
    with (release / "PSAX/FileList.csv").open("a") as stream:
        stream.write("gone.avi,1,F,1,1,1,3\n")
    assert SOURCE.list_records(release).omitted == {
        "file without a row": ["extra.avi"],
        "row without a file": ["gone.avi"],
    }


def test_the_table_may_come_from_elsewhere(tmp_path, write_csv):
    for view, separator, how in (("A4C", ";", {"start": "\ufeff", "end": "\r\n"}), ("PSAX", "\t", {})):
        place = tmp_path / view
        touch(place, f"Videos/{ANNA}-CR32a7582-000039.AVI")
        row = f"{ANNA}-CR32a7582-000039,60.1,F,3,15.2,98.5,0".replace(",", separator)
        write_csv(place / "FileList.csv", HEADER.replace(",", separator), row, **how)
    assert [record.official_split for record in SOURCE.list_records(tmp_path).records] == ["train", "train"]


def test_of_two_traced_frames_the_larger_is_end_diastole(release, write_csv):
    first, second = f"{ANNA}-CR32a7582-000039.avi", f"{BELA}-CR3dcad12-000058.avi"
    rows = [
        *square(first, 39, 10),
        *square(first, 12, 20),
        *square(second, 5, 20),
        f"{second},,,No Systolic",
    ]
    write_csv(release / "A4C/VolumeTracings.csv", TRACINGS, *rows)
    listing = SOURCE.list_records(release)
    assert [record.marked for record in listing.records if record.view == "A4C"] == [(("ED", 12), ("ES", 39)), ()]
    assert listing.notes[0] == (
        "A4C/VolumeTracings.csv does not mark end diastole and end systole of 1 of 2 cines: "
        "it must trace two frames of different area"
    )


def test_the_area_is_that_of_the_polygon_either_way_round():
    ring = [(1.0, 2.0), (5.0, 2.0), (5.0, 5.0), (1.0, 5.0)]
    rows = [("v", 0, *point) for point in ring] + [("v", 1, *point) for point in reversed(ring[:3])]
    mixed = pd.DataFrame(rows, columns=["video", "Frame", "X", "Y"]).iloc[[0, 4, 1, 5, 2, 6, 3]]
    assert polygon_areas(mixed).to_dict() == {("v", 0): 12.0, ("v", 1): 6.0}


def test_nothing_about_the_child_is_needed(tmp_path, write_csv):
    for view in ("A4C", "PSAX"):
        touch(tmp_path / view, f"Videos/{ANNA}-CR32a7582-000039.avi")
        write_csv(tmp_path / view / "FileList.csv", "FileName,Split", f"{ANNA}-CR32a7582-000039.avi,0")
    assert len(SOURCE.list_records(tmp_path).records) == 2


def test_missing_parts_are_named(tmp_path, release, write_csv):
    with pytest.raises(EchosynthError, match="nowhere is missing; put EchoNet-Pediatric there"):
        SOURCE.list_records(tmp_path / "nowhere")
    touch(tmp_path, "file")
    with pytest.raises(EchosynthError, match="file is a file and should be a folder"):
        SOURCE.list_records(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    with pytest.raises(EchosynthError, match="empty is empty"):
        SOURCE.list_records(tmp_path / "empty")
    (tmp_path / "empty").rmdir()
    (release / "PSAX/FileList.csv").unlink()
    with pytest.raises(EchosynthError, match=r"PSAX/FileList\.csv is missing"):
        SOURCE.list_records(release)
    write_csv(release / "PSAX/FileList.csv", "FileName,EF", "x,1")
    with pytest.raises(EchosynthError, match=r"PSAX/FileList\.csv has no column Split"):
        SOURCE.list_records(release)
    (release / "PSAX").rename(release / "psax")
    with pytest.raises(EchosynthError, match="PSAX is missing; put the cines of PSAX of EchoNet-Pediatric there"):
        SOURCE.list_records(release)


def test_a_view_without_videos_is_named(release):
    for video in (release / "A4C/Videos").iterdir():
        video.unlink()
    with pytest.raises(EchosynthError, match="A4C/Videos is empty"):
        SOURCE.list_records(release)
    (release / "A4C/Videos").rmdir()
    with pytest.raises(EchosynthError, match="A4C/Videos is missing"):
        SOURCE.list_records(release)
