import struct
from pathlib import Path

import pytest

from echosynth.common.errors import EchosynthError
from echosynth.sources.registry import find_source
from echosynth.sources.releases.own import view_of

OWN = find_source("own").list_records
DICOM = b"\0" * 128 + b"DICM"
MHD = b"NDims = 2\nElementDataFile = a.raw\n"


def touch(folder: Path, *names: str, data: bytes = b"") -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def object_of(kind: str, syntax: str = "1.2.840.10008.1.2.1") -> bytes:
    """The first bytes of a DICOM object of that storage class."""
    meta = b""
    for element, value in ((0x02, kind), (0x10, syntax)):
        text = value.encode() + b"\0" * (len(value) % 2)
        meta += struct.pack("<HH2sH", 2, element, b"UI", len(text)) + text
    return DICOM + struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(meta)) + meta


def facts(listing, folder):
    return [(r.path.relative_to(folder).as_posix(), r.view, r.group, r.group_kind) for r in listing.records]


@pytest.mark.parametrize(
    ("word", "view"),
    [
        ("A2C", "A2C"),
        ("2ch", "A2C"),
        ("Apical 2 chamber", "A2C"),
        ("apical two-chamber view", "A2C"),
        ("ap_4", "A4C"),
        ("4CH", "A4C"),
        ("a4c", "A4C"),
        ("Parasternal long axis", "PLAX"),
        ("PLAX", "PLAX"),
        ("psax view", "PSAX"),
        ("A3C", None),
        ("A5C", None),
        ("2", None),
        ("a24c", None),
        ("psax-av", None),  # one level of the short axis: nobody asked for it
        ("", None),
        ("view", None),
    ],
)
def test_names_of_views(word, view):
    assert view_of(word) == view


def test_a_tree_of_every_kind_of_file(tmp_path):
    kinds = ("a.dcm", "a.DICOM", "a.avi", "a.MP4", "a.png", "a.jpg", "a.jpeg", "a.mha", "a.nii", "a.nii.gz")
    touch(tmp_path, *(f"A2C/Ann/{kind}" for kind in kinds))
    touch(tmp_path, "A2C/Ann/a.mhd", data=MHD)
    touch(tmp_path, "A2C/Ann/a.raw")
    touch(tmp_path, "A2C/Ann/1.2.840.113", "A2C/Ann/IM0001", data=DICOM)
    listing = OWN(tmp_path)
    assert {record.path.name for record in listing.records} == {*kinds, "a.mhd", "1.2.840.113", "IM0001"}
    assert {(r.view, r.group, r.group_kind, r.official_split) for r in listing.records} == {
        ("A2C", "ann", "patient", None)
    }
    assert not listing.omitted


def test_all_that_a_tree_leaves_out(tmp_path):
    touch(tmp_path, "a4c/7/x.png", "A3C/7/x.png", "loose.png", "PSAX/loose.png", "a4c/7/notes.txt", "a4c/7/spare.raw")
    touch(tmp_path, "a4c/7/noname", "a4c/7/x.of-Mr-Smith", "a4c/7/.hidden.png")
    touch(tmp_path, "a4c/DICOMDIR", data=object_of("1.2.840.10008.1.3.10"))
    touch(tmp_path, "a4c/7/report.dcm", "a4c/7/IM_0007", data=object_of("1.2.840.10008.5.1.4.1.1.88.11"))
    touch(tmp_path, "a4c/7/film", data=object_of("1.2.840.10008.5.1.4.1.1.3.1", "1.2.840.10008.1.2.4.102"))
    touch(tmp_path, "SMITH_John_1960/1/x.png", "a4c/7/MUSTER_HANS.19600102")
    touch(tmp_path, "a4c/7/a.mhd", data=MHD)
    listing = OWN(tmp_path)
    assert facts(listing, tmp_path) == [("a4c/7/x.png", "A4C", "7", "patient")]
    assert listing.omitted == {
        "view a3c": ["A3C/7/x.png"],
        "file without a view folder": ["loose.png"],
        "file without a patient folder": ["PSAX/loose.png"],
        "kind .txt": ["a4c/7/notes.txt"],
        "kind .raw": ["a4c/7/spare.raw"],
        # Reasons are published: they must not repeat what may be a name.
        "unknown word for a view": ["SMITH_John_1960/1/x.png"],
        "a DICOM object without a picture": ["a4c/DICOMDIR", "a4c/7/IM_0007", "a4c/7/report.dcm"],
        "DICOM in a transfer syntax that cannot be decoded (1.2.840.10008.1.2.4.102)": ["a4c/7/film"],
        "kind without a known suffix": [
            "a4c/7/MUSTER_HANS.19600102",
            "a4c/7/noname",
            "a4c/7/x.of-Mr-Smith",
        ],
        "header without its data file": ["a4c/7/a.mhd"],
    }


