"""EchoNet-LVH: parasternal long-axis cines in four batches.

The release has no patient or study number: cines of one patient may fall into two splits and nobody can tell.
"""

from pathlib import Path

from echosynth.errors import EchosynthError
from echosynth.sources.base import Listing, Record, Source
from echosynth.sources.tables import (
    FILE_WITHOUT_ROW,
    ROW_WITHOUT_FILE,
    base_name,
    finished,
    index_files,
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
    files = index_files(batches, ".avi", listing)
    splits: dict[str, str] = {}
    for cell, split in zip(table["HashedFileName"], table["split"], strict=True):
        splits.setdefault(base_name(cell, ".avi"), split)
    for name, split in splits.items():
        if name not in files:
            listing.omit(ROW_WITHOUT_FILE, name or "(no name)")
        else:
            stem = Path(name).stem
            listing.records.append(
                Record(NAME, files[name], "PLAX", stem, "file", official_split=official_split(split))
            )
    for name in sorted(files.keys() - splits.keys()):
        listing.omit(FILE_WITHOUT_ROW, name)
    return finished(listing, folder)


SOURCE = Source(
    name=NAME,
    title=TITLE,
    views=("PLAX",),
    is_video=True,
    licence="research use only, no redistribution, no derived works",
    citation="Duffy et al., High-throughput precision phenotyping of left ventricular hypertrophy, "
    "JAMA Cardiology 7, 2022",
    list_records=list_records,
)
