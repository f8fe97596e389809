"""Mutated tables and trees: whatever is in them, an adapter refuses in one sentence or gives true records only."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from echosynth.common.errors import EchosynthError
from echosynth.sources.base import Listing
from echosynth.sources.registry import all_sources, find_source
from echosynth.sources.releases.own import view_of

HEX = [digit * 15 for digit in "123456"]
MHD = "NDims = 3\nElementDataFile = {}\n"


@dataclass
class Release:
    """A small release.

    Attributes:
        source: the adapter that reads it.
        tables: its texts by path, which are mutated.
        files: its media files, all empty.
        view_by_path: the view of a file that is no record of the intact release, where its path tells it.
    """

    source: str
    tables: dict[str, str]
    files: list[str]
    view_by_path: Callable[[str], str | None] = field(default=lambda _: None)


def lines(*rows: str) -> str:
    return "".join(f"{row}\n" for row in rows)


def echonet_dynamic() -> Release:
    splits = ("TRAIN", "TRAIN", "VAL", "TEST", "TRAIN", "TEST")
    rows = (f"0X{name},55.1,30.2,80.3,112,112,50,{90 + n},{splits[n]}" for n, name in enumerate(HEX))
    tracings = (f"0X{name}.avi,1.5,2.5,{30 + frame},40.5,{frame}" for name in HEX for frame in (3, 3, 20, 20))
    tables = {
        "FileList.csv": lines("FileName,EF,ESV,EDV,FrameHeight,FrameWidth,FPS,NumberOfFrames,Split", *rows),
        "VolumeTracings.csv": lines("FileName,X1,Y1,X2,Y2,Frame", *tracings),
    }
    return Release("echonet-dynamic", tables, [f"Videos/0X{name}.avi" for name in HEX])


def echonet_lvh() -> Release:
    header = ",HashedFileName,Calc,CalcValue,Frame,X1,X2,Y1,Y2,Frames,FPS,Width,Height,split"
    splits = ("train", "val", "test")
    rows = (
        f"{10 * n + part},0X{name},{calc},4.5,{30 + part},1.5,2.5,3.5,4.5,99,20,800,600,{splits[n % 3]}"
        for n, name in enumerate(HEX)
        for part, calc in enumerate(("LVIDd", "LVIDs"))
    )
    files = [f"Batch{1 + n % 4}/0X{name}.avi" for n, name in enumerate(HEX)]
    return Release("echonet-lvh", {"MeasurementsList.csv": lines(header, *rows)}, files)


def echonet_pediatric() -> Release:
    tables, files = {}, []
    for view in ("A4C", "PSAX"):
        names = [f"CR32a{n}55{'ab'[view == 'PSAX']}-CR32a75{n}2-00003{n}" for n in range(5)]
        rows = (f"{name}.avi,60.5,F,11.5,40.5,150.5,{n + 4}" for n, name in enumerate(names))
        tables[f"{view}/FileList.csv"] = lines("FileName,EF,Sex,Age,Weight,Height,Split", *rows)
        files += [f"{view}/Videos/{name}.avi" for name in names]
    return Release("echonet-pediatric", tables, files)


def ev9v() -> Release:
    codes = ("A4C", "PLHLA", "PMPALA", "PASA", "A5C", "SC4C")
    names = [f"2022-04-2{n}_08-03-0{n}_003_320x240_8" for n in range(6)]
    both = list(zip(names, codes, strict=True))
    tables = {
        f"{split}_labeled.txt": lines(*(f"{name} {code}" for name, code in both[part::3]))
        for part, split in enumerate(("train", "validation", "test"))
    }
    return Release("ev9v", tables, [f"Videos/{name}.mp4" for name in names])


def tmed2() -> Release:
    words = ("PLAX", "PSAX", "A4C", "A2C", "A4CorA2CorOther", "Not_Provided")
    names = [f"{digit * 4}s1_{place}.png" for place, digit in enumerate("123456")]
    folder = "view_labeled_set/labeled"
    rows = [f"{name},{word},no_AS" for name, word in zip(names, words, strict=True)]
    splits = ("train", "val", "test", "train", "train", "Not_Used")
    fold = (f"{row},{folder},{split},unlabeled" for row, split in zip(rows, splits, strict=True))
    header = "query_key,view_label,diagnosis_label"
    tables = {
        "labels_per_image.csv": lines(header, *rows),
        "DEV479/TMED2_fold0_labeledpart.csv": lines(
            f"{header},SourceFolder,view_classifier_split,diagnosis_classifier_split", *fold
        ),
    }
    return Release("tmed2", tables, [f"{folder}/{name}" for name in names])


def camus_view(path: str) -> str | None:
    """A sequence may stand for a still that is gone."""
    return {"2CH": "A2C", "4CH": "A4C"}[path.split("_")[-3 if "half" in path else -2]] if "sequence" in path else None


def camus() -> Release:
    tables, files = {}, []
    for number, word in enumerate(("training", "validation", "testing")):
        name = f"patient{str(number + 1) * 4}"
        tables[f"database_split/subgroup_{word}.txt"] = lines(name)
        stems = [f"{view}_{what}" for view in ("2CH", "4CH") for what in ("ED", "ES", "ED_gt", "half_sequence")]
        files += [f"database_nifti/{name}/{name}_{stem}.nii.gz" for stem in stems if number or stem != "2CH_ES"]
        tables[f"database_nifti/{name}/Info_2CH.cfg"] = lines("ED: 1", "ES: 18", "NbFrame: 18", "Sex: F")
    return Release("camus", tables, files, camus_view)


def camus_old() -> Release:
    tables, files = {}, []
    for half in ("training", "testing"):
        stem = f"{half}/patient0001/patient0001"
        for still in ("2CH_ED", "2CH_ES", "4CH_ED", "4CH_ED_gt", "4CH_sequence"):
            tables[f"{stem}_{still}.mhd"] = MHD.format(f"patient0001_{still}.raw")
            files.append(f"{stem}_{still}.raw")
        tables[f"{half}/patient0001/Info_4CH.cfg"] = lines("ED: 1", "ES: 18", "NbFrame: 18")
    return Release("camus", tables, files, camus_view)


def unity() -> Release:
    names = [f"01-{digit * 64}-000{n}.png" for n, digit in enumerate("1234ab")]
    views = ("plax", "a4c", "a2c", "other", "a3c", "plax")
    tables = {"view_index.csv": lines("file,view", *map(",".join, zip(names, views, strict=True)))}
    for part, word in enumerate(("train", "tune", "ival")):
        tables[f"labels/labels-{word}.txt"] = lines(*names[part::3])
        entries = (f'"{name}": {{"labels": {{"x": {{"type": "off"}}}}}}' for name in names[part::3])
        tables[f"labels/labels-{word}.json"] = "{" + ",\n".join(entries) + "}"
    return Release("unity", tables, [f"png-cache/01/{name[3:5]}/{name[5:7]}/{name}" for name in names])


def own_manifest() -> Release:
    files = ["x/erste Aufnahme.avi", "y/zweite.png", "z/d'ritte.dcm", "vierte.mp4", "w/ünfte.nii.gz"]
    views = ("A4C", "apical 2 chamber", "PLAX", "psax", "A3C")
    splits = ("train", "val", "test", "train", "train")
    rows = (
        f"{name},{view},Patient {n},{split},patient,{n + 1},{n + 20}"
        for n, (name, view, split) in enumerate(zip(files, views, splits, strict=True))
    )
    return Release("own", {"manifest.csv": lines("file,view,patient,split,group_kind,ed,es", *rows)}, files)


def own_tree() -> Release:
    files = ["2CH/Ann/a.png", "Apical 4 chamber/Ann/b.avi", "plax/Bob/1/c.dcm", "A3C/Bob/d.png", "psax/e.png"]
    header = {"plax/Bob/1/f.mhd": MHD.format("f.raw")}
    return Release("own", header, [*files, "plax/Bob/1/f.raw"], lambda path: view_of(path.split("/")[0]))


RELEASES = [
    *(echonet_dynamic, echonet_lvh, echonet_pediatric, ev9v),
    *(tmed2, camus, camus_old, unity, own_manifest, own_tree),
]
TRICKY = [
    '"',
    '""',
    ",",
    ",,",
    ";;;",
    "\t",
    "|",
    "\n",
    "\r",
    "\ufeff",
    "\0",
    "..",
    "../",
    "/",
    "\\",
    "'",
    " ",
    "-",
    "\u2028",
]
TEXTS = st.one_of(st.sampled_from(TRICKY), st.text(max_size=6)).map(lambda text: text.encode("utf-8", "replace"))
PLACES = st.integers(0, 10_000)
# No mutation makes a true row out of parts of others: it moves or tears cells within a row or inserts what no row
# holds. Cells exchanged between rows would be new labels, which nobody could tell from old ones.
KINDS = (
    "insert",
    "cut",
    "drop line",
    "double line",
    "exchange lines",
    "exchange cells",
    "drop cell",
    "add cell",
    "bom",
)
EDITS = st.lists(st.tuples(st.sampled_from(KINDS), PLACES, PLACES, TEXTS | st.binary(max_size=4)), max_size=3)
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=20)
SUFFIXES = st.sampled_from(["", ".png", ".avi", ".csv", ".txt", ".mhd", ".nii.gz", ".mp4"])


def mutate(data: bytes, kind: str, first: int, second: int, text: bytes) -> bytes:
    """One edit at places that are taken modulo what there is."""
    if kind == "insert":
        place = first % (len(data) + 1)
        return data[:place] + text + data[place:]
    if kind == "cut":
        return data[: first % (len(data) + 1)]
    if kind == "bom":
        return (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")[first % 3] + data
    rows = data.split(b"\n")
    row, other = first % len(rows), second % len(rows)
    cells = rows[row].split(b",")
    cell = second % len(cells)
    if kind == "drop line":
        del rows[row]
    elif kind == "double line":
        rows.insert(other, rows[row])
    elif kind == "exchange lines":
        rows[row], rows[other] = rows[other], rows[row]
    else:
        if kind == "exchange cells":
            cells[0], cells[cell] = cells[cell], cells[0]
        elif kind == "drop cell":
            del cells[cell]
        else:
            cells.insert(cell, text)
        rows[row] = b",".join(cells)
    return b"\n".join(rows)


def write(folder: Path, path: str, data: bytes) -> None:
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_bytes(data)


def read(release: Release, folder: Path) -> Listing:
    return find_source(release.source).list_records(folder)


def expectations(release: Release) -> dict[str, tuple[str, str, str | None]]:
    """Path -> view, group and official split in the intact release."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "release"
        for path in release.files:
            write(folder, path, b"")
        for path, text in release.tables.items():
            write(folder, path, text.encode())
        records = read(release, folder).records
        return {r.path.relative_to(folder).as_posix(): (r.view, r.group, r.official_split) for r in records}