def test_a_patient_under_several_views_and_with_studies_is_one_patient(tmp_path):
    names = ("2CH/Zoë Ó/2019/x.png", "2CH/Zoë Ó/2020/x.png", "apical 4 chamber/ZOE\u0308 Ó/y.png", "PLAX/Bob/x.png")
    touch(tmp_path, *names)
    listing = OWN(tmp_path)
    groups = {record.path.relative_to(tmp_path).as_posix(): record.group for record in listing.records}
    assert len({groups[name] for name in names[:3]}) == 1
    assert len(set(groups.values())) == 2
    assert [record.view for record in listing.records] == ["A2C", "A2C", "PLAX", "A4C"]


def test_the_manifest(tmp_path, write_csv):
    touch(tmp_path, "x/Jürgen 1.avi", "y.png", "z.dcm", "ü/w.nii.gz", "unlisted.png", "readme.md", "A4C/1/v.png")
    write_csv(
        tmp_path / "Manifest.csv",
        "file;view;patient;split;group_kind;ed;es",
        "x/Jürgen 1.avi;4CH;Jürgen;val;;3;17.0",
        r"ü\w.nii.gz;PLAX;Jürgen;val;Patient;;",
        "./x/../y.png;apical 2 chamber;77;;study;;x",
        "z.dcm;psax;;other;;-1;2.5",
        start="\ufeff",
        end="\r\n",
    )
    listing = OWN(tmp_path)
    found = {r.path.name: (r.view, r.group, r.group_kind, r.official_split, r.marked) for r in listing.records}
    assert found == {
        "Jürgen 1.avi": ("A4C", "jürgen", "patient", "validation", (("ED", 3), ("ES", 17))),
        "w.nii.gz": ("PLAX", "jürgen", "patient", "validation", ()),
        "y.png": ("A2C", "77", "study", None, ()),
        "z.dcm": ("PSAX", "z.dcm", "file", None, ()),
    }
    assert listing.omitted == {"file without a row": ["v.png", "unlisted.png"], "kind .md": ["readme.md"]}
    assert listing.notes == [
        "1 rows name no known split; they count as rows without an official split",
        "1 rows name no patient; there the file is the group",
        "3 entries in ed and es are no whole numbers from 0 and count as none",
        "manifest.csv counts; the names of the folders beside it were not read",
    ]


def test_all_that_a_manifest_leaves_out(tmp_path, write_csv):
    root = tmp_path / "data"
    touch(root, "a.png", "b.png", "c.png", "d.png", "e.txt", "f.png")
    touch(tmp_path, "secret.png")
    touch(root, "g.mhd", data=MHD)
    write_csv(
        root / "manifest.csv",
        "file,view,patient,group_kind",
        "a.png,A4C,1,",
        "a.png,a4c,1,patient",
        "b.png,A4C,2,",
        "b.png,A2C,2,",
        "../secret.png,A4C,3,",
        f"{tmp_path}/secret.png,A4C,3,",
        r"..\data\..\secret.png,A4C,3,",
        r"C:\x.png,A4C,3,",
        "c.png,A3C,4,",
        "d.png,,5,",
        "e.txt,A4C,6,",
        "gone.png,A4C,7,",
        ",A4C,8,",
        "f.png,A4C,9,hospital",
        "g.mhd,A4C,10,",
    )
    listing = OWN(root)
    assert facts(listing, root) == [("a.png", "A4C", "1", "patient")]
    assert {reason: len(names) for reason, names in listing.omitted.items()} == {
        "row that stands twice": 1,
        "rows of one file that disagree": 1,
        "path that leaves the folder": 4,
        "view a3c": 1,
        "no view": 1,
        "kind .txt": 1,
        "row without a file": 1,
        "row without a file name": 1,
        "unknown group kind": 1,
        "header without its data file": 1,
    }


def test_an_absolute_path_within_the_folder_will_do(tmp_path, write_csv):
    touch(tmp_path, "a.png")
    write_csv(tmp_path / "manifest.csv", "file,view,patient", f"{tmp_path}/a.png,plax,1")
    assert OWN(tmp_path).records[0].path == tmp_path / "a.png"


