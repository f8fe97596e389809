"""Writing the phantoms of one release, or of all of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pandas as pd

from echosynth.common import paths
from echosynth.common.errors import EchosynthError
from echosynth.common.files import atomic_file, atomic_folder
from echosynth.phantom.camus import write_camus
from echosynth.phantom.dynamic import write_dynamic
from echosynth.phantom.lvh import write_lvh
from echosynth.phantom.options import PhantomParams
from echosynth.phantom.tmed2 import write_tmed2
from echosynth.phantom.unity import write_unity

TRUTH_COLUMNS: Final = ("source", "file", "view", "kind", "patient")
WRITERS: Final[dict[str, Callable[[PhantomParams, Path, int], list[dict[str, Any]]]]] = {
    "echonet-dynamic": write_dynamic,
    "echonet-lvh": write_lvh,
    "tmed2": write_tmed2,
    "camus": write_camus,
    "unity": write_unity,
}


def write_release(params: PhantomParams, source: str, root: Path, workers: int = 0) -> list[dict[str, Any]]:
    """Write the phantoms of one source into root/<source>, in the layout of its release, whole or not at all.

    Args:
        params: seed, size and difficulty.
        source: name of the release as in params.yaml.
        root: folder that holds the releases.
        workers: processes; 0 is one for each core. The bytes do not depend on it.

    Returns:
        The truth, a row a picture or video file: source, file (below the release's folder), view (one of
        `echosynth.common.views.VIEWS` or "other"), kind (usable, tinted, doppler, split, odd), patient (number within
        the source).

    Raises:
        EchosynthError: no such source, or the folder cannot be written.
    """
    if source not in WRITERS:
        raise EchosynthError(
            f"{source!r} is no source that phantoms can be written for; choose one of {', '.join(WRITERS)}"
        )
    with atomic_folder(root / source) as part:
        return WRITERS[source](params, part, workers)


def write_all(params: PhantomParams, root: Path | str, workers: int = 0) -> None:
    """Write the phantoms of all five releases and phantom-truth.csv into `root`, whole or not at all.

    `phantom-truth.csv` lies outside the release folders: what is pictured is for tests and calibration, not for
    adapters.
    """
    with atomic_folder(root) as part:
        rows = [row for source in WRITERS for row in write_release(params, source, part, workers)]
        with atomic_file(part / paths.TRUTH) as target:
            pd.DataFrame(rows, columns=list(TRUTH_COLUMNS)).to_csv(target, index=False, lineterminator="\n")
