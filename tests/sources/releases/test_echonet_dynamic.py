import pandas as pd
import pytest

from echosynth.common.errors import EchosynthError
from echosynth.sources.registry import find_source
from echosynth.sources.releases.echonet_dynamic import CHORDS, chord_areas, marks_by_area

SOURCE = find_source("echonet-dynamic")
ONE, TWO = "0X100009310A3BD7FC", "0X1002E8FBACD0847"  # 16 and 15 digits
FILE_LIST = "FileName,EF,ESV,EDV,FrameHeight,FrameWidth,FPS,NumberOfFrames,Split"
TRACINGS = "FileName,X1,Y1,X2,Y2,Frame"


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def write_list(write_csv, folder, *names_and_splits, header=FILE_LIST, **how):
    rows = [f"{name},55,30,70,112,112,50,150,{split}" for name, split in names_and_splits]
    return write_csv(folder / "FileList.csv", header, *rows, **how)


def tracing(name, frame, length, width, chords=3):
    """A long axis down the picture and chords across it."""
    axis = f"{name},50,10,50,{10 + length},{frame}"
    return [axis, *(f"{name},{50 - width / 2},{20 + row},{50 + width / 2},{20 + row},{frame}" for row in range(chords))]


@pytest.mark.parametrize("header", [FILE_LIST, FILE_LIST.replace("Frame", "").replace("NumberOfs", "NumFrames")])
@pytest.mark.parametrize("suffix", ["", ".avi"])
@pytest.mark.parametrize("how", [{}, {"start": "\ufeff", "end": "\r\n"}])
def test_both_headers_and_both_ways_to_name_a_file(tmp_path, write_csv, header, suffix, how):
    touch(tmp_path, f"Videos/{ONE}.avi", f"Videos/{TWO}.avi", "Videos/0XEXTRA.avi", "Videos/._0XODD.avi")
    rows = ((TWO + suffix, "VAL"), (ONE + suffix, "TRAIN"), (ONE + suffix, "TRAIN"), ("0XGONE", "TEST"))
    write_list(write_csv, tmp_path, *rows, header=header, **how)
    listing = SOURCE.list_records(tmp_path)
    assert [
        (record.path, record.view, record.group, record.group_kind, record.official_split) for record in listing.records
    ] == [
        (tmp_path / f"Videos/{ONE}.avi", "A4C", ONE, "patient", "train"),
        (tmp_path / f"Videos/{TWO}.avi", "A4C", TWO, "patient", "validation"),
    ]
    assert listing.omitted == {
        "row that stands twice": [f"{ONE}.avi"],
        "row without a file": ["0XGONE.avi"],
        "file without a row": ["0XEXTRA.avi"],
    }
    assert listing.notes == ["VolumeTracings.csv is missing, so end diastole and end systole are not marked"]


def test_case_of_file_names_does_not_matter(tmp_path, write_csv):
    touch(tmp_path, f"Videos/{ONE.lower()}.AVI")
    write_list(write_csv, tmp_path, (ONE, "TEST"), (ONE.lower(), "TEST"))
    write_csv(tmp_path / "VolumeTracings.csv", TRACINGS, *tracing(f"{ONE}.avi", 4, 30, 9), *tracing(ONE, 9, 30, 8))
    listing = SOURCE.list_records(tmp_path)
    (record,) = listing.records
    assert (record.group, record.marked) == (ONE, (("ED", 4), ("ES", 9)))
    assert listing.omitted == {"row that stands twice": [f"{ONE.lower()}.avi"]}


def test_rows_of_a_file_that_disagree_leave_it_out(tmp_path, write_csv):
    touch(tmp_path, f"Videos/{ONE}.avi", f"Videos/{TWO}.avi")
    write_list(write_csv, tmp_path, (ONE, "TRAIN"), (ONE, "TEST"), (TWO, "VAL"))
    listing = SOURCE.list_records(tmp_path)
    assert [record.group for record in listing.records] == [TWO]
    assert listing.omitted == {"rows of one file that disagree": [f"{ONE}.avi"]}


def test_words_that_name_no_split_give_none(tmp_path, write_csv):
    touch(tmp_path, f"Videos/{ONE}.avi", f"Videos/{TWO}.avi")
    write_list(write_csv, tmp_path, (ONE, "EXTERNAL"), (TWO, "VAL"))
    listing = SOURCE.list_records(tmp_path)
    assert [record.official_split for record in listing.records] == [None, "validation"]
    assert "1 rows name no known split; they count as rows without an official split" in listing.notes


def test_the_release_may_lie_in_a_folder_of_its_own(tmp_path, write_csv):
    touch(tmp_path, f"EchoNet-Dynamic/Videos/{ONE}.avi")
    write_list(write_csv, tmp_path / "EchoNet-Dynamic", (ONE, "TRAIN"))
    assert len(SOURCE.list_records(tmp_path).records) == 1


@pytest.mark.parametrize("first_is_large", [True, False])
def test_of_two_traced_frames_the_larger_is_end_diastole(tmp_path, write_csv, first_is_large):
    touch(tmp_path, f"Videos/{ONE}.avi")
    write_list(write_csv, tmp_path, (ONE, "TRAIN"))
    # Fewer chords, so that their number or the sum of their lengths would tell the wrong frame.
    large, small = tracing(f"{ONE}.avi", 46, 60, 30, chords=2), tracing(f"{ONE}.avi", 61, 50, 20, chords=9)
    rows = [*large, *small] if first_is_large else [*small, *large]
    write_csv(tmp_path / "VolumeTracings.csv", TRACINGS, *rows)
    listing = SOURCE.list_records(tmp_path)
    assert listing.records[0].marked == (("ED", 46), ("ES", 61))
    assert listing.notes == []


