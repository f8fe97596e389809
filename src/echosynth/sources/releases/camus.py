"""CAMUS: end-diastolic and end-systolic stills of two apical views, in the old release (.mhd) or the new one
(.nii.gz).
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from echosynth.common.errors import EchosynthError
from echosynth.sources.base import Listing, Moment, OfficialSplit, Record, Source
from echosynth.sources.folders import find_root, name_key, require_folder, walk_files
from echosynth.sources.tables import finished, official_split, read_text

NAME = "camus"
TITLE = "CAMUS"
VIEW_OF = {"2CH": "A2C", "4CH": "A4C"}
MOMENTS: tuple[Moment, Moment] = ("ED", "ES")
NEW, OLD, BARE = ("database_nifti",), ("training", "testing"), ("",)
LISTS = tuple(f"subgroup_{word}.txt" for word in ("training", "validation", "testing"))
SUFFIXES = (".nii.gz", ".nii", ".mhd", ".mha")
SEQUENCES = ("half_sequence", "sequence")
NO_STILL = "patient without this still"
NO_DATA_FILE = "header without its data file"
HEADER_BYTES = 1 << 16


class Patient(NamedTuple):
    """One patient's folder, what tells the patient from all others of the release, and the release's own split."""

    folder: Path
    group: str
    split: OfficialSplit | None


def data_file(header: Path) -> str | None:
    """Name of the file with the picture of a MetaImage header (.mhd): a .raw or compressed .zraw beside it.

    Returns:
        The name; "" when the picture follows in the same file; None when the header names no file, or one elsewhere,
        for a header must not reach out of the release.
    """
    try:
        with header.open("rb") as stream:
            text = stream.read(HEADER_BYTES).decode("latin-1")
    except OSError:
        return None
    found = re.search(r"^[ \t]*ElementDataFile[ \t]*=[ \t]*([^\r\n]{1,255})", text, re.MULTILINE)
    if found is None:
        return None
    name = found[1].strip().removeprefix("./")
    if name == "LOCAL":
        return ""
    return name if name == PurePosixPath(name.replace("\\", "/")).name else None


def is_whole(path: Path, files: Mapping[str, Path]) -> bool:
    """Whether `path` is no MetaImage header, or its data file is among `files` (by `name_key` of the name)."""
    if path.suffix.lower() != ".mhd":
        return True
    name = data_file(path)
    return name == "" or (name is not None and name_key(name) in files)


def _layout(folder: Path) -> tuple[Path, tuple[str, ...]]:
    """Where the release is unpacked and the names of its folders that hold patients.

    People point at the folder of the download, at the one around it or at the one inside it. The new release holds the
    same patients as the old one, so the old one is read only where the new one is not there.
    """
    for names in (NEW, OLD):
        base = find_root(folder, names, depth=1)
        if any((base / name).is_dir() for name in names):
            return base, names
    if any(folder.glob("patient*/patient*")):
        return folder, BARE
    raise EchosynthError(
        f"{folder} has neither database_nifti/ nor training/ and testing/; put {TITLE} as released there"
    )


def _read_lists(folders: list[Path], listing: Listing) -> dict[str, OfficialSplit | None]:
    """Patient -> split from the new release's lists with one patient a line; None for a patient in two lists."""
    splits: dict[str, set[OfficialSplit | None]] = defaultdict(set)
    missing = []
    for name in LISTS:
        path = next((folder / name for folder in folders if (folder / name).is_file()), None)
        if path is None:
            missing.append(f"database_split/{name}")
            continue
        for line in filter(None, map(str.strip, read_text(path).splitlines())):
            splits[name_key(line)].add(official_split(path.stem.removeprefix("subgroup_")))
    if missing:
        listing.notes.append(f"no {', '.join(missing)}: the patients of such lists have no official split")
    torn = sum(len(found) > 1 for found in splits.values())
    if torn:
        listing.notes.append(f"{torn} of {len(splits)} patients stand in two lists of database_split/; split anew")
    return {patient: found.copy().pop() if len(found) == 1 else None for patient, found in splits.items()}


def _patient_folders(place: Path) -> list[Path]:
    return sorted(path for path in place.glob("patient*") if path.is_dir())


