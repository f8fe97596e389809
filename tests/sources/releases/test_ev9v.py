import pytest

from echosynth.common.errors import EchosynthError
from echosynth.sources.registry import find_source

SOURCE = find_source("ev9v")
EXAM, LATER, SEGMENT = "2022-04-28_08-03-07", "2022-07-27_14-06-42", "2022-07-01_10-07-13"
VIDEOS = {
    f"{EXAM}_003_320x240_8": ("train", "A5C"),
    f"{EXAM}_003_320x240_3": ("train", "PMVLSA"),
    f"{EXAM}_005_320x240_0": ("train", "PMPALA"),
    f"{EXAM}_320x240_7": ("train", "A4C"),
    f"{LATER}_320x240_2": ("validation", "PLHLA"),
    f"{LATER}_320x240_3": ("validation", "PASA"),
    f"{SEGMENT}-seg2_002_320x240_6": ("test", "PPMLSA"),
    f"{SEGMENT}-seg1_320x240_1": ("test", "PMASA"),
    f"{SEGMENT}-seg1_320x240_2": ("test", "SC4C"),
}
EXPECTED = [
    ("A4C", EXAM, "cine", "train"),
    ("PLAX", LATER, "cine", "validation"),
    ("PSAX", EXAM, "cine", "train"),
    ("PSAX", LATER, "cine", "validation"),
    ("PSAX", SEGMENT, "cine", "test"),
    ("PSAX", SEGMENT, "cine", "test"),
]
SPLITS = ("train", "validation", "test")


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def write_labelled(folder, **lines):
    """The lists of the published data set, with further lines."""
    touch(folder, *(f"Videos/{name}.mp4" for name in VIDEOS))
    for split in SPLITS:
        rows = [f"{name} {code}" for name, (found, code) in VIDEOS.items() if found == split]
        (folder / f"{split}_labeled.txt").write_text("\n".join([*rows, *lines.get(split, [])]) + "\n")


def write_table(folder, **lines):
    """The files that the code of its authors reads."""
    touch(folder, *(f"Videos/{name}.mp4" for name in VIDEOS))
    rows = [f"{name},{code}" for name, (_, code) in VIDEOS.items()]
    (folder / "labels.csv").write_text("\n".join(["names,labels", *rows, *lines.get("labels", [])]) + "\n")
    for split in SPLITS:
        names = [name for name, (found, _) in VIDEOS.items() if found == split]
        (folder / f"{split}.txt").write_text("\n".join([*names, *lines.get(split, [])]) + "\n")


def listed(listing):
    return sorted((record.view, record.group, record.group_kind, record.official_split) for record in listing.records)


@pytest.mark.parametrize("top", ["", "EV9V"])
@pytest.mark.parametrize("write", [write_labelled, write_table])
def test_the_codes_of_four_views_are_read_and_the_others_counted(tmp_path, write, top):
    write(tmp_path / top)
    touch(tmp_path / top, f"Images/{EXAM}_320x240_7/frame_000001.jpg", "raw/Videos.tar")
    listing = SOURCE.list_records(tmp_path)
    assert listed(listing) == sorted(EXPECTED)
    assert {reason: len(names) for reason, names in listing.omitted.items()} == {
        "view A5C": 1,
        "view PMPALA": 1,
        "view SC4C": 1,
    }
    assert listing.notes == []


def test_names_may_have_the_suffix_in_any_case_and_codes_too(tmp_path):
    name = f"{EXAM}_320x240_9"
    touch(tmp_path, f"Videos/{name}.MP4")
    (tmp_path / "train_labeled.txt").write_bytes(f"\ufeffVideos/{name}.mp4\ta4c\r\n\r\n".encode())
    listing = SOURCE.list_records(tmp_path)
    assert listed(listing) == [("A4C", EXAM, "cine", "train")]
    assert listing.notes == [
        "validation_labeled.txt is missing; its cines are left out",
        "test_labeled.txt is missing; its cines are left out",
    ]


