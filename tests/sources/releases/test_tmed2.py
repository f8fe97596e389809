from pathlib import Path

import pytest

from echosynth.common.errors import EchosynthError
from echosynth.sources.registry import find_source

TMED2 = find_source("tmed2").list_records
BOTH, VIEW = "view_and_diagnosis_labeled_set/labeled", "view_labeled_set/labeled"
HEADER = "query_key,view_label,diagnosis_label"
FOLD_HEADER = f"{HEADER},SourceFolder,view_classifier_split,diagnosis_classifier_split"


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


@pytest.mark.parametrize("top", ["", "approved_users_only/"])
def test_labelled_stills_by_patient_and_all_that_is_left_out(tmp_path, write_csv, top):
    root = tmp_path / top
    touch(root, f"{BOTH}/2447s1_0.png", f"{BOTH}/2447s2_3.png", "view_and_diagnosis_labeled_set/unlabeled/31s1_4.png")
    touch(root, f"{VIEW}/31s1_5.png", f"{VIEW}/odd.png", f"{VIEW}/77s1_0.png", "unlabeled_set/unlabeled_set/99s1_0.png")
    write_csv(
        root / "labels_per_image.csv",
        HEADER,
        "2447s1_0.png,PLAX,severe_AS",
        "2447s2_3.png,A2C,severe_AS",
        "31s1_4.png,A4CorA2CorOther,no_AS",
        "31s1_5.png,Not_Provided,no_AS",
        "odd.png,PSAX,no_AS",
        "1s1_1.png,A4C,no_AS",
        "2447s1_0.png,PLAX,x",
        "5s1_1.png,,x",
        "6s1_1.png,6s1_1.png,x",
        "99s1_0.png,PSAX,x",
    )
    write_csv(
        root / "DEV479/TMED2_fold0_labeledpart.csv",
        FOLD_HEADER,
        r"2447s1_0.png,PLAX,severe_AS,view_and_diagnosis_labeled_set\labeled,val,test",
        "2447s2_3.png,A2C,severe_AS,view_and_diagnosis_labeled_set/labeled,val,test",
    )
    listing = TMED2(tmp_path)
    found = [(r.path.name, r.view, r.group, r.group_kind, r.official_split) for r in listing.records]
    assert found == [
        ("2447s1_0.png", "PLAX", "2447", "patient", "validation"),
        ("2447s2_3.png", "A2C", "2447", "patient", "validation"),
    ]
    assert listing.omitted == {
        "view A4CorA2CorOther": ["31s1_4.png"],
        "view Not_Provided": ["31s1_5.png"],
        "no view": ["5s1_1.png"],
        "unknown word for a view": ["6s1_1.png"],
        "file name without a patient number": ["odd.png"],
        "row without a file": ["1s1_1.png", "99s1_0.png"],  # the unlabelled set is never read
        "row that stands twice": ["2447s1_0.png"],
        "file without a row": ["77s1_0.png"],
    }
    assert listing.notes == [
        "official splits come from the column view_classifier_split of DEV479/TMED2_fold0_labeledpart.csv"
    ]


def tree(root: Path, write_csv, *rows: str, names: tuple[str, ...] = ("1s1_0.png", "2s1_0.png")) -> None:
    """Two images and a table of labels."""
    touch(root, *(f"{VIEW}/{name}" for name in names))
    write_csv(root / "labels_per_image.csv", HEADER, *(rows or (f"{name},PSAX,x" for name in names)))


def test_without_a_fold_table_there_is_no_official_split(tmp_path, write_csv):
    tree(tmp_path, write_csv)
    listing = TMED2(tmp_path)
    assert {record.official_split for record in listing.records} == {None}
    assert listing.notes == ["there is no DEV479/TMED2_fold0_labeledpart.csv: no image has an official split"]


@pytest.mark.parametrize("folder", ["DEV165", "DEV56", "."])
def test_another_fold_table_is_read_and_named(tmp_path, write_csv, folder):
    tree(tmp_path, write_csv)
    write_csv(tmp_path / folder / "TMED2_fold0_labeledpart.csv", "query_key,view_classifier_split", "1s1_0.png,test")
    listing = TMED2(tmp_path)
    assert [record.official_split for record in listing.records] == ["test", None]
    assert f"{folder}/TMED2_fold0".removeprefix("./") in listing.notes[0]


def test_a_torn_table_does_not_turn_the_mixture_into_a_view(tmp_path, write_csv):
    tree(tmp_path, write_csv)
    text = f"{HEADER}\n1s1_0.png,PLAX,x\n2s1_0.png,A4CorA2CorOther,x\n"
    (tmp_path / "labels_per_image.csv").write_text(text[: text.index("orA2C")])
    listing = TMED2(tmp_path)
    assert [record.view for record in listing.records] == ["PLAX"]
    assert listing.omitted == {"row that is cut short": ["2s1_0.png"]}


def test_a_table_of_views_alone_will_do(tmp_path, write_csv):
    tree(tmp_path, write_csv)
    write_csv(tmp_path / "labels_per_image.csv", "query_key,view_label", "1s1_0.png,A2C")
    assert [record.view for record in TMED2(tmp_path).records] == ["A2C"]


