import json
from pathlib import Path

import pytest

from echosynth.common.errors import EchosynthError
from echosynth.sources.registry import find_source

UNITY = find_source("unity").list_records
CINES = [f"0{1 + index % 2}-{digit * 64}" for index, digit in enumerate("4abcd")]
NAMES = [f"{cine}-000{frame}.png" for cine in CINES for frame in (0, 7)]


def cached(name: str) -> str:
    return f"png-cache/{name[:2]}/{name[3:5]}/{name[5:7]}/{name}"


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def tree(root: Path, write_csv, names=tuple(NAMES), view="a4c", table="view_index.csv") -> None:
    """The images with one view each and no lists."""
    touch(root, *map(cached, names))
    write_csv(root / table, "file,view", *(f"{name},{view}" for name in names))


@pytest.mark.parametrize("suffix", [".txt", ".json"])
def test_views_lists_and_all_that_is_left_out(tmp_path, write_csv, suffix):
    touch(tmp_path, *map(cached, NAMES), "png-cache/01/x/y.png")
    views = ["plax", "PLAX", "a4c", "a2c", "psax", "", "9 views, or a name"]
    # Published paths are inconsistent: folders of several kinds before the same base name.
    paths = [NAMES[0], f"01/4d/{NAMES[1]}", rf"png-cache\02\{NAMES[2]}", f"/x/{NAMES[3]}", *NAMES[4:7]]
    rows = [f'{path},"{view}"' for path, view in zip(paths, views, strict=True)]
    write_csv(tmp_path / "view_index.csv", "file,view", *rows, f"01-{'e' * 64}-0000.png,plax", "y.png,plax")
    lists = {"train": NAMES[:1], "tune": [f"somewhere/{NAMES[2]}"], "ival": NAMES[4:]}
    for word, items in lists.items():
        text = json.dumps({item: {"labels": {}} for item in items}) if suffix == ".json" else "\n".join(items)
        write_csv(tmp_path / f"labels/labels-{word}{suffix}", text)
    listing = UNITY(tmp_path)
    found = {r.path.name: (r.view, r.group, r.group_kind, r.official_split) for r in listing.records}
    assert found == {
        NAMES[0]: ("PLAX", CINES[0], "cine", "train"),
        NAMES[1]: ("PLAX", CINES[0], "cine", "train"),
        NAMES[2]: ("A4C", CINES[1], "cine", "validation"),
        NAMES[3]: ("A2C", CINES[1], "cine", "validation"),
    }
    assert listing.omitted == {
        "view psax": [NAMES[4]],
        "unknown word for a view": [NAMES[6]],
        "no view": [NAMES[5], *sorted(NAMES[7:])],
        "row without a file": [f"01-{'e' * 64}-0000.png"],
        "file name without a cine": ["y.png"],
    }
    assert not listing.notes


@pytest.mark.parametrize("table", ["view_index.csv", "view_index_20220705.csv"])
@pytest.mark.parametrize("top", ["", "unity/"])
def test_each_table_of_views_will_do_also_a_level_down(tmp_path, write_csv, table, top):
    tree(tmp_path / top, write_csv, table=table)
    listing = UNITY(tmp_path)
    assert len(listing.records) == len(NAMES)
    assert [note.split(":")[0] for note in listing.notes] == [
        f"there is no labels/labels-{word}.txt or .json" for word in ("train", "tune", "ival")
    ]


def test_images_on_which_the_two_tables_disagree_are_left_out(tmp_path, write_csv):
    tree(tmp_path, write_csv, NAMES[:3])
    write_csv(
        tmp_path / "view_index_20220705.csv", "file,view", f"{NAMES[0]},a2c", f"{NAMES[1]},a4c", f"{NAMES[4]},plax"
    )
    touch(tmp_path, cached(NAMES[4]))
    listing = UNITY(tmp_path)
    assert {r.path.name: r.view for r in listing.records} == {NAMES[1]: "A4C", NAMES[2]: "A4C", NAMES[4]: "PLAX"}
    assert listing.omitted == {"rows of one file that disagree": [NAMES[0]]}
    assert listing.notes[0].startswith("views come from view_index.csv and view_index_20220705.csv")


def test_a_cine_in_two_lists_has_no_official_split(tmp_path, write_csv):
    tree(tmp_path, write_csv)
    write_csv(tmp_path / "labels/labels-train.txt", NAMES[0], f"{CINES[4]}-0000_(1).png")
    write_csv(tmp_path / "labels/labels-tune.txt", NAMES[1], NAMES[2])
    write_csv(tmp_path / "labels/labels-ival.txt", NAMES[4])
    listing = UNITY(tmp_path)
    assert [record.official_split for record in listing.records if record.group == CINES[0]] == [None, None]
    assert [record.official_split for record in listing.records if record.group == CINES[1]] == ["validation"] * 2
    assert [record.official_split for record in listing.records if record.group == CINES[4]] == [None, None]
    assert listing.notes == [
        "1 of 3 cines stand in two lists of labels/; these are split anew",
        "1 entries of the lists in labels/ are no file names of the release",
    ]


def test_names_in_capitals_are_the_same_cine(tmp_path, write_csv):
    tree(tmp_path, write_csv, [NAMES[2]])
    write_csv(tmp_path / "labels/labels-ival.txt", NAMES[2].upper())
    assert UNITY(tmp_path).records[0].official_split == "test"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is no valid JSON"),
        ("[]", "must map file names to labels"),
        ("7", "must map file names to labels"),
        ("[" * 100_000, "nested too deeply"),
        ("9" * 5_000, "is no valid JSON"),
        ("\0", "is no text"),
    ],
)
def test_a_broken_list_is_refused_in_one_sentence(tmp_path, write_csv, text, words):
    tree(tmp_path, write_csv)
    path = write_csv(tmp_path / "labels/labels-tune.json", text)
    with pytest.raises(EchosynthError, match=words) as error:
        UNITY(tmp_path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (None, "view_index.csv is missing"),
        (("name,view", "x,plax"), "no column file"),
        (("file,view",), "has no rows"),
        (("file,view", f"{NAMES[0]},a3c"), "no usable image .*view a3c: 1"),
    ],
)
def test_a_broken_table_of_views_is_refused(tmp_path, write_csv, lines, words):
    tree(tmp_path, write_csv)
    (tmp_path / "view_index.csv").unlink()
    if lines:
        write_csv(tmp_path / "view_index.csv", *lines)
    with pytest.raises(EchosynthError, match=words):
        UNITY(tmp_path)


def test_a_release_without_images_is_refused(tmp_path, write_csv):
    write_csv(tmp_path / "view_index.csv", "file,view", f"{NAMES[0]},plax")
    with pytest.raises(EchosynthError, match=r"no folder png-cache; unpack .*png-cache\.zip"):
        UNITY(tmp_path)


def test_a_linked_cache_outside_is_not_read(tmp_path, write_csv):
    root = tmp_path / "release"
    tree(tmp_path / "disk", write_csv)
    tree(root, write_csv, NAMES[:1])
    (root / cached(NAMES[1])).symlink_to(tmp_path / "disk" / cached(NAMES[1]))
    listing = UNITY(root)
    assert len(listing.records) == 1
    assert listing.omitted["link that leaves the folder"] == [cached(NAMES[1])]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_the_table_may_come_from_a_spreadsheet(tmp_path, write_csv, encoding):
    tree(tmp_path, write_csv)
    (tmp_path / "view_index.csv").write_bytes(f"View;File\r\nplax;{NAMES[0]}\r\n".encode(encoding))
    assert [record.view for record in UNITY(tmp_path).records] == ["PLAX"]