def test_lines_that_do_not_fit_are_counted(tmp_path):
    names = [f"{EXAM}_320x240_{number}" for number in range(20, 26)]
    touch(tmp_path, *(f"Videos/{name}.mp4" for name in names))
    write_labelled(
        tmp_path,
        train=[
            f"{names[0]}",
            f"{names[1]} A4C twice",
            f"{names[2]} XYZ",
            "gone_320x240_1 A4C",
            f"{names[3]} A4C",
            f"{names[3]} A4C",
            f"{names[4]} A4C",
        ],
        test=[f"{names[4]} A4C"],
    )
    listing = SOURCE.list_records(tmp_path)
    assert len(listing.records) == len(EXPECTED) + 1
    left_out_views = ("view A5C", "view PMPALA", "view SC4C")
    omitted = {reason: found for reason, found in listing.omitted.items() if reason not in left_out_views}
    assert omitted == {
        "no view": [f"{names[0]}.mp4", f"{names[1]}.mp4"],
        "view code that is not known": [f"{names[2]}.mp4"],
        "row without a file": ["gone_320x240_1.mp4"],
        "row that stands twice": [f"{names[3]}.mp4"],
        "rows of one file that disagree": [f"{names[4]}.mp4"],
        "file without a row": [f"{names[5]}.mp4"],
    }


@pytest.mark.parametrize("name", ["clip_1", "2022-04-28_08-03-071_320x240_1", "22-04-28_08-03-07_1"])
def test_a_name_without_a_time_is_a_group_of_its_own(tmp_path, name):
    touch(tmp_path, f"Videos/{name}.mp4")
    (tmp_path / "test_labeled.txt").write_text(f"{name} PLHLA\n")
    assert listed(SOURCE.list_records(tmp_path)) == [("PLAX", name, "file", "test")]


def test_a_recording_in_two_splits_is_split_anew(tmp_path):
    touch(tmp_path, f"Videos/{EXAM}_320x240_30.mp4")
    write_labelled(tmp_path, test=[f"{EXAM}_320x240_30 A4C"])
    listing = SOURCE.list_records(tmp_path)
    assert {record.official_split for record in listing.records if record.group == EXAM} == {None}
    assert listing.notes == ["1 of 3 groups (cine) stand in two official splits; these are split anew"]


def test_a_table_without_lists_of_splits_or_with_contradicting_ones(tmp_path):
    write_table(tmp_path, train=[f"{LATER}_320x240_2"])
    (tmp_path / "test.txt").unlink()
    listing = SOURCE.list_records(tmp_path)
    splits = {record.path.stem: record.official_split for record in listing.records}
    assert splits[f"{LATER}_320x240_2"] is None
    assert splits[f"{SEGMENT}-seg1_320x240_1"] is None
    assert splits[f"{EXAM}_320x240_7"] == "train"
    assert listing.notes[:2] == [
        "test.txt is missing; its cines have no official split",
        "1 names stand in two lists of splits; these cines have no official split",
    ]


def test_missing_parts_are_named(tmp_path):
    with pytest.raises(EchosynthError, match="nowhere is missing; put EV9V there"):
        SOURCE.list_records(tmp_path / "nowhere")
    with pytest.raises(EchosynthError, match="is empty"):
        SOURCE.list_records(tmp_path)
    touch(tmp_path, "file")
    with pytest.raises(EchosynthError, match="file is a file and should be a folder"):
        SOURCE.list_records(tmp_path / "file")
    with pytest.raises(EchosynthError, match=r"neither train_labeled\.txt nor labels\.csv"):
        SOURCE.list_records(tmp_path)
    (tmp_path / "labels.csv").write_text("id,view\nx,A4C\n")
    with pytest.raises(EchosynthError, match=r"labels\.csv has no column names"):
        SOURCE.list_records(tmp_path)
    (tmp_path / "train_labeled.txt").write_text("x A4C\n")
    with pytest.raises(EchosynthError, match=r"Videos is missing; put the videos of EV9V \(Videos\.tar, unpacked\)"):
        SOURCE.list_records(tmp_path)
    (tmp_path / "Videos").mkdir()
    with pytest.raises(EchosynthError, match="Videos is empty"):
        SOURCE.list_records(tmp_path)
    touch(tmp_path, "Videos/y.avi")
    with pytest.raises(EchosynthError, match=r"holds no usable image \(row without a file: 1\)"):
        SOURCE.list_records(tmp_path)
    (tmp_path / "train_labeled.txt").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    with pytest.raises(EchosynthError, match=r"train_labeled\.txt is no text"):
        SOURCE.list_records(tmp_path)
