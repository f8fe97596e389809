from pathlib import Path

import pytest

from echosynth.common.errors import EchosynthError
from echosynth.sources.registry import find_source

CAMUS = find_source("camus").list_records
STILLS = tuple(f"{view}_{moment}" for view in ("2CH", "4CH") for moment in ("ED", "ES"))


def write(path: Path, text: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="latin-1")


def write_mhd(path: Path, data: str | None = None) -> None:
    """A header and, unless `data` names another, its data file."""
    name = data or path.with_suffix(".raw").name
    write(path, f"ObjectType = Image\nNDims = 3\nElementType = MET_UCHAR\nElementDataFile = {name}\n")
    if data is None:
        write(path.with_suffix(".raw"))


def old(root: Path, number: int = 1, half: str = "training", stills: tuple[str, ...] = STILLS) -> Path:
    """A patient of the old release, with outlines and sequences; its folder."""
    name = f"patient{number:04d}"
    folder = root / half / name
    for stem in (*stills, "2CH_ED_gt", "2CH_sequence", "4CH_sequence"):
        write_mhd(folder / f"{name}_{stem}.mhd")
    for view in ("2CH", "4CH"):
        write(folder / f"Info_{view}.cfg", "ED: 1\nES: 12\nNbFrame: 20\nLVef: 55.1\n")
    return folder


def new(root: Path, number: int = 1, stills: tuple[str, ...] = STILLS, suffix: str = ".nii.gz") -> Path:
    """A patient of the new release; its folder."""
    name = f"patient{number:04d}"
    for stem in (*stills, "2CH_ED_gt", "2CH_half_sequence", "2CH_half_sequence_gt", "4CH_half_sequence"):
        write(root / name / f"{name}_{stem}{suffix}")
    for view in ("2CH", "4CH"):
        write(root / name / f"Info_{view}.cfg", "ED: 18\nES: 1\nNbFrame: 18\n")
    return root / name


def facts(listing):
    return [(r.path.name, r.view, r.group, r.moment, r.official_split) for r in listing.records]


@pytest.mark.parametrize("top", ["", "CAMUS/"])
def test_the_ids_of_the_old_release_start_again_in_testing(tmp_path, top):
    for half in ("training", "testing"):
        old(tmp_path / top, half=half)
    (tmp_path / top / "testing/patient0001/patient0001_4CH_ES.mhd").unlink()
    write(tmp_path / top / "testing/patient0001/Info_4CH.cfg", "")
    listing = CAMUS(tmp_path)
    assert facts(listing)[3:] == [
        ("patient0001_2CH_ED.mhd", "A2C", "training/patient0001", "ED", "train"),
        ("patient0001_2CH_ES.mhd", "A2C", "training/patient0001", "ES", "train"),
        ("patient0001_4CH_ED.mhd", "A4C", "training/patient0001", "ED", "train"),
        ("patient0001_4CH_ES.mhd", "A4C", "training/patient0001", "ES", "train"),
    ]
    assert {r.official_split for r in listing.records[:3]} == {"test"}
    assert {r.group for r in listing.records[:3]} == {"testing/patient0001"}
    assert listing.omitted == {"patient without this still": ["testing/patient0001/patient0001_4CH_ES"]}
    assert listing.notes == []


def test_one_half_of_the_old_release_is_noted(tmp_path):
    old(tmp_path, half="testing")
    listing = CAMUS(tmp_path)
    assert len(listing.records) == 4
    assert listing.notes == ["there is no training/"]


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii"])
@pytest.mark.parametrize("top", ["", "CAMUS_public/"])
def test_the_new_release_is_preferred_and_its_lists_tell_the_split(tmp_path, write_csv, top, suffix):
    old(tmp_path / top)
    for number, word in ((1, "testing"), (2, "validation"), (3, "training")):
        new(tmp_path / top / "database_nifti", number, suffix=suffix)
        write_csv(tmp_path / top / f"database_split/subgroup_{word}.txt", f"patient000{number}", end="\r\n")
    listing = CAMUS(tmp_path)
    assert len(listing.records) == 12
    assert not any("gt" in record.path.name or "sequence" in record.path.name for record in listing.records)
    splits = {record.group: record.official_split for record in listing.records}
    assert splits == {"patient0001": "test", "patient0002": "validation", "patient0003": "train"}
    assert not listing.notes
    assert not listing.omitted


def test_the_folder_with_the_patients_itself(tmp_path, write_csv):
    new(tmp_path / "database_nifti")
    write_csv(tmp_path / "database_split/subgroup_training.txt", "patient0001")
    listing = CAMUS(tmp_path / "database_nifti")
    assert {record.official_split for record in listing.records} == {"train"}
    new(tmp_path / "else")
    assert {record.official_split for record in CAMUS(tmp_path / "else").records} == {None}


def test_patients_in_no_list_and_in_two(tmp_path, write_csv):
    for number in (1, 2, 3):
        new(tmp_path / "database_nifti", number)
    write_csv(tmp_path / "database_split/subgroup_training.txt", "patient0001", "", " patient0003 ")
    write_csv(tmp_path / "database_split/subgroup_testing.txt", "patient0003", start="\ufeff")
    listing = CAMUS(tmp_path)
    splits = {record.group: record.official_split for record in listing.records}
    assert splits == {"patient0001": "train", "patient0002": None, "patient0003": None}
    assert listing.notes == [
        "no database_split/subgroup_validation.txt: the patients of such lists have no official split",
        "1 of 2 patients stand in two lists of database_split/; split anew",
        "1 of 3 patients stand in no list of database_split/",
    ]


