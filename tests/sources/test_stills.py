import json

import pytest

from echosynth.errors import EchosynthError
from echosynth.sources.registry import SOURCES

TMED2, CAMUS, UNITY = (SOURCES[name].list_records for name in ("tmed2", "camus", "unity"))


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


@pytest.mark.parametrize("top", ["", "approved_users_only/"])
def test_tmed2(tmp_path, write_csv, top):
    root = tmp_path / top
    touch(
        root,
        "view_and_diagnosis_labeled_set/labeled/2447s1_0.png",
        "view_and_diagnosis_labeled_set/labeled/2447s2_3.png",
        "view_and_diagnosis_labeled_set/unlabeled/31s1_4.png",
        "view_labeled_set/labeled/31s1_5.png",
        "view_labeled_set/labeled/odd.png",
        "view_labeled_set/labeled/77s1_0.png",
        "unlabeled_set/unlabeled_set/99s1_0.png",
    )
    write_csv(
        root / "labels_per_image.csv",
        "query_key,view_label,diagnosis_label",
        "2447s1_0.png,PLAX,severe_AS",
        "2447s2_3.png,A2C,severe_AS",
        "31s1_4.png,A4CorA2CorOther,no_AS",
        "31s1_5.png,Not_Provided,no_AS",
        "odd.png,PSAX,no_AS",
        "1s1_1.png,A4C,no_AS",
        "2447s1_0.png,PSAX,x",
        "5s1_1.png,,x",
    )
    write_csv(
        root / "DEV479/TMED2_fold0_labeledpart.csv",
        "query_key,view_label,diagnosis_label,SourceFolder,view_classifier_split,diagnosis_classifier_split",
        r"2447s1_0.png,PLAX,severe_AS,view_and_diagnosis_labeled_set\labeled,val,test",
    )
    listing = TMED2(tmp_path)
    found = [(r.path.name, r.view, r.group, r.group_kind, r.official_split) for r in listing.records]
    assert found == [
        ("2447s1_0.png", "PLAX", "2447", "patient", "validation"),
        ("2447s2_3.png", "A2C", "2447", "patient", None),
    ]
    assert listing.omitted == {
        "view A4CorA2CorOther": ["31s1_4.png"],
        "view Not_Provided": ["31s1_5.png"],
        "no view": ["5s1_1.png"],
        "file name without a patient number": ["odd.png"],
        "row without a file": ["1s1_1.png"],
        "row that stands twice": ["2447s1_0.png"],
        "file without a row": ["77s1_0.png"],
    }


def test_the_ids_of_old_camus_start_again_in_testing(tmp_path):
    for half in ("training", "testing"):
        stem = f"{half}/patient0001/patient0001"
        touch(
            tmp_path,
            *(f"{stem}_{v}_{m}{e}" for v in ("2CH", "4CH") for m in ("ED", "ES") for e in (".mhd", ".raw", "_gt.mhd")),
        )
        touch(tmp_path, f"{stem}_2CH_sequence.mhd", f"{half}/patient0001/Info_2CH.cfg")
    (tmp_path / "testing/patient0001/patient0001_4CH_ES.mhd").unlink()
    listing = CAMUS(tmp_path)
    assert len(listing.records) == 7
    assert {record.group: record.official_split for record in listing.records} == {
        "training/patient0001": "train",
        "testing/patient0001": "test",
    }
    assert {(r.view, r.moment, r.path.name) for r in listing.records if r.group.startswith("training")} == {
        ("A2C", "ED", "patient0001_2CH_ED.mhd"),
        ("A2C", "ES", "patient0001_2CH_ES.mhd"),
        ("A4C", "ED", "patient0001_4CH_ED.mhd"),
        ("A4C", "ES", "patient0001_4CH_ES.mhd"),
    }
    assert listing.omitted == {"patient without this still": ["testing/patient0001/patient0001_4CH_ES.mhd"]}


def test_new_camus_is_preferred_and_its_lists_tell_the_split(tmp_path, write_csv):
    touch(tmp_path, "training/patient0001/patient0001_2CH_ED.mhd")
    for number, word in ((1, "testing"), (2, "validation"), (3, "training")):
        stem = f"database_nifti/patient000{number}/patient000{number}"
        touch(
            tmp_path,
            *(f"{stem}_{v}_{m}.nii.gz" for v in ("2CH", "4CH") for m in ("ED", "ES", "half_sequence", "ED_gt")),
        )
        write_csv(tmp_path / f"database_split/subgroup_{word}.txt", f"patient000{number}", end="\r\n")
    listing = CAMUS(tmp_path)
    assert len(listing.records) == 12
    splits = {record.group: record.official_split for record in listing.records}
    assert splits == {"patient0001": "test", "patient0002": "validation", "patient0003": "train"}


def test_a_folder_of_neither_camus_release(tmp_path):
    touch(tmp_path, "readme.txt")
    with pytest.raises(EchosynthError, match="neither database_nifti/ nor training/"):
        CAMUS(tmp_path)


@pytest.mark.parametrize("suffix", [".txt", ".json"])
def test_unity(tmp_path, write_csv, suffix):
    cines = [f"0{1 + index % 2}-{digit * 64}" for index, digit in enumerate("4abcd")]
    names = [f"{cine}-000{frame}.png" for cine in cines for frame in (0, 7)]
    touch(tmp_path, *(f"png-cache/{name[:2]}/{name[3:5]}/{name[5:7]}/{name}" for name in names), "png-cache/01/x/y.png")
    views = ["plax", "plax", "a4c", "a2c", "psax", ""]
    # Published paths are inconsistent: folders of several kinds before the same base name.
    paths = [
        names[0],
        f"01/4d/{names[1]}",
        rf"png-cache\02\{names[2]}",
        f"/x/{names[3]}",
        names[4],
        names[5],
    ]
    write_csv(
        tmp_path / "view_index.csv",
        "file,view",
        *map(",".join, zip(paths, views, strict=True)),
        f"01-{'e' * 64}-0000.png,plax",
        "y.png,plax",
    )
    lists = {"train": names[:1], "tune": names[2:4], "ival": names[4:]}
    for word, items in lists.items():
        text = json.dumps({item: {"labels": {}} for item in items}) if suffix == ".json" else "\n".join(items)
        write_csv(tmp_path / f"labels/labels-{word}{suffix}", text)
    listing = UNITY(tmp_path)
    found = {r.path.name: (r.view, r.group, r.group_kind, r.official_split) for r in listing.records}
    assert found == {
        names[0]: ("PLAX", cines[0], "cine", "train"),
        names[1]: ("PLAX", cines[0], "cine", "train"),
        names[2]: ("A4C", cines[1], "cine", "validation"),
        names[3]: ("A2C", cines[1], "cine", "validation"),
    }
    assert listing.omitted == {
        "view psax": [names[4]],
        "no view": [names[5], *sorted(names[6:])],
        "row without a file": [f"01-{'e' * 64}-0000.png"],
        "file name without a cine": ["y.png"],
    }


def test_every_source_refuses_a_missing_folder(tmp_path):
    for source in SOURCES.values():
        with pytest.raises(EchosynthError, match="gone is missing"):
            source.list_records(tmp_path / "gone")