def _patients(folder: Path, listing: Listing) -> Iterator[Patient]:
    """All patients. The numbers of the old testing/ start again at 1: there the key is folder and number."""
    base, names = _layout(folder)
    if names == OLD:
        for half in names:
            if not (base / half).is_dir():
                listing.notes.append(f"there is no {half}/")
            for path in _patient_folders(base / half):
                yield Patient(path, f"{half}/{path.name}", official_split(half))
        return
    # The lists lie beside database_nifti/, which may be the very folder that was given.
    around = base.absolute().parent if names == BARE and base.absolute().name == NEW[0] else base
    splits = _read_lists([around / "database_split", around], listing)
    patients = _patient_folders(base / names[0])
    for path in patients:
        yield Patient(path, path.name, splits.get(name_key(path.name)))
    unlisted = sum(name_key(path.name) not in splits for path in patients)
    if splits and unlisted:
        listing.notes.append(f"{unlisted} of {len(patients)} patients stand in no list of database_split/")


def _marks(path: Path | None) -> dict[Moment, int]:
    """Frames of end diastole and end systole, from 0, in an Info_*.cfg, which counts from 1; lines that say something
    else are passed over, as are contradictions.
    """
    try:
        text = read_text(path) if path else ""
    except EchosynthError:
        return {}
    numbers: dict[str, set[int]] = defaultdict(set)
    for key, number in re.findall(r"^\s*(ED|ES|NbFrame)\s*[:=]\s*([0-9]{1,6})\s*$", text, re.MULTILINE):
        numbers[key].add(int(number))
    last = min(numbers["NbFrame"], default=10**6)
    return {
        moment: min(numbers[moment]) - 1
        for moment in MOMENTS
        if len(numbers[moment]) == 1 and 1 <= min(numbers[moment]) <= last
    }


def _list_patient(patient: Patient, folder: Path, listing: Listing) -> int:
    """Add the records of one patient and return for how many stills a sequence stands."""
    found = walk_files([patient.folder], folder, listing)
    files = {name_key(path.name): path for path in found if path.parent == patient.folder}

    def first(*stems: str) -> Path | None:
        names = (name_key(f"{patient.folder.name}_{stem}{suffix}") for stem in stems for suffix in SUFFIXES)
        return next((files[name] for name in names if name in files), None)

    instead = 0
    for chambers, view in VIEW_OF.items():
        missing: dict[Moment, str] = {}
        for moment in MOMENTS:
            path = first(f"{chambers}_{moment}")
            if path and is_whole(path, files):
                listing.records.append(Record(path, view, patient.group, "patient", moment, patient.split))
            else:
                missing[moment] = NO_DATA_FILE if path else NO_STILL
        sequence = first(*(f"{chambers}_{name}" for name in SEQUENCES)) if missing else None
        marks = _marks(files.get(name_key(f"Info_{chambers}.cfg"))) if sequence and is_whole(sequence, files) else {}
        marked = tuple((moment, marks[moment]) for moment in missing if moment in marks)
        if sequence and marked:
            instead += len(marked)
            listing.records.append(Record(sequence, view, patient.group, "patient", "", patient.split, marked))
        for moment, reason in missing.items():
            if moment not in marks:
                listing.omit(reason, f"{patient.group}/{patient.folder.name}_{chambers}_{moment}")
    return instead


def list_records(folder: Path) -> Listing:
    """List the ED and ES stills of both views of every patient.

    Where a still is missing but the sequence is there and its Info_*.cfg tells the frame, the record is the sequence
    with that frame marked. Whether the sequence is that long shows when it is decoded.

    Raises:
        EchosynthError: the folder is missing or is of neither release, or nothing usable is found.
    """
    listing = Listing()
    instead = sum(
        [_list_patient(patient, folder, listing) for patient in _patients(require_folder(folder, TITLE), listing)]
    )
    if instead:
        listing.notes.append(
            f"{instead} stills are missing; the sequence stands for them, with the frame that Info_*.cfg tells (from 1)"
        )
    return finished(listing, folder)


SOURCE = Source(
    name=NAME,
    title=TITLE,
    views=("A2C", "A4C"),
    unit="still",
    group_kind="patient",
    layout=(
        "training/ and testing/ with patient*/patient*_{2CH,4CH}_{ED,ES}.mhd and their .raw, or",
        "database_nifti/ with patient*/patient*_{2CH,4CH}_{ED,ES}.nii.gz",
        "database_split/subgroup_{training,validation,testing}.txt (optional: official split of the new release)",
    ),
    licence="CC BY-NC-SA 4.0, for non-commercial scientific research, with citation",
    citation="Leclerc et al., Deep learning for segmentation using an open large-scale dataset in 2D echocardiography, "
    "IEEE Transactions on Medical Imaging 38(9), 2019",
    list_records=list_records,
)
