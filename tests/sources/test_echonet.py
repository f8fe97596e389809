import pytest

from echosynth.errors import EchosynthError
from echosynth.sources.registry import SOURCES

DYNAMIC, LVH = SOURCES["echonet-dynamic"].list_records, SOURCES["echonet-lvh"].list_records
ONE, TWO = "0X100009310A3BD7FC", "0X1002E8FBACD0847"


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


@pytest.mark.parametrize(
    "header",
    [
        "FileName,EF,ESV,EDV,FrameHeight,FrameWidth,FPS,NumberOfFrames,Split",
        "FileName,EF,ESV,EDV,Height,Width,FPS,NumFrames,Split",
    ],
)
def test_dynamic(tmp_path, write_csv, header):
    touch(tmp_path, f"Videos/{ONE}.avi", f"Videos/{TWO}.avi", "Videos/0XEXTRA.avi")
    rows = [
        f"{name},55,30,70,112,112,50,150,{split}"
        for name, split in ((TWO, "VAL"), (ONE, "TRAIN"), (ONE, "TRAIN"), ("0XGONE", "TEST"))
    ]
    write_csv(tmp_path / "FileList.csv", header, *rows, start="\ufeff", end="\r\n")
    listing = DYNAMIC(tmp_path)
    first, second = listing.records
    assert (first.path, first.view, first.group, first.group_kind) == (
        tmp_path / f"Videos/{ONE}.avi",
        "A4C",
        ONE,
        "file",
    )
    assert (first.official_split, second.official_split) == ("train", "validation")
    assert listing.omitted == {
        "row that stands twice": [f"{ONE}.avi"],
        "row without a file": ["0XGONE.avi"],
        "file without a row": ["0XEXTRA.avi"],
    }


def test_dynamic_without_a_usable_row(tmp_path, write_csv):
    write_csv(tmp_path / "FileList.csv", "FileName,Split", f"{ONE},TRAIN")
    with pytest.raises(EchosynthError, match=r"holds no usable image.*row without a file: 1"):
        DYNAMIC(tmp_path)


def test_a_missing_table_or_column_is_named(tmp_path, write_csv):
    touch(tmp_path, f"Videos/{ONE}.avi")
    with pytest.raises(EchosynthError, match=r"FileList\.csv is missing"):
        DYNAMIC(tmp_path)
    write_csv(tmp_path / "FileList.csv", "FileName,EF", f"{ONE},55")
    with pytest.raises(EchosynthError, match=r"FileList\.csv has no column Split"):
        DYNAMIC(tmp_path)


def test_lvh_has_several_rows_a_video_and_its_batch_nowhere(tmp_path, write_csv):
    touch(tmp_path, "Batch1/0XA.avi", "Batch4/0XB.avi", "Batch2/0XC.avi", "Batch3/0XB.avi")
    header = ",HashedFileName,Calc,CalcValue,Frame,X1,X2,Y1,Y2,Frames,FPS,Width,Height,split"
    rows = [
        f"{index},{name},{calc},1.2,5,1,2,3,4,90,20,1024,768,{split}"
        for index, (name, calc, split) in enumerate(
            [("0XA", "IVSd", "train"), ("0XA", "LVIDd", "train"), ("0XB", "IVSd", "test"), ("0XGONE", "IVSd", "val")]
        )
    ]
    write_csv(tmp_path / "MeasurementsList.csv", header, *rows)
    listing = LVH(tmp_path)
    found = [
        (record.path.relative_to(tmp_path).as_posix(), record.view, record.official_split) for record in listing.records
    ]
    assert found == [("Batch1/0XA.avi", "PLAX", "train"), ("Batch3/0XB.avi", "PLAX", "test")]
    assert listing.omitted == {
        "file name that stands twice": ["0XB.avi"],
        "row without a file": ["0XGONE.avi"],
        "file without a row": ["0XC.avi"],
    }


def test_lvh_without_batches(tmp_path, write_csv):
    write_csv(tmp_path / "MeasurementsList.csv", "HashedFileName,split", "0XA,train")
    with pytest.raises(EchosynthError, match="no folder Batch1 to Batch4"):
        LVH(tmp_path)
