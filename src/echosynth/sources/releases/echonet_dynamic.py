"""EchoNet-Dynamic: apical four-chamber cines. Each is of another person, as its publishers say, so the file stands for
the patient."""

from pathlib import Path
from typing import Any

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

NAME = "echonet-dynamic"
TITLE = "EchoNet-Dynamic"


def list_records(folder: Path) -> Listing:
    """List the cines that stand in FileList.csv and lie in Videos/.

    Raises:
        EchosynthError: the folder or the table is missing, or nothing usable is found.
    """
    table = read_table(require_folder(folder, TITLE) / "FileList.csv", ("FileName", "Split"))
    listing = Listing()
    files = index_files([folder / "Videos"], folder, ".avi", listing)

    def describe(name: str, split: str) -> dict[str, Any]:
        return {
            "view": "A4C",
            "group": Path(name).stem,
            "group_kind": "patient",
            "official_split": official_split(split),
        }

    names = (base_name(cell, ".avi") for cell in table["FileName"])
    match_rows(listing, files, zip(names, table["Split"], strict=True), describe)
    return finished(listing, folder)


SOURCE = Source(
    name=NAME,
    title=TITLE,
    views=("A4C",),
    unit="cine",
    group_kind="patient",
    layout=("FileList.csv", "VolumeTracings.csv (optional: ED and ES)", "Videos/*.avi"),
    licence="research use only, no redistribution, no derived works",
    citation="Ouyang et al., Video-based AI for beat-to-beat assessment of cardiac function, Nature 580, 2020",
    list_records=list_records,
)
