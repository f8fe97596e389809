"""TMED-2: stills of all four views with the patient in the file name, `<patient>s<study>_<image>.png`."""

import re
from pathlib import Path
from typing import Any

from echosynth.sources.base import Listing, OfficialSplit, Source
from echosynth.sources.tables import (
    NO_VIEW,
    base_name,
    finished,
    index_files,
    match_rows,
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
    files = index_files([root / name for name in LABELLED_FOLDERS], folder, ".png", listing)

    def describe(name: str, view: str) -> dict[str, Any] | str:
        match = FILE_NAME.match(name)
        if view not in VIEWS:
            return f"view {view}" if view else NO_VIEW
        if match is None:
            return "file name without a patient number"
        return {"view": view, "group": match[1], "group_kind": "patient", "official_split": splits.get(name)}

    names = (base_name(cell, ".png") for cell in table["query_key"])
    match_rows(listing, files, zip(names, table["view_label"], strict=True), describe)
    return finished(listing, folder)


SOURCE = Source(
    name=NAME,
    title=TITLE,
    views=VIEWS,
    unit="still",
    group_kind="patient",
    layout=(
        "labels_per_image.csv",
        "view_and_diagnosis_labeled_set/**/*.png",
        "view_labeled_set/**/*.png",
        "DEV479/TMED2_fold0_labeledpart.csv (optional: official split)",
    ),
    licence="research use only, no redistribution",
    citation="Huang et al., TMED 2: A dataset for semi-supervised classification of echocardiograms, "
    "DataPerf at ICML, 2022",
    list_records=list_records,
)
