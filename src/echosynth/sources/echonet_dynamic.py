"""EchoNet-Dynamic: apical four-chamber cines, one person each, so the file is the group."""

from pathlib import Path

from echosynth.sources.base import Listing, Record, Source
from echosynth.sources.tables import (
    FILE_WITHOUT_ROW,
    ROW_TWICE,
    ROW_WITHOUT_FILE,
    base_name,
    finished,
    index_files,
    official_split,
    read_table,
    require_folder,
)

NAME = "echonet-dynamic"
TITLE = "EchoNet-Dynamic"


def list_records(folder: Path) -> Listing:
    """List the cines that stand in FileList.csv and lie in Videos/.

    Raises:
        EchosynthError: the folder or the table is missing, or nothing usable is found.
    """
    table = read_table(require_folder(folder, TITLE) / "FileList.csv", ("FileName", "Split"))
    listing = Listing()
    files = index_files([folder / "Videos"], ".avi", listing)
    seen: set[str] = set()
    for cell, split in zip(table["FileName"], table["Split"], strict=True):
        name = base_name(cell, ".avi")
        if name in seen:
            listing.omit(ROW_TWICE, name)
        elif name not in files:
            listing.omit(ROW_WITHOUT_FILE, name or "(no name)")
        else:
            stem = Path(name).stem
            listing.records.append(Record(NAME, files[name], "A4C", stem, "file", official_split=official_split(split)))
        seen.add(name)
    for name in sorted(files.keys() - seen):
        listing.omit(FILE_WITHOUT_ROW, name)
    return finished(listing, folder)


SOURCE = Source(
    name=NAME,
    title=TITLE,
    views=("A4C",),
    is_video=True,
    licence="research use only, no redistribution, no derived works",
    citation="Ouyang et al., Video-based AI for beat-to-beat assessment of cardiac function, Nature 580, 2020",
    list_records=list_records,
)
