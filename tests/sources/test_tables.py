import os
import unicodedata

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from echosynth.common.errors import EchosynthError
from echosynth.sources.base import Listing, Record, hashed
from echosynth.sources.folders import find_root, index_files, require_folder, walk_files
from echosynth.sources.tables import (
    base_name,
    finished,
    match_rows,
    note_unknown_splits,
    official_split,
    read_table,
    whole_number,
)

HEADER = "FileName,Größe,Split"
ROWS = ("0X1E5,12,TRAIN", "007,,val")
EXPECTED = [["0X1E5", "TRAIN"], ["007", "val"]]


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends_do_not_matter(tmp_path, encoding, end):
    path = tmp_path / "t.csv"
    path.write_bytes((end.join((HEADER, *ROWS)) + end).encode(encoding))
    assert read_table(path, ("FileName", "Split")).to_numpy().tolist() == EXPECTED
    assert read_table(path, ("Größe",))["Größe"].tolist() == ["12", ""]


def test_utf_16_may_have_either_order_of_bytes(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b"\xfe\xff" + "\n".join((HEADER, *ROWS)).encode("utf-16-be"))
    assert read_table(path, ("FileName", "Split")).to_numpy().tolist() == EXPECTED


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators_do_not_matter(tmp_path, write_csv, separator):
    path = write_csv(tmp_path / "t.csv", *(line.replace(",", separator) for line in (HEADER, *ROWS)))
    assert read_table(path, ("FileName", "Split")).to_numpy().tolist() == EXPECTED


@pytest.mark.parametrize("first", ["sep=;", '"sep=;"', "SEP=;", "sep=; "])
def test_a_spreadsheet_may_name_its_separator_first(tmp_path, write_csv, first):
    path = write_csv(tmp_path / "t.csv", first, "file;view", "a;A4C", "b;PLAX", start="\ufeff", end="\r\n")
    assert read_table(path, ["file", "view"])["view"].tolist() == ["A4C", "PLAX"]
    write_csv(path, first, "file;view", "a;A4C;x")
    with pytest.raises(EchosynthError, match="line 3 has 3 cells"):
        read_table(path, ["file", "view"])


@pytest.mark.parametrize(
    ("cell", "number"),
    [("0", 0), ("112", 112), ("112.0", 112), ("112,00", 112), ("", None), ("-1", None), ("2.5", None), ("1e3", None)],
)
def test_whole_numbers_as_spreadsheets_write_them(cell, number):
    assert whole_number(cell) == number


def test_the_separator_is_the_most_frequent_one_of_the_header(tmp_path, write_csv):
    path = write_csv(tmp_path / "t.csv", "Note, or name;FileName;Split", "a,b,c,d;0X1E5;TRAIN", ";007;val")
    assert read_table(path, ("FileName", "Split")).to_numpy().tolist() == EXPECTED


def test_quotes_hide_separators_but_no_line_ends(tmp_path, write_csv):
    path = write_csv(tmp_path / "t.csv", '"FileName",Note,Split', '"0X1E5","a, ""b"" c",TRAIN', "007,,val")
    assert read_table(path, ("FileName", "Split")).to_numpy().tolist() == EXPECTED
    write_csv(path, "FileName,Note,Split", '0X1E5,"a', '0X1E6,b",TRAIN', "007,,val")
    with pytest.raises(EchosynthError, match=r"t\.csv: a cell that ends in line 3 spans several lines"):
        read_table(path, ("FileName", "Split"))


def test_case_of_the_header_blanks_and_blank_lines_do_not_matter(tmp_path, write_csv):
    path = write_csv(tmp_path / "t.csv", "", ",,", " filename ,SPLIT ,EF", "0X1E5, TRAIN ,55", "", ",,", "007,val,")
    table = read_table(path, ("FileName", "Split"))
    assert list(table.columns) == ["FileName", "Split"]
    assert table.to_numpy().tolist() == EXPECTED