def test_a_patient_in_two_splits_and_rows_that_disagree_have_none(tmp_path, write_csv):
    names = ("1s1_0.png", "1s2_0.png", "2s1_0.png", "3s1_0.png")
    tree(tmp_path, write_csv, names=names)
    splits = ("1s1_0.png,train", "1s2_0.png,test", "2s1_0.png,train", "2s1_0.png,val", "3s1_0.png,train")
    write_csv(tmp_path / "DEV479/TMED2_fold0_labeledpart.csv", "query_key,view_classifier_split", *splits)
    listing = TMED2(tmp_path)
    assert [record.official_split for record in listing.records] == [None, None, None, "train"]
    assert listing.notes[-1] == "1 of 3 groups (patient) stand in two official splits; these are split anew"


def test_rows_of_one_image_that_disagree_leave_it_out(tmp_path, write_csv):
    tree(tmp_path, write_csv, "1s1_0.png,PSAX,x", "1s1_0.png,PLAX,x", "2s1_0.png,A4C,x")
    listing = TMED2(tmp_path)
    assert [record.path.name for record in listing.records] == ["2s1_0.png"]
    assert listing.omitted == {"rows of one file that disagree": ["1s1_0.png"]}


@pytest.mark.parametrize("key", ["1s1_0.png", f"{VIEW}/1s1_0.png", r"view_labeled_set\labeled\1s1_0.PNG", " 1s1_0 "])
def test_a_key_may_hold_folders_of_either_separator(tmp_path, write_csv, key):
    tree(tmp_path, write_csv, f"{key},PSAX,x")
    assert [record.path.name for record in TMED2(tmp_path).records] == ["1s1_0.png"]


@pytest.mark.parametrize(
    ("source", "kept"), [(BOTH, BOTH), (VIEW, VIEW), (r"view_labeled_set\labeled", VIEW), ("", BOTH)]
)
def test_of_two_files_with_one_name_that_in_the_named_folder_counts(tmp_path, write_csv, source, kept):
    tree(tmp_path, write_csv, "1s1_0.png,PSAX,x")
    touch(tmp_path, f"{BOTH}/1s1_0.png")
    header = "query_key,view_classifier_split,SourceFolder"
    write_csv(tmp_path / "DEV479/TMED2_fold0_labeledpart.csv", header, f"1s1_0.png,train,{source}")
    listing = TMED2(tmp_path)
    assert [record.path for record in listing.records] == [tmp_path / kept / "1s1_0.png"]
    assert listing.omitted["file name that stands twice"] == [f"{VIEW if kept == BOTH else BOTH}/1s1_0.png"]


def test_links_that_leave_the_folder_are_counted(tmp_path, write_csv):
    root = tmp_path / "release"
    tree(root, write_csv)
    touch(tmp_path, "elsewhere.png")
    (root / VIEW / "1s1_0.png").unlink()
    (root / VIEW / "1s1_0.png").symlink_to(tmp_path / "elsewhere.png")
    listing = TMED2(root)
    assert listing.omitted["link that leaves the folder"] == [f"{VIEW}/1s1_0.png"]
    assert len(listing.records) == 1


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_the_table_may_come_from_a_spreadsheet(tmp_path, write_csv, encoding, separator):
    tree(tmp_path, write_csv)
    lines = ("diagnosis_label,View_Label,query_key", "légère,PSAX,1s1_0.png", "x,A4C,2s1_0.png", "")
    text = "\r\n".join(lines).replace(",", separator)
    (tmp_path / "labels_per_image.csv").write_bytes(text.encode(encoding))
    assert [record.view for record in TMED2(tmp_path).records] == ["PSAX", "A4C"]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (None, "labels_per_image.csv is missing"),
        ((), "is empty"),
        ((HEADER,), "has no rows"),
        (("key,view_label", "1s1_0.png,PLAX"), "has no column query_key; its columns are key, view_label"),
        (("query_key,view_label,view_label", "1s1_0.png,PLAX,A4C"), "has the column view_label twice"),
        ((HEADER, "1s1_0.png,PLAX,x,y"), "line 2 has 4 cells"),
        ((HEADER, "1s1_0.png,A4CorA2CorOther,x"), "no usable image .*view A4CorA2CorOther: 1"),
        ((HEADER, "8s1_0.png,PLAX,x"), "row without a file: 1"),
    ],
)
def test_a_broken_table_is_refused_in_one_sentence(tmp_path, write_csv, lines, words):
    tree(tmp_path, write_csv)
    (tmp_path / "labels_per_image.csv").unlink()
    if lines is not None:
        write_csv(tmp_path / "labels_per_image.csv", *lines, end="\n" if lines else "")
    with pytest.raises(EchosynthError, match=words) as error:
        TMED2(tmp_path)
    assert "\n" not in str(error.value)


def test_a_release_without_labelled_folders_is_refused(tmp_path, write_csv):
    write_csv(tmp_path / "labels_per_image.csv", HEADER, "1s1_0.png,PLAX,x")
    touch(tmp_path, "unlabeled_set/unlabeled_set/1s1_0.png")
    with pytest.raises(EchosynthError, match="neither view_and_diagnosis_labeled_set/ nor view_labeled_set/"):
        TMED2(tmp_path)
