"""TMED-2: stills of all four views with the patient in the file name, `<patient>s<study>_<image>.png`."""

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from echosynth.common.errors import EchosynthError
from echosynth.common.views import VIEWS
from echosynth.sources.base import Listing, OfficialSplit, Source
from echosynth.sources.folders import NAME_TWICE, find_root, name_key, require_folder, walk_files
from echosynth.sources.tables import (
    NO_VIEW,
    UNKNOWN_VIEW,
    base_name,
    finished,
    match_rows,
    note_unknown_splits,
    official_split,
    read_table,
)

NAME = "tmed2"
TITLE = "TMED-2"
TABLE = "labels_per_image.csv"
FILE_NAME = re.compile(r"^([0-9]+)s([0-9]+)_([0-9]+)\.png$", re.IGNORECASE)
# unlabeled_set/ is not among them: nobody has looked at its images.
LABELLED_FOLDERS = ("view_and_diagnosis_labeled_set", "view_labeled_set")
# A mixture that holds true A4C and A2C, and images that nobody has labelled.
LEFT_OUT = ("A4CorA2CorOther", "Not_Provided")
# Any other word in the column may be anything, such as a cell of the next column with a patient's number in it; it
# must not become a reason, for reasons are published.
# Where a table is torn, A4CorA2CorOther may end as A4C: a row without its last label is not believed.
CUT_SHORT = "row that is cut short"
# The release has nine fold tables that divide the patients in nine ways; the first fold of the largest development
# set is taken as "the" split. Some tools want the table beside labels_per_image.csv.
FOLD_NAME = "TMED2_fold0_labeledpart.csv"
FOLD_FOLDERS = ("DEV479", "DEV165", "DEV56", "")


class _Fold(NamedTuple):
    """What the fold table says of an image."""

    split: OfficialSplit | None
    folder: str


def _read_fold(root: Path, listing: Listing) -> dict[str, _Fold]:
    """Key of the file name -> its row in the fold table; empty, with a note, when the release was copied without it.

    Rows of one image that disagree give it no split.
    """
    present = [root / name / FOLD_NAME for name in FOLD_FOLDERS if (root / name / FOLD_NAME).is_file()]
    if not present:
        listing.notes.append(f"there is no {FOLD_FOLDERS[0]}/{FOLD_NAME}: no image has an official split")
        return {}
    # Without SourceFolder its place is taken by a column that names no folder.
    table = read_table(present[0], ("query_key", "view_classifier_split", ("SourceFolder", "query_key")))
    note_unknown_splits(listing, table["view_classifier_split"])
    fold: dict[str, _Fold] = {}
    for cell, word, source in table.itertuples(index=False):
        key, row = name_key(base_name(cell, ".png")), _Fold(official_split(word), source)
        fold[key] = row if fold.get(key, row) == row else _Fold(None, "")
    where = present[0].relative_to(root).as_posix()
    listing.notes.append(f"official splits come from the column view_classifier_split of {where}")
    return fold


def _index(root: Path, folder: Path, fold: Mapping[str, _Fold], listing: Listing) -> dict[str, Path]:
    """The images of the labelled folders by `name_key`; of two with one name that in the fold table's folder."""
    starts = [root / name for name in LABELLED_FOLDERS if (root / name).is_dir()]
    if not starts:
        raise EchosynthError(
            f"{root} has neither {LABELLED_FOLDERS[0]}/ nor {LABELLED_FOLDERS[1]}/; unpack {TITLE} there"
        )
    index: dict[str, Path] = {}
    for path in walk_files(starts, folder, listing):
        key = name_key(path.name)
        if not key.endswith(".png"):
            continue
        named = PurePosixPath(fold[key].folder.replace("\\", "/")) if key in fold else None
        if key in index and path.parent != root / (named or "."):
            listing.omit(NAME_TWICE, path.relative_to(folder).as_posix())
            continue
        if key in index:
            listing.omit(NAME_TWICE, index[key].relative_to(folder).as_posix())
        index[key] = path
    return index


def list_records(folder: Path) -> Listing:
    """List the stills of the four views that stand in labels_per_image.csv and lie in the labelled folders.

    A4CorA2CorOther, a mixture that holds true A4C and A2C, and Not_Provided are left out.

    Raises:
        EchosynthError: the folder, the table or both labelled folders are missing, or nothing usable is found.
    """
    root = find_root(require_folder(folder, TITLE), (TABLE, *LABELLED_FOLDERS))
    table = read_table(root / TABLE, ("query_key", "view_label", ("diagnosis_label", "view_label")))
    listing = Listing()
    fold = _read_fold(root, listing)
    files = _index(root, folder, fold, listing)

    def describe(name: str, labels: tuple[str, str]) -> dict[str, Any] | str:
        match, (view, diagnosis) = FILE_NAME.match(name), labels
        if view and not diagnosis:
            return CUT_SHORT
        if view not in VIEWS:
            return f"view {view}" if view in LEFT_OUT else UNKNOWN_VIEW if view else NO_VIEW
        if match is None:
            return "file name without a patient number"
        row = fold.get(name_key(name))
        return {"view": view, "group": match[1], "group_kind": "patient", "official_split": row.split if row else None}

    names = (base_name(cell, ".png") for cell in table["query_key"])
    labels = zip(table["view_label"], table["diagnosis_label"], strict=True)
    match_rows(listing, files, zip(names, labels, strict=True), describe)
    return finished(listing, folder)


SOURCE = Source(
    name=NAME,
    title=TITLE,
    views=VIEWS,
    unit="still",
    group_kind="patient",
    layout=(
        "labels_per_image.csv (all of this may lie in approved_users_only/)",
        "view_and_diagnosis_labeled_set/**/*.png",
        "view_labeled_set/**/*.png",
        "DEV479/TMED2_fold0_labeledpart.csv (optional: official split)",
    ),
    licence="academic research only, on application to Tufts; no redistribution",
    citation="Huang et al., TMED 2: A dataset for semi-supervised classification of echocardiograms, "
    "DataPerf workshop at ICML, 2022",
    list_records=list_records,
)