def test_a_column_may_have_several_names_and_keeps_the_first(tmp_path, write_csv):
    table = read_table(write_csv(tmp_path / "t.csv", "Width,NumFrames", "112,9"), (("NumberOfFrames", "NumFrames"),))
    assert table["NumberOfFrames"].tolist() == ["9"]


def test_a_column_without_a_name_is_passed_over(tmp_path, write_csv):
    assert read_table(write_csv(tmp_path / "t.csv", ",a", "0,x", "1,y"), ("a",))["a"].tolist() == ["x", "y"]


def test_a_short_row_has_empty_cells_and_empty_cells_too_many_do_no_harm(tmp_path, write_csv):
    table = read_table(write_csv(tmp_path / "t.csv", "a,b", "1", "2,x,,"), ("a", "b"))
    assert table.to_numpy().tolist() == [["1", ""], ["2", "x"]]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "is missing"),
        (b"", "is empty"),
        (b"\xef\xbb\xbf\r\n , \r\n", "is empty"),
        (b"a,b\n", "has no rows"),
        (b"a,b\n,\n\n", "has no rows"),
        (b"a,c\n1,2\n", "has no column b; its columns are a, c"),
        (b"1,2\n3,4\n", "has no column a"),
        (b"a,B,b\n1,2,3\n", "has the column b twice"),
        (b"a,b\n1,2\n1,2,3\n", "line 3 has 3 cells, the header 2"),
        (b'a,b\n1,2\n"', "no valid CSV"),
        (b'a,b\n"1"x,2\n', "no valid CSV"),
        (b"a,b\n1,\0\n", "is no text"),
        ("a,b\n1,2\n".encode("utf-16-le"), "is no text"),
        (b"\xff\xfea", "is no text"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "is no text"),
        (b"a,b\n" + b"x" * 200_000 + b",2\n", "no valid CSV"),
    ],
)
def test_a_broken_table_is_named(tmp_path, content, words):
    path = tmp_path / "t.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(EchosynthError, match=words) as error:
        read_table(path, ("a", "b"))
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300 + len(str(path))


CELL = st.sampled_from(
    ["a", "b", "A", "0X1E5", "", " ", '"', "\r\n", "\n", ",", ";", "\t", "|", "\0", "\ufeff", "é", "\x85"]
)


@settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=st.binary(max_size=60) | st.lists(CELL, max_size=30).map("".join).map(str.encode))
def test_any_bytes_give_text_or_one_sentence(tmp_path, content):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    try:
        table = read_table(path, ("a", "b"))
    except EchosynthError as error:
        assert str(path) in str(error)
        assert "\n" not in str(error)
    else:
        assert list(table.columns) == ["a", "b"]
        assert all(isinstance(cell, str) and cell == cell.strip() for cell in table.to_numpy().flat)


def test_a_picture_and_a_folder_in_place_of_a_table_are_named(tmp_path, write_png):
    with pytest.raises(EchosynthError, match=r"t\.csv is no text"):
        read_table(write_png(tmp_path / "t.csv"), ("a",))
    (tmp_path / "u.csv").mkdir()
    with pytest.raises(EchosynthError, match=r"u\.csv is a folder and should be a file"):
        read_table(tmp_path / "u.csv", ("a",))


def test_a_missing_folder_an_empty_one_and_a_file_are_named(tmp_path):
    with pytest.raises(EchosynthError, match="nowhere is missing; put CAMUS there"):
        require_folder(tmp_path / "nowhere", "CAMUS")
    with pytest.raises(EchosynthError, match="is empty"):
        require_folder(tmp_path, "CAMUS")
    touch(tmp_path, "file")
    with pytest.raises(EchosynthError, match="file is a file and should be a folder"):
        require_folder(tmp_path / "file", "CAMUS")
    assert require_folder(tmp_path, "CAMUS") == tmp_path


@pytest.mark.parametrize("top", ["", "Top", "a b/Top", "a/b/c"])
def test_the_root_of_a_release_is_found_below_its_folder(tmp_path, top):
    touch(tmp_path / top, "List.csv", "Videos/x.avi")
    touch(tmp_path, ".hidden/List.csv")
    assert find_root(tmp_path, ("List.csv",)) == tmp_path / top