def test_a_patient_in_two_official_splits_has_none(tmp_path, write_csv):
    touch(tmp_path, "a.png", "b.png")
    write_csv(tmp_path / "manifest.csv", "file,view,patient,split", "a.png,plax,1,train", "b.png,plax,1,test")
    listing = OWN(tmp_path)
    assert [record.official_split for record in listing.records] == [None, None]
    assert listing.notes == ["1 of 1 groups (patient) stand in two official splits; these are split anew"]


def test_names_that_differ_in_case_alone_are_ambiguous(tmp_path, write_csv):
    touch(tmp_path, "a.png", "A.png", "b.png")
    write_csv(tmp_path / "manifest.csv", "file,view,patient", "a.png,plax,1", "b.png,plax,2")
    listing = OWN(tmp_path)
    assert [record.path.name for record in listing.records] == ["b.png"]
    assert listing.omitted == {"file name that stands twice": ["a.png"]}


def test_one_file_linked_under_two_views_is_left_out(tmp_path):
    touch(tmp_path, "a4c/1/x.png", "a4c/1/y.png", "a2c/1/z.png", "a2c/2/z.png")
    (tmp_path / "a2c/1/x.png").hardlink_to(tmp_path / "a4c/1/x.png")
    (tmp_path / "a2c/1/y.png").symlink_to(tmp_path / "a4c/1/y.png")
    listing = OWN(tmp_path)
    assert [record.path.parent.name for record in listing.records] == ["1", "2"]
    assert sorted(listing.omitted["rows of one file that disagree"]) == [
        "a2c/1/x.png",
        "a2c/1/y.png",
        "a4c/1/x.png",
        "a4c/1/y.png",
    ]


def test_links_that_leave_the_folder_are_counted(tmp_path):
    touch(tmp_path, "elsewhere/x.png", "data/a4c/1/x.png")
    (tmp_path / "data/a4c/1/y.png").symlink_to(tmp_path / "elsewhere/x.png")
    (tmp_path / "data/a4c/2").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data/a4c/1/z.png").symlink_to(tmp_path / "gone.png")
    listing = OWN(tmp_path / "data")
    assert len(listing.records) == 1
    assert listing.omitted == {
        "link that leaves the folder": ["a4c/2", "a4c/1/y.png"],
        "broken link": ["a4c/1/z.png"],
    }


def test_a_manifest_elsewhere_is_not_read(tmp_path, write_csv):
    touch(tmp_path, "data/a.png", "data/plax/1/b.png")
    outside = write_csv(tmp_path / "manifest.csv", "file,view,patient", "a.png,a4c,1")
    (tmp_path / "data/manifest.csv").symlink_to(outside)
    listing = OWN(tmp_path / "data")
    assert [record.path.name for record in listing.records] == ["b.png"]
    assert listing.omitted["link that leaves the folder"] == ["manifest.csv"]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ((), r"manifest\.csv is empty"),
        (("file,view,patient",), "has no rows"),
        (("file,patient", "a.png,1"), "has no column view; its columns are file, patient"),
        (("path,view,patient", "a.png,a4c,1"), "has no column file"),
        (("file,view,patient", "a.png,x,1"), r"names no known view in its column view; known are A2C \(2ch"),
        (("file,view,patient", "1,a.png,a4c"), "names no known view"),
        (("file,view,patient", "a.png,a4c,1,2"), "line 2 has 4 cells"),
        (("file,view,patient,ed,ed", "a.png,a4c,1,2,3"), "has the column ed twice"),
        (("file,view,patient", f"{'x' * 5000},a4c,1"), "no usable image .*row without a file: 1"),
        (("file,view,patient", "\ud83d.png,a4c,1"), "row without a file|no text"),
    ],
)
def test_a_broken_manifest_is_refused_in_one_sentence(tmp_path, lines, words):
    touch(tmp_path, "a.png")
    (tmp_path / "manifest.csv").write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
    with pytest.raises(EchosynthError, match=words) as error:
        OWN(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("names", [("x.png",), ("smith/a4c/x.png",), ("readme.txt",)])
def test_a_folder_without_views_is_refused_and_names_nobody(tmp_path, names):
    touch(tmp_path, *names)
    with pytest.raises(EchosynthError, match=r"sort the files as <view>/<patient>/<file>") as error:
        OWN(tmp_path)
    assert "smith" not in str(error.value)


def test_several_hospitals_are_told_apart(tmp_path):
    touch(tmp_path, "plax/1/x.png")
    source = find_source("own-north")
    assert (source.name, source.title, source.complete) == ("own-north", "your own data (north)", False)
    assert len(source.list_records(tmp_path).records) == 1
