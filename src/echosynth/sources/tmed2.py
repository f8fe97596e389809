"""TMED-2: stills of all four views with the patient in the file name, `<patient>s<study>_<image>.png`."""

import re
from pathlib import Path

from echosynth.sources.base import Listing, OfficialSplit, Record, Source
from echosynth.sources.tables import (
    FILE_WITHOUT_ROW,
    NO_VIEW,
    ROW_TWICE,
    ROW_WITHOUT_FILE,
    base_name,
    finished,
    index_files,
    official_split,
    read_table,
    require_folder,
)
from echosynth.views import VIEWS

NAME = "tmed2"
TITLE = "TMED-2"
FILE_NAME = re.compile(r"^(\d+)s(\d+)_(\d+)\.png$", re.IGNORECASE)
LABELLED_FOLDERS = ("view_and_diagnosis_labeled_set", "view_labeled_set")
# The release has nine fold tables that divide the patients in nine ways; the first fold of the largest is taken as
# "the" split.
FOLD_TABLE = Path("DEV479") / "TMED2_fold0_labeledpart.csv"


def _official_splits(root: Path) -> dict[str, OfficialSplit | None]:
    """File name -> split of the view classifier in `FOLD_TABLE`; empty when the release was copied without it."""
    if not (root / FOLD_TABLE).is_file():
        return {}
    table = read_table(root / FOLD_TABLE, ("query_key", "view_classifier_split"))
    pairs = zip(table["query_key"], table["view_classifier_split"], strict=True)
    return {base_name(key, ".png"): official_split(split) for key, split in pairs}


def list_records(folder: Path) -> Listing:
    """List the stills of the four views that stand in labels_per_image.csv; files are looked up by name in the
    labelled sets.

    A4CorA2CorOther, a mixture that holds true A4C and A2C, and Not_Provided are left out.

    Raises:
        EchosynthError: the folder or the table is missing, or nothing usable is found.
    """
    root = require_folder(folder, TITLE)
    if (root / "approved_users_only").is_dir():
        root = root / "approved_users_only"
    table = read_table(root / "labels_per_image.csv", ("query_key", "view_label"))
    splits = _official_splits(root)
    listing = Listing()
    files = index_files([root / name for name in LABELLED_FOLDERS], ".png", listing)
    seen: set[str] = set()
    for cell, view in zip(table["query_key"], table["view_label"], strict=True):
        name = base_name(cell, ".png")
        match = FILE_NAME.match(name)
        if name in seen:
            listing.omit(ROW_TWICE, name)
        elif view not in VIEWS:
            listing.omit(f"view {view}" if view else NO_VIEW, name)
        elif match is None:
            listing.omit("file name without a patient number", name or "(no name)")
        elif name not in files:
            listing.omit(ROW_WITHOUT_FILE, name)
        else:
            listing.records.append(
                Record(NAME, files[name], view, match[1], "patient", official_split=splits.get(name))
            )
        seen.add(name)
    for name in sorted(files.keys() - seen):
        listing.omit(FILE_WITHOUT_ROW, name)
    return finished(listing, folder)


SOURCE = Source(
    name=NAME,
    title=TITLE,
    views=VIEWS,
    is_video=False,
    licence="research use only, no redistribution",
    citation="Huang et al., TMED 2: A dataset for semi-supervised classification of echocardiograms, "
    "DataPerf at ICML, 2022",
    list_records=list_records,
)
