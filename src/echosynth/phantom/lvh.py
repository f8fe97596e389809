"""EchoNet-LVH: parasternal long-axis cines at native size, in four batches, with wall measurements."""

from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from echosynth.phantom.anatomy import OUTFLOW, heart_at
from echosynth.phantom.media import in_parallel, write_avi
from echosynth.phantom.options import PhantomParams
from echosynth.phantom.plan import Item, planner, split_names, video_items, video_name
from echosynth.phantom.recordings import Recording, draw_recording
from echosynth.phantom.screen import cine_phases, extremes, frames

NAME: Final = "echonet-lvh"
BATCHES = 4
SPLITS = {"train": 0.8, "val": 0.1, "test": 0.1}
SAME_PATIENT = 0.15
STRAY = 0.004  # share of rows without a file, and of files without a row
LEVEL = 0.75  # where the walls are measured, as a share of the LV's length
CALCS = ("IVS", "LVID", "LVPW")
COLUMNS = [
    "HashedFileName",
    "Calc",
    "CalcValue",
    "Frame",
    "X1",
    "X2",
    "Y1",
    "Y2",
    "Frames",
    "FPS",
    "Width",
    "Height",
    "split",
]


def calipers(recording: Recording, phase: float) -> tuple[list[float], npt.NDArray[np.float64]]:
    """Septum, cavity and posterior wall across the LV: lengths in cm (3,) and the four ends in pixels (4, 2)."""
    heart = heart_at(recording.anatomy, phase)
    height = LEVEL * heart.base
    radii = []
    for shell in (heart.endocardium, heart.epicardium):
        offset = (height - shell.centre[2]) / shell.axes[2]
        radii.append(float(shell.axes[0] * np.sqrt(1 - offset**2)))
    inner, outer = radii
    along = np.array([outer, inner, -inner, -outer])
    ends = np.stack([along * np.cos(OUTFLOW), along * np.sin(OUTFLOW), np.full(4, height)], axis=1)
    return [float(length) for length in -np.diff(along) / 10], recording.pixels(ends)


def _write(params: PhantomParams, root: Path, item: Item) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """One video; its rows of MeasurementsList and of the truth."""
    recording = draw_recording(params, NAME, item.patient, item.number, item.view)
    rng = np.random.default_rng((*recording.seed, 10_002))
    phases = cine_phases(rng, *recording.style.frames)
    name = video_name(params, NAME, item.patient, item.number)
    file = f"Batch{1 + int(rng.integers(BATCHES))}/{name}.avi"
    write_avi(root / file, frames(recording, phases, item.kind), recording.style.quality)
    rows = []
    for moment, frame in zip("ds", extremes(phases), strict=True):
        if moment == "s" and rng.random() < 0.5:
            continue  # systole is measured in some videos only
        lengths, ends = calipers(recording, phases[frame])
        for index, calc in enumerate(CALCS):
            (x1, y1), (x2, y2) = ends[index], ends[index + 1]
            row = [f"{calc}{moment}", round(lengths[index], 4), frame, x1, x2, y1, y2, len(phases), 20.0]
            rows.append(
                dict(zip(COLUMNS, [name, *row, recording.geometry.width, recording.geometry.height], strict=False))
            )
    truth = {"source": NAME, "file": file, "view": item.view, "kind": item.kind, "patient": item.patient}
    return rows, truth


def write_lvh(params: PhantomParams, root: Path, workers: int) -> list[dict[str, Any]]:
    """Write Batch1 to Batch4 and MeasurementsList.csv into the folder `root`; return the truth, a row a file.

    As in the release, some rows have no file and some files no row; these files are not in the counts of the study.
    """
    rng = planner(params, NAME)
    items = video_items(params, NAME, "PLAX", SAME_PATIENT, rng)
    patients = items[-1].patient + 1
    of_patient = split_names(patients, SPLITS, rng)
    stray = max(1, round(STRAY * len(items)))
    extra = [Item("PLAX", "usable", patients + number, 0) for number in range(stray)]
    for batch in range(BATCHES):
        (root / f"Batch{batch + 1}").mkdir(parents=True)
    written = list(in_parallel(partial(_write, params, root), [*items, *extra], workers, f"phantom {NAME}", "videos"))
    rows = [
        row | {"split": of_patient[item.patient]}
        for (listed, _), item in zip(written, items, strict=False)
        for row in listed
    ]
    rows += [
        row | {"HashedFileName": video_name(params, NAME, "lost", number)} for number, row in enumerate(rows[:stray])
    ]
    pd.DataFrame(rows, columns=COLUMNS).to_csv(root / "MeasurementsList.csv", lineterminator="\n", float_format="%.4f")
    return [truth for _, truth in written]