@pytest.mark.parametrize(
    "rows",
    [
        tracing(ONE, 4, 60, 30),
        [*tracing(ONE, 4, 60, 30), *tracing(ONE, 9, 60, 20), *tracing(ONE, 12, 60, 10)],
        [*tracing(ONE, 4, 60, 30), *tracing(ONE, 9, 60, 30)],
        [*tracing(ONE, 4, 60, 30), f"{ONE},1,2,3,4,9"],
        [*tracing(ONE, 4, 60, 30), *tracing(ONE, "nine", 60, 20)],
        [*tracing(ONE, 4, 60, 30), *tracing(ONE, -9, 60, 20)],
        [*tracing(ONE, 4, 60, 30), *tracing(ONE, 9.5, 60, 20)],
        [*tracing(ONE, 4, 60, 30), *tracing(ONE, 9, 60, 20), f"{ONE},1,,3,4,9"],
        [*tracing(ONE, 4, 60, 30), *tracing(ONE, 9, 60, 20), f"{ONE},1,inf,3,4,9"],
        tracing("0XOTHER", 4, 60, 30),
    ],
    ids=["one", "three", "equal", "no chords", "word", "negative", "half", "empty", "infinite", "no tracing"],
)
def test_tracings_that_do_not_tell_mark_nothing(tmp_path, write_csv, rows):
    touch(tmp_path, f"Videos/{ONE}.avi", f"Videos/{TWO}.avi")
    write_list(write_csv, tmp_path, (ONE, "TRAIN"), (TWO, "TRAIN"))
    good = [*tracing(TWO, 1, 50, 30), *tracing(TWO, 2, 50, 29)]
    write_csv(tmp_path / "VolumeTracings.csv", TRACINGS, *good, *rows)
    listing = SOURCE.list_records(tmp_path)
    assert [record.marked for record in listing.records] == [(), (("ED", 1), ("ES", 2))]
    assert listing.notes == [
        "VolumeTracings.csv does not mark end diastole and end systole of 1 of 2 cines: "
        "it must trace two frames of different area"
    ]


def test_the_area_is_that_of_the_method_of_disks():
    rows = [("v", 0, 0.0, 0.0, 0.0, 40.0), ("v", 0, -5.0, 10.0, 5.0, 10.0), ("v", 0, 10.0, 30.0, -10.0, 30.0)]
    areas = chord_areas(pd.DataFrame(rows, columns=["video", "Frame", *CHORDS]))
    assert areas.to_dict() == {("v", 0): 40 * 15}


def test_a_table_without_a_readable_row_marks_nothing():
    rows = pd.DataFrame([["v", "x", "x", "x", "x", "x"]], columns=["FileName", *CHORDS, "Frame"], dtype=str)
    assert marks_by_area(rows, chord_areas) == {}


def test_many_tracings(tmp_path):
    names = [f"0X{number:016X}" for number in range(2000)]
    rows = [
        (name, *(str(cell) for cell in (0, 0, 0, 10)), frame)
        if row == 0
        else (name, "0", str(row), str(size), str(row), frame)
        for name in names
        for frame, size in (("7", 5), ("19", 3))
        for row in range(21)
    ]
    marks = marks_by_area(pd.DataFrame(rows, columns=["FileName", *CHORDS, "Frame"]), chord_areas)
    assert len(marks) == len(names)
    assert set(marks.values()) == {(("ED", 7), ("ES", 19))}


def test_missing_parts_are_named(tmp_path, write_csv):
    with pytest.raises(EchosynthError, match="nowhere is missing; put EchoNet-Dynamic there"):
        SOURCE.list_records(tmp_path / "nowhere")
    with pytest.raises(EchosynthError, match="is empty; put EchoNet-Dynamic there"):
        SOURCE.list_records(tmp_path)
    touch(tmp_path, "file", f"release/Videos/{ONE}.avi")
    with pytest.raises(EchosynthError, match="file is a file and should be a folder"):
        SOURCE.list_records(tmp_path / "file")
    root = tmp_path / "release"
    with pytest.raises(EchosynthError, match=r"FileList\.csv is missing"):
        SOURCE.list_records(root)
    write_csv(root / "FileList.csv", "FileName,EF", f"{ONE},55")
    with pytest.raises(EchosynthError, match=r"FileList\.csv has no column Split"):
        SOURCE.list_records(root)
    write_list(write_csv, root, (ONE, "TRAIN"))
    write_csv(root / "VolumeTracings.csv", "FileName,X,Y,Frame", f"{ONE},1,2,3")
    with pytest.raises(EchosynthError, match=r"VolumeTracings\.csv has no column X1"):
        SOURCE.list_records(root)


def test_videos_that_are_missing_empty_or_a_file_are_named(tmp_path, write_csv):
    write_list(write_csv, tmp_path, (ONE, "TRAIN"))
    with pytest.raises(EchosynthError, match="Videos is missing; put the videos of EchoNet-Dynamic there"):
        SOURCE.list_records(tmp_path)
    (tmp_path / "Videos").mkdir()
    with pytest.raises(EchosynthError, match="Videos is empty"):
        SOURCE.list_records(tmp_path)
    (tmp_path / "Videos").rmdir()
    touch(tmp_path, "Videos")
    with pytest.raises(EchosynthError, match="Videos is a file and should be a folder"):
        SOURCE.list_records(tmp_path)


def test_a_release_without_a_usable_row_is_refused(tmp_path, write_csv):
    touch(tmp_path, "Videos/readme.txt")
    write_list(write_csv, tmp_path, (ONE, "TRAIN"))
    with pytest.raises(EchosynthError, match=r"holds no usable image.*row without a file: 1"):
        SOURCE.list_records(tmp_path)
