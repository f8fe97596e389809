import pytest

from echosynth.errors import EchosynthError
from echosynth.sources.base import Listing, hashed
from echosynth.sources.tables import base_name, index_files, read_table, require_folder


def test_a_table_is_text_whatever_it_looks_like(tmp_path, write_csv):
    path = write_csv(tmp_path / "t.csv", "filename,Split,EF", "0X1E5, TRAIN ,55", "007,,", start="\ufeff", end="\r\n")
    table = read_table(path, ("FileName", "Split"))
    assert list(table.columns) == ["FileName", "Split"]
    assert table.to_numpy().tolist() == [["0X1E5", "TRAIN"], ["007", ""]]


def test_a_row_with_too_few_cells_has_empty_ones(tmp_path, write_csv):
    table = read_table(write_csv(tmp_path / "t.csv", "a,b", "1"), ("a", "b"))
    assert table["b"].tolist() == [""]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (None, "is missing"),
        ((), "is empty"),
        (("a,b",), "no rows"),
        (("a,c", "1,2"), "no column b"),
        (("a,b", "1,2", '"'), "no valid CSV"),
    ],
)
def test_a_broken_table_is_named(tmp_path, write_csv, lines, words):
    path = tmp_path / "t.csv"
    if lines is not None:
        write_csv(path, *lines, end="\n" if lines else "")
    with pytest.raises(EchosynthError, match=words) as error:
        read_table(path, ("a", "b"))
    assert str(path) in str(error.value)


def test_a_missing_and_an_empty_folder_are_named(tmp_path):
    with pytest.raises(EchosynthError, match="nowhere is missing; put CAMUS there"):
        require_folder(tmp_path / "nowhere", "CAMUS")
    with pytest.raises(EchosynthError, match="is empty"):
        require_folder(tmp_path, "CAMUS")


def test_files_are_indexed_once_by_name(tmp_path):
    for name in ("b/x.PNG", "b/._y.png", "a/y.png", "b/y.png", "b/z.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    listing = Listing()
    index = index_files([tmp_path / "b", tmp_path / "a"], ".png", listing)
    assert index == {"y.png": tmp_path / "a/y.png", "x.PNG": tmp_path / "b/x.PNG"}
    assert listing.omitted == {"file name that stands twice": ["y.png"]}


@pytest.mark.parametrize("cell", ["x", "x.avi", "Videos/x.avi", r"a\b\x.avi"])
def test_a_cell_may_hold_folders_of_either_kind_and_no_suffix(cell):
    assert base_name(cell, ".avi") == "x.avi"


def test_hashes_depend_on_salt_and_every_part():
    names = {hashed("a", "b", "c"), hashed("a", "bc"), hashed("x", "b", "c"), hashed("a", "b", "d")}
    assert len(names) == 4
    assert hashed("a", "b", "c") == hashed("a", "b", "c")