@pytest.mark.parametrize("data", [None, "x.zraw", "./x.zraw", "LOCAL"])
def test_headers_with_their_data(tmp_path, data):
    folder = old(tmp_path, stills=("2CH_ED",))
    write_mhd(folder / "patient0001_2CH_ED.mhd", data)
    write(folder / "x.zraw")
    assert "patient0001_2CH_ED.mhd" in {record.path.name for record in CAMUS(tmp_path).records}


@pytest.mark.parametrize("data", ["gone.raw", "../patient0002/patient0002_2CH_ED.raw", "LIST", "..", r"C:\x.raw", ""])
def test_headers_without_their_data_are_counted(tmp_path, data):
    folder = old(tmp_path)
    old(tmp_path, 2)
    write(folder / "Info_2CH.cfg", "")
    write(folder / "patient0001_2CH_ED.mhd", f"NDims = 3\nElementDataFile = {data}" if data else "NDims = 3\n")
    listing = CAMUS(tmp_path)
    assert len(listing.records) == 7
    assert listing.omitted == {"header without its data file": ["training/patient0001/patient0001_2CH_ED"]}


def test_a_data_file_that_is_a_link_out_of_the_folder(tmp_path):
    folder = old(tmp_path / "release")
    write(folder / "Info_2CH.cfg", "")
    write(tmp_path / "secret")
    (folder / "patient0001_2CH_ED.raw").unlink()
    (folder / "patient0001_2CH_ED.raw").symlink_to(tmp_path / "secret")
    listing = CAMUS(tmp_path / "release")
    assert len(listing.records) == 3
    assert listing.omitted == {
        "link that leaves the folder": ["training/patient0001/patient0001_2CH_ED.raw"],
        "header without its data file": ["training/patient0001/patient0001_2CH_ED"],
    }


def test_a_sequence_stands_for_missing_stills(tmp_path):
    old(tmp_path, stills=("2CH_ED",))
    listing = CAMUS(tmp_path)
    found = {r.path.name: (r.view, r.moment, r.marked) for r in listing.records}
    assert found == {
        "patient0001_2CH_ED.mhd": ("A2C", "ED", ()),
        "patient0001_2CH_sequence.mhd": ("A2C", "", (("ES", 11),)),
        "patient0001_4CH_sequence.mhd": ("A4C", "", (("ED", 0), ("ES", 11))),
    }
    assert not listing.omitted
    assert "3 stills are missing; the sequence stands for them" in listing.notes[-1]


def test_a_sequence_from_systole_to_diastole(tmp_path):
    new(tmp_path / "database_nifti", stills=())
    assert {record.marked for record in CAMUS(tmp_path).records} == {(("ED", 17), ("ES", 0))}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ES 12",
        "ES: x",
        "ES: 0",
        "ES: -3",
        "ES: 99999999999999999999",
        "ES: 21\nNbFrame: 20",
        "ES: 3\nES: 4",
        "\x00",
        "ÿþES: 4",
    ],
)
def test_a_broken_cfg_marks_nothing(tmp_path, text):
    folder = old(tmp_path, stills=("2CH_ED", "4CH_ED", "4CH_ES"))
    write(folder / "Info_2CH.cfg", text)
    listing = CAMUS(tmp_path)
    assert len(listing.records) == 3
    assert listing.omitted == {"patient without this still": ["training/patient0001/patient0001_2CH_ES"]}


def test_odd_lines_of_a_cfg_do_not_matter(tmp_path):
    folder = old(tmp_path, stills=("2CH_ED", "4CH_ED", "4CH_ES"))
    write(folder / "Info_2CH.cfg", "::\nED\n ES : 4 \r\n\nImageQuality: Good: really\nSex: F\n")
    assert CAMUS(tmp_path).records[1].marked == (("ES", 3),)


def test_two_releases_side_by_side_are_refused(tmp_path):
    new(tmp_path / "a/database_nifti")
    new(tmp_path / "b/database_nifti")
    with pytest.raises(EchosynthError, match="keep one of them"):
        CAMUS(tmp_path)


def test_a_folder_of_neither_release(tmp_path):
    write(tmp_path / "readme.txt")
    with pytest.raises(EchosynthError, match="neither database_nifti/ nor training/"):
        CAMUS(tmp_path)


def test_a_list_that_is_no_text_is_refused(tmp_path):
    new(tmp_path / "database_nifti")
    write(tmp_path / "database_split/subgroup_training.txt", "\x00\x01")
    with pytest.raises(EchosynthError, match=r"subgroup_training\.txt is no text"):
        CAMUS(tmp_path)


def test_a_release_without_stills_is_refused(tmp_path):
    write(tmp_path / "training/patient0001/patient0001_2CH_ED_gt.mhd")
    with pytest.raises(EchosynthError, match=r"no usable image .*patient without this still: 4"):
        CAMUS(tmp_path)
