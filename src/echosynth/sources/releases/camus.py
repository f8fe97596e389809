"""CAMUS: end-diastolic and end-systolic stills of two apical views, in the old release (.mhd) or the new one
(.nii.gz).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from echosynth.errors import EchosynthError
from echosynth.sources.base import Listing, OfficialSplit, Record, Source
from echosynth.sources.tables import finished, official_split, require_folder

NAME = "camus"
TITLE = "CAMUS"
VIEW_OF = {"2CH": "A2C", "4CH": "A4C"}
MOMENTS: tuple[Literal["ED"], Literal["ES"]] = ("ED", "ES")


def _new_release_splits(folder: Path) -> dict[str, OfficialSplit | None]:
    """Patient -> split, from the lists of the new release with one patient a line."""
    splits: dict[str, OfficialSplit | None] = {}
    for path in sorted((folder / "database_split").glob("subgroup_*.txt")):
        word = path.stem.removeprefix("subgroup_")
        splits.update((line.strip(), official_split(word)) for line in path.read_text("utf-8-sig").splitlines())
    return splits


def _patients(folder: Path) -> Iterator[tuple[Path, str, str, OfficialSplit | None]]:
    """Patient folder, group key, file suffix and official split.

    The new release holds the same patients as the old one, so the old one is read only where the new one is not
    there. The
    patient numbers of the old testing/ start again at 1: there the key is folder and number.
    """
    if (folder / "database_nifti").is_dir():
        splits = _new_release_splits(folder)
        for patient in sorted((folder / "database_nifti").glob("patient*")):
            yield patient, patient.name, ".nii.gz", splits.get(patient.name)
        return
    halves = [folder / "training", folder / "testing"]
    if not any(half.is_dir() for half in halves):
        raise EchosynthError(
            f"{folder} has neither database_nifti/ nor training/ and testing/; put {TITLE} as released there"
        )
    for half in halves:
        for patient in sorted(half.glob("patient*")):
            yield patient, f"{half.name}/{patient.name}", ".mhd", official_split(half.name)


def list_records(folder: Path) -> Listing:
    """List the ED and ES stills of both views of every patient.

    Raises:
        EchosynthError: the folder is missing or is of neither release, or nothing usable is found.
    """
    listing = Listing()
    for patient, group, suffix, split in _patients(require_folder(folder, TITLE)):
        for chambers, view in VIEW_OF.items():
            for moment in MOMENTS:
                path = patient / f"{patient.name}_{chambers}_{moment}{suffix}"
                if path.is_file():
                    listing.records.append(Record(path, view, group, "patient", moment, split))
                else:
                    listing.omit("patient without this still", f"{group}/{path.name}")
    return finished(listing, folder)


SOURCE = Source(
    name=NAME,
    title=TITLE,
    views=("A2C", "A4C"),
    unit="still",
    group_kind="patient",
    layout=("training/, testing/ with patient*/*.mhd, or", "database_nifti/ with patient*/*.nii.gz and database_split/"),
    licence="research use, with citation",
    citation="Leclerc et al., Deep learning for segmentation using an open large-scale dataset in 2D echocardiography, "
    "IEEE Transactions on Medical Imaging 38, 2019",
    list_records=list_records,
)