def test_a_root_that_is_too_deep_or_not_there_is_the_folder_itself_and_two_are_refused(tmp_path):
    touch(tmp_path, "a/b/c/d/List.csv")
    assert find_root(tmp_path, ("List.csv",)) == tmp_path
    touch(tmp_path, "x/List.csv", "y/List.csv")
    with pytest.raises(EchosynthError, match=r"the release lies in .*x and in .*y"):
        find_root(tmp_path, ("List.csv",))


def test_files_are_indexed_once_by_name(tmp_path):
    touch(tmp_path, "b/x.PNG", "b/._y.png", "b/.cache/z.png", "a/y.png", "b/Y.png", "b/z.txt")
    listing = Listing()
    index = index_files([tmp_path / "b", tmp_path / "a", tmp_path / "missing"], tmp_path, ".png", listing)
    assert index == {"x.png": tmp_path / "b/x.PNG", "y.png": tmp_path / "b/Y.png"}
    assert listing.omitted == {"file name that stands twice": ["a/y.png"]}


def test_names_with_blanks_and_letters_of_either_composition_are_found(tmp_path):
    for form in ("NFC", "NFD"):
        touch(tmp_path / form, unicodedata.normalize(form, "Ärzte im Haus .png"))
        index = index_files([tmp_path / form], tmp_path, ".png", Listing())
        assert list(index) == [unicodedata.normalize("NFC", "ärzte im haus .png")]


