import pytest

from echosynth.common.errors import EchosynthError
from echosynth.sources.registry import find_source

SOURCE = find_source("echonet-lvh")
HEADER = ",HashedFileName,Calc,CalcValue,Frame,X1,X2,Y1,Y2,Frames,FPS,Width,Height,split"


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def write_list(write_csv, folder, *rows):
    """Rows of name, calc, frame and split."""
    lines = [
        f"{index},{name},{calc},1.2,{frame},1,2,3,4,90,20.0,1024,768,{split}"
        for index, (name, calc, frame, split) in enumerate(rows)
    ]
    return write_csv(folder / "MeasurementsList.csv", HEADER, *lines)


@pytest.fixture
def release(tmp_path):
    """Four batches with a video each."""
    touch(tmp_path, *(f"Batch{number}/0X{number}A.avi" for number in (1, 2, 3, 4)))
    return tmp_path


def marks(release, write_csv, *rows):
    """Marks of the video 0X1A."""
    write_list(write_csv, release, *(("0X1A", calc, frame, "train") for calc, frame in rows))
    listing = SOURCE.list_records(release)
    return listing.records[0].marked, listing.notes


def test_several_rows_a_video_and_its_batch_nowhere(release, write_csv):
    touch(release, "Batch3/0XC.avi", "Batch4/0X1a.AVI")
    write_list(
        write_csv,
        release,
        ("0X1A", "IVSd", 5, "train"),
        ("0X1A", "LVIDd", 5, "train"),
        ("0x2a", "IVSd", 7, "test"),
        ("0X2A", "LVPWd", 7, "test"),
        ("0XGONE", "IVSd", 1, "val"),
        ("0X3A", "IVSd", 0, "val"),
        ("0X4A", "LVIDs", 3, "train"),
    )
    listing = SOURCE.list_records(release)
    assert [
        (record.path.relative_to(release).as_posix(), record.view, record.group_kind, record.official_split)
        for record in listing.records
    ] == [
        ("Batch1/0X1A.avi", "PLAX", "file", "train"),
        ("Batch2/0X2A.avi", "PLAX", "file", "test"),
        ("Batch3/0X3A.avi", "PLAX", "file", "validation"),
        ("Batch4/0X4A.avi", "PLAX", "file", "train"),
    ]
    assert [record.marked for record in listing.records] == [(("ED", 5),), (("ED", 7),), (("ED", 0),), (("ES", 3),)]
    assert listing.omitted == {
        "file name that stands twice": ["Batch4/0X1a.AVI"],
        "row without a file": ["0XGONE.avi"],
        "file without a row": ["0XC.avi"],
    }
    assert listing.notes == []


def test_columns_are_read_by_name(release, write_csv):
    write_csv(release / "MeasurementsList.csv", "split,Frame,Y1,Calc,HashedFileName", "val,8,3,LVIDs,0X2A.avi")
    (record,) = SOURCE.list_records(release).records
    assert (record.path.name, record.official_split, record.marked) == ("0X2A.avi", "validation", (("ES", 8),))


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([("LVIDd", 5), ("LVIDs", 20)], (("ED", 5), ("ES", 20))),
        ([("IVSs", 21), ("IVSd", 6)], (("ED", 6), ("ES", 21))),
        ([("IVSd", 3), ("LVPWd", 3), ("LVIDd", 9)], (("ED", 9),)),
        ([("LVPWd", 2), ("IVSd", 4)], (("ED", 4),)),
        ([("LVIDd", 30), ("LVIDd", 12)], (("ED", 12),)),
        ([("lvidD", "7.0"), ("AoRoot", 9)], (("ED", 7),)),
        ([("AoRoot", 9)], ()),
    ],
)
def test_the_frames_of_the_calipers_mark_end_diastole_and_end_systole(release, write_csv, rows, expected):
    assert marks(release, write_csv, *rows) == (expected, [])


@pytest.mark.parametrize("frame", ["", "x", "-1", "2.5", "nan", "inf"])
def test_a_frame_that_cannot_be_read_marks_nothing(release, write_csv, frame):
    assert marks(release, write_csv, ("LVIDd", frame), ("LVIDs", 8)) == (
        (("ES", 8),),
        ["1 measurements name no frame that can be read; they mark nothing"],
    )


def test_one_frame_cannot_be_both(release, write_csv):
    assert marks(release, write_csv, ("LVIDd", 8), ("LVIDs", 8)) == (
        (),
        ["1 cines have end diastole and end systole on one frame; neither is marked"],
    )


def test_rows_of_a_video_that_disagree_on_the_split_leave_it_without_one(release, write_csv):
    rows = [("0X1A", "IVSd", 1, "train"), ("0X1A", "LVIDd", 1, "test"), ("0X2A", "LVIDd", 1, "test")]
    write_list(write_csv, release, *rows)
    listing = SOURCE.list_records(release)
    assert [record.official_split for record in listing.records] == [None, "test"]
    assert listing.notes == ["the rows of 1 cines name two official splits; these cines have none"]


def test_words_that_name_no_split_give_none(release, write_csv):
    write_list(write_csv, release, ("0X1A", "IVSd", 1, "fold 1"), ("0X2A", "IVSd", 1, ""), ("0X3A", "IVSd", 1, "VAL"))
    listing = SOURCE.list_records(release)
    assert [record.official_split for record in listing.records] == [None, None, "validation"]
    assert listing.notes == ["2 rows name no known split; they count as rows without an official split"]


def test_a_missing_batch_is_noted_and_a_top_folder_is_found(tmp_path, write_csv):
    touch(tmp_path, "EchoNet-LVH/Batch2/0X1A.avi", "EchoNet-LVH/Batch2/deeper/0X2A.avi")
    write_list(write_csv, tmp_path / "EchoNet-LVH", ("0X1A", "LVIDd", 1, "train"), ("0X2A", "LVIDd", 1, "train"))
    listing = SOURCE.list_records(tmp_path)
    assert len(listing.records) == 2
    assert listing.notes == ["Batch1, Batch3, Batch4 missing"]


def test_missing_parts_are_named(tmp_path, write_csv):
    with pytest.raises(EchosynthError, match="nowhere is missing; put EchoNet-LVH there"):
        SOURCE.list_records(tmp_path / "nowhere")
    with pytest.raises(EchosynthError, match="is empty"):
        SOURCE.list_records(tmp_path)
    touch(tmp_path, "file")
    with pytest.raises(EchosynthError, match="file is a file and should be a folder"):
        SOURCE.list_records(tmp_path / "file")
    with pytest.raises(EchosynthError, match=r"MeasurementsList\.csv is missing"):
        SOURCE.list_records(tmp_path)
    write_list(write_csv, tmp_path, ("0X1A", "LVIDd", 1, "train"))
    with pytest.raises(EchosynthError, match="no folder Batch1 to Batch4"):
        SOURCE.list_records(tmp_path)
    (tmp_path / "Batch1").mkdir()
    with pytest.raises(EchosynthError, match=r"holds no usable image \(row without a file: 1\)"):
        SOURCE.list_records(tmp_path)
    write_csv(tmp_path / "MeasurementsList.csv", "HashedFileName,split", "0X1A,train")
    with pytest.raises(EchosynthError, match=r"MeasurementsList\.csv has no column Calc"):
        SOURCE.list_records(tmp_path)