def check(release: Release, truth: dict, folder: Path, chosen: str, stray: str = "") -> bool:
    """Read the release in `folder`, of which the text `chosen` is mutated and the file `stray` new; whether it is
    read.
    """
    try:
        listing = read(release, folder)
    except EchosynthError as error:
        assert len(str(error).splitlines()) == 1, str(error)
        assert str(folder) in str(error)
        return False
    assert listing.records
    for record in listing.records:
        assert record.path.is_file()
        assert record.path.resolve().is_relative_to(folder.resolve())
        assert record.view in find_source(release.source).views
        path = record.path.relative_to(folder).as_posix()
        if path in truth:
            view, group, split = truth[path]
            assert record.view == view
            assert record.official_split in (split, None)
            # The manifest's column of patients is the group: a torn number is another one.
            assert record.group == group or chosen == "manifest.csv"
        else:
            assert path == stray or (release.source == "camus" and "_gt" not in path)
            assert record.view == release.view_by_path(path)
    assert all(len(text.splitlines()) == 1 for text in (*listing.notes, *listing.omitted))
    return True


TRUTH = {build.__name__: expectations(build()) for build in RELEASES}


def test_every_source_has_a_release_here():
    assert {build().source for build in RELEASES} == {source.name for source in all_sources()}
    assert all(len(truth) >= 3 for truth in TRUTH.values())
    for source in all_sources():
        shown = {
            row[0] for build in RELEASES if build().source == source.name for row in TRUTH[build.__name__].values()
        }
        assert shown == set(source.views)