def test_links_that_leave_are_counted_and_links_within_are_followed(tmp_path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    touch(outside, "x.png", "folder/deep.png")
    touch(root, "real/a.png")
    (root / "out.png").symlink_to(outside / "x.png")
    (root / "within.png").symlink_to(root / "real/a.png")
    (root / "folder").symlink_to(outside / "folder")
    (root / "again").symlink_to(root / "real")
    (root / "up").symlink_to(root)
    listing = Listing()
    found = [path.relative_to(root).as_posix() for path in walk_files([root], root, listing)]
    assert found == ["within.png", "real/a.png"]
    assert listing.omitted == {
        "link to a folder": ["again", "up"],
        "link that leaves the folder": ["folder", "out.png"],
    }


def test_links_into_the_cache_of_dvc_are_followed(tmp_path):
    cached = tmp_path / "elsewhere/.dvc/cache/files/md5/ab" / ("c" * 30)
    touch(tmp_path, cached.relative_to(tmp_path), "root/a.png")
    (tmp_path / "root/b.png").symlink_to(cached)
    listing = Listing()
    found = [path.name for path in walk_files([tmp_path / "root"], tmp_path / "root", listing)]
    assert found == ["a.png", "b.png"]
    assert not listing.omitted


def test_broken_links_and_loops_are_counted(tmp_path):
    touch(tmp_path, "a.png")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop.png").symlink_to(tmp_path / "pool.png")
    (tmp_path / "pool.png").symlink_to(tmp_path / "loop.png")
    listing = Listing()
    assert [path.name for path in walk_files([tmp_path], tmp_path, listing)] == ["a.png"]
    assert listing.omitted == {"broken link": ["gone.png", "loop.png", "pool.png"]}


def test_a_linked_part_of_a_release_is_followed_within_it_alone(tmp_path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    touch(outside, "x.png")
    touch(root, "store/a.png")
    (root / "Videos").symlink_to(root / "store")
    (root / "Batch1").symlink_to(outside)
    listing = Listing()
    assert list(walk_files([root / "Videos", root / "Batch1"], root, listing)) == [root / "Videos/a.png"]
    assert listing.omitted == {"link that leaves the folder": ["Batch1"]}


def test_a_release_may_be_a_link_as_a_whole(tmp_path):
    touch(tmp_path, "disk/Videos/a.png")
    (tmp_path / "root").symlink_to(tmp_path / "disk")
    listing = Listing()
    assert [path.name for path in walk_files([tmp_path / "root/Videos"], tmp_path / "root", listing)] == ["a.png"]


def test_a_name_that_is_no_text_is_counted(tmp_path):
    touch(tmp_path, "a.png")
    with open(os.fsencode(tmp_path) + b"/\xff.png", "wb"):  # noqa: PTH123  (a path of bytes)
        pass
    listing = Listing()
    assert [path.name for path in walk_files([tmp_path], tmp_path, listing)] == ["a.png"]
    assert listing.omitted == {"name that is no text": [r"\xff.png"]}


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    touch(tmp_path, "closed/a.png")

    def refuse(folder):
        raise PermissionError(13, "Permission denied", os.fspath(folder))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(EchosynthError, match=r"cannot be read \(Permission denied\); check its permissions"):
        list(walk_files([tmp_path / "closed"], tmp_path, Listing()))


@pytest.mark.parametrize("cell", ["x", "x.avi", "Videos/x.avi", r"a\b\x.avi", "./x"])
def test_a_cell_may_hold_folders_of_either_kind_and_no_suffix(cell):
    assert base_name(cell, ".avi") == "x.avi"


def test_a_suffix_may_be_upper_case_and_an_empty_cell_is_no_name():
    assert base_name("x.AVI", ".avi") == "x.AVI"
    assert base_name("x.1", ".avi") == "x.1.avi"
    assert base_name("", ".avi") == ""


def test_rows_and_files_are_brought_together(tmp_path):
    files = {f"{name}.avi": tmp_path / f"{name}.avi" for name in "abcd"}
    rows = [("a.avi", "A4C"), ("A.AVI", "A4C"), ("b.avi", "A4C"), ("b.avi", "PSAX"), ("c.avi", "A5C"), ("x.avi", "A4C")]
    listing = Listing()

    def describe(name, view):
        return {"view": view, "group": "g", "group_kind": "file"} if view != "A5C" else f"view {view}"

    match_rows(listing, files, [*rows, ("", "A4C")], describe)
    assert listing.records == [Record(tmp_path / "a.avi", "A4C", "g", "file")]
    assert listing.omitted == {
        "row that stands twice": ["A.AVI"],
        "rows of one file that disagree": ["b.avi"],
        "view A5C": ["c.avi"],
        "row without a file": ["x.avi", "(no name)"],
        "file without a row": ["d.avi"],
    }


def record(path, group, split):
    return Record(path, "A4C", group, "patient", official_split=split)


def test_a_group_in_two_official_splits_loses_them(tmp_path):
    listing = Listing(
        [
            record(tmp_path / "b", "1", "train"),
            record(tmp_path / "a", "1", "test"),
            record(tmp_path / "c", "2", "train"),
        ]
    )
    assert [(found.path.name, found.official_split) for found in finished(listing, tmp_path).records] == [
        ("a", None),
        ("b", None),
        ("c", "train"),
    ]
    assert listing.notes == ["1 of 2 groups (patient) stand in two official splits; these are split anew"]


def test_a_listing_without_records_is_refused_with_the_reasons(tmp_path):
    with pytest.raises(EchosynthError, match=r"holds no usable image \(no files found\)"):
        finished(Listing(), tmp_path)
    listing = Listing()
    listing.omit("no view", "x")
    with pytest.raises(EchosynthError, match=r"holds no usable image \(no view: 1\)"):
        finished(listing, tmp_path)


def test_words_for_splits():
    words = {"TRAIN": "train", " Val ": "validation", "tune": "validation", "ival": "test", "testing": "test"}
    assert {word: official_split(word) for word in words} == words
    assert official_split("3") is None
    listing = Listing()
    note_unknown_splits(listing, ["train", "TEST"])
    assert listing.notes == []
    note_unknown_splits(listing, ["train", "", "John Smith"])
    assert listing.notes == ["2 rows name no known split; they count as rows without an official split"]


def test_hashes_depend_on_salt_and_every_part():
    names = {hashed("a", "b", "c"), hashed("a", "bc"), hashed("x", "b", "c"), hashed("a", "b", "d")}
    assert len(names) == 4
    assert hashed("a", "b", "c") == hashed("a", "b", "c")
