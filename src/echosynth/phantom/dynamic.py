"""EchoNet-Dynamic: apical four-chamber cines of 112 x 112 with volumes, ejection fractions and tracings."""

from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from echosynth.phantom.anatomy import END_SYSTOLE, ventricle_volume
from echosynth.phantom.media import in_parallel, write_avi
from echosynth.phantom.options import PhantomParams
from echosynth.phantom.plan import Item, planner, split_names, video_items, video_name
from echosynth.phantom.recordings import Recording, draw_recording
from echosynth.phantom.screen import cine_phases, extremes, frames

NAME: Final = "echonet-dynamic"
SPLITS = {"TRAIN": 7465.0, "VAL": 1288.0, "TEST": 1277.0}
CHORDS = 20


def tracing(recording: Recording, phase: float) -> list[tuple[float, float, float, float]]:
    """Long axis and `CHORDS` chords across the LV as X1, Y1, X2, Y2 in pixels; empty when the LV is hardly in the
    picture."""
    rows, columns = np.nonzero(recording.chamber("LV", phase))
    if len(rows) < 100:
        return []
    top, bottom = int(rows.min()), int(rows.max())
    ends = [float(columns[rows == row].mean()) for row in (top, bottom)]
    lines = [(ends[0], float(top), ends[1], float(bottom))]
    for row in np.unique(np.linspace(top, bottom, CHORDS + 2).astype(int)[1:-1]):
        across = columns[rows == row]
        if len(across):
            lines.append((float(across.min()), float(row), float(across.max()), float(row)))
    return lines


def _write(
    params: PhantomParams, root: Path, item: Item
) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]:
    """One video; its rows of FileList, VolumeTracings and the truth."""
    recording = draw_recording(params, NAME, item.patient, item.number, item.view)
    rng = np.random.default_rng((*recording.seed, 10_002))
    phases = cine_phases(rng, *recording.style.frames)
    name = video_name(params, NAME, item.patient, item.number)
    write_avi(root / "Videos" / f"{name}.avi", frames(recording, phases, item.kind), recording.style.quality)
    largest, smallest = (ventricle_volume(recording.anatomy, phase) for phase in (0.0, END_SYSTOLE))
    listed = {
        "FileName": name,
        "EF": round(100 * (largest - smallest) / largest, 4),
        "ESV": round(smallest, 4),
        "EDV": round(largest, 4),
        "FrameHeight": recording.geometry.height,
        "FrameWidth": recording.geometry.width,
        "FPS": 50,
        "NumberOfFrames": len(phases),
    }
    traced = [
        {"FileName": f"{name}.avi", "X1": x1, "Y1": y1, "X2": x2, "Y2": y2, "Frame": frame}
        for frame in extremes(phases)
        for x1, y1, x2, y2 in tracing(recording, phases[frame])
    ]
    truth = {
        "source": NAME,
        "file": f"Videos/{name}.avi",
        "view": item.view,
        "kind": item.kind,
        "patient": item.patient,
    }
    return listed, traced, truth


def write_dynamic(params: PhantomParams, root: Path, workers: int) -> list[dict[str, Any]]:
    """Write FileList.csv, VolumeTracings.csv and Videos/ into the folder `root`; return the truth, a row a file."""
    rng = planner(params, NAME)
    items = video_items(params, NAME, "A4C", 0.0, rng)
    splits = split_names(len(items), SPLITS, rng)
    (root / "Videos").mkdir(parents=True)
    written = list(in_parallel(partial(_write, params, root), items, workers, f"phantom {NAME}", "videos"))
    table = pd.DataFrame([listed | {"Split": split} for (listed, _, _), split in zip(written, splits, strict=True)])
    table.to_csv(root / "FileList.csv", index=False, lineterminator="\n")
    columns = ["FileName", "X1", "Y1", "X2", "Y2", "Frame"]
    lines = pd.DataFrame([line for _, traced, _ in written for line in traced], columns=columns)
    lines.to_csv(root / "VolumeTracings.csv", index=False, lineterminator="\n", float_format="%.2f")
    return [truth for _, _, truth in written]