def test_every_source_refuses_a_missing_an_empty_and_a_foreign_folder(tmp_path):
    (tmp_path / "empty").mkdir()
    write(tmp_path, "foreign/holiday.jpg", b"")
    for source in all_sources():
        for name, words in (("gone", "gone is missing"), ("empty", "empty is empty"), ("foreign", "foreign")):
            with pytest.raises(EchosynthError, match=words):
                source.list_records(tmp_path / name)


@pytest.mark.parametrize("build", RELEASES, ids=lambda build: build.__name__)
@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(table=PLACES, edits=EDITS, removed=st.lists(PLACES, max_size=1), extra=st.tuples(PLACES, NAMES, SUFFIXES))
def test_a_mutated_release_is_refused_or_gives_true_records(build, table, edits, removed, extra):
    release, truth = build(), TRUTH[build.__name__]
    content = {path: text.encode() for path, text in release.tables.items()} | dict.fromkeys(release.files, b"")
    chosen = sorted(release.tables)[table % len(release.tables)]
    for edit in edits:
        content[chosen] = mutate(content[chosen], *edit)
    for place in removed:
        del content[sorted(content)[place % len(content)]]
    folders = sorted({path.rpartition("/")[0] for path in content})
    stray = f"{folders[extra[0] % len(folders)]}/{extra[1]}{extra[2]}".lstrip("/")
    if Path(stray).name not in (".", "..") and stray.casefold() not in {path.casefold() for path in content}:
        content[stray] = b""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "release"
        for path, data in content.items():
            write(folder, path, data)
        check(release, truth, folder, chosen, stray)


@pytest.mark.parametrize(
    ("build", "table"),
    [
        (ev9v, "train_labeled.txt"),
        (tmed2, "labels_per_image.csv"),
        (unity, "view_index.csv"),
        (own_manifest, "manifest.csv"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_table_of_views_that_is_torn_anywhere(build, table, tmp_path):
    release, truth = build(), TRUTH[build.__name__]
    for path, data in {**dict.fromkeys(release.files, ""), **release.tables}.items():
        write(tmp_path, path, data.encode())
    data = release.tables[table].encode()
    read_count = 0
    for end in range(len(data)):
        write(tmp_path, table, data[:end])
        read_count += check(release, truth, tmp_path, table)
    assert read_count
