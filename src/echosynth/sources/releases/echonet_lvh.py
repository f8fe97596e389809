"""EchoNet-LVH: parasternal long-axis cines in four batches.

The release has no patient or study number: cines of one patient may fall into two splits and nobody can tell.
"""

from pathlib import Path
from typing import Any

from echosynth.errors import EchosynthError
from echosynth.sources.base import Listing, Source
from echosynth.sources.tables import (
    base_name,
    finished,
    index_files,
    match_rows,
    official_split,
    read_table,
    require_folder,
)

NAME = "echonet-lvh"
TITLE = "EchoNet-LVH"


def list_records(folder: Path) -> Listing:
    """List the cines that stand in MeasurementsList.csv (one row a measurement, several a cine) and lie in Batch1/ to
    Batch4/.

    Raises:
        EchosynthError: the folder, the table or every batch is missing, or nothing usable is found.
    """
    table = read_table(require_folder(folder, TITLE) / "MeasurementsList.csv", ("HashedFileName", "split"))
    batches = sorted(path for path in folder.glob("Batch*") if path.is_dir())
    if not batches:
        raise EchosynthError(f"{folder} has no folder Batch1 to Batch4; unpack the release's videos there")
    listing = Listing()
    files = index_files(batches, folder, ".avi", listing)
    splits: dict[str, str] = {}
    for cell, split in zip(table["HashedFileName"], table["split"], strict=True):
        splits.setdefault(base_name(cell, ".avi"), split)

    def describe(name: str, split: str) -> dict[str, Any]:
        return {
            "view": "PLAX",
            "group": Path(name).stem,
            "group_kind": "file",
            "official_split": official_split(split),
        }

    match_rows(listing, files, splits.items(), describe)
    return finished(listing, folder)


SOURCE = Source(
    name=NAME,
    title=TITLE,
    views=("PLAX",),
    unit="cine",
    group_kind="file",
    layout=("MeasurementsList.csv", "Batch1/*.avi to Batch4/*.avi"),
    licence="research use only, no redistribution, no derived works",
    citation="Duffy et al., High-throughput precision phenotyping of left ventricular hypertrophy, "
    "JAMA Cardiology 7, 2022",
    list_records=list_records,
)
