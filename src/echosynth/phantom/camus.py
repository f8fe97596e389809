"""CAMUS, old release: ED and ES stills and short sequences of two apical views, as anisotropic MetaImage."""

from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import SimpleITK as sitk

from echosynth.common.arrays import Image
from echosynth.phantom.anatomy import END_SYSTOLE, ventricle_volume
from echosynth.phantom.media import in_parallel
from echosynth.phantom.options import PhantomParams
from echosynth.phantom.plan import CAMUS_PATIENTS, planner, scaled
from echosynth.phantom.recordings import Recording, draw_recording

NAME: Final = "camus"
VIEWS = {"2CH": "A2C", "4CH": "A4C"}
LABELS = {"LV": 1, "myocardium": 2, "LA": 3}
REVERSED = 0.15  # share of sequences that run from ES to ED


def _save(path: Path, frames: list[Image], recording: Recording) -> None:
    """Frames (H, W) as one MetaImage (T, H, W); the spacing makes the anisotropic pixels what they are in mm."""
    image = sitk.GetImageFromArray(np.stack(frames))
    tall = recording.settings.depth / recording.geometry.radius
    image.SetSpacing((tall * recording.geometry.aspect, tall, 1.0))
    sitk.WriteImage(image, str(path))


def outlines(recording: Recording, phase: float) -> Image:
    """Segmentation (H, W): 1 LV cavity, 2 myocardium, 3 left atrium, 0 the rest."""
    labels = np.zeros((recording.geometry.height, recording.geometry.width), np.uint8)
    for name, label in LABELS.items():
        labels[recording.chamber(name, phase) > 0] = label
    return labels


def _quality(recording: Recording) -> str:
    """Image quality from how uneven the acoustic window is."""
    uneven = float(recording.settings.window.std())
    return "Good" if uneven < 7 else "Medium" if uneven < 10 else "Poor"


def _write(params: PhantomParams, root: Path, task: tuple[int, str, int]) -> list[dict[str, Any]]:
    """One patient; the truth, a row a file."""
    patient, part, identity = task
    name = f"patient{identity:04d}"
    folder = root / part / name
    folder.mkdir(parents=True)
    truth = []
    for number, (code, view) in enumerate(VIEWS.items()):
        recording = draw_recording(params, NAME, patient, number, view)
        rng = np.random.default_rng((*recording.seed, 10_002))
        count = int(rng.integers(recording.style.frames[0], recording.style.frames[1] + 1))
        phases = np.linspace(0.0, END_SYSTOLE, count)
        if rng.random() < REVERSED:
            phases = phases[::-1]
        sequence = [recording.picture(float(phase), index) for index, phase in enumerate(phases)]
        moments = {"ED": int(np.argmin(phases)), "ES": int(np.argmax(phases))}
        files = {f"{name}_{code}_{moment}": [sequence[index]] for moment, index in moments.items()}
        files[f"{name}_{code}_sequence"] = sequence
        for stem, frames in files.items():
            _save(folder / f"{stem}.mhd", frames, recording)
            file = f"{part}/{name}/{stem}.mhd"
            truth.append({"source": NAME, "file": file, "view": view, "kind": "usable", "patient": patient})
        if part == "training":  # the release keeps the testing set's outlines to itself
            for moment, index in moments.items():
                _save(folder / f"{name}_{code}_{moment}_gt.mhd", [outlines(recording, float(phases[index]))], recording)
        largest, smallest = (ventricle_volume(recording.anatomy, phase) for phase in (0.0, END_SYSTOLE))
        info: dict[str, str | int] = {"ED": moments["ED"] + 1, "ES": moments["ES"] + 1, "NbFrame": count}
        info |= {"Sex": "FM"[identity % 2], "Age": 30 + (identity * 37) % 56, "ImageQuality": _quality(recording)}
        if part == "training":
            ejection = 100 * (largest - smallest) / largest
            info |= {"LVedv": f"{largest:.1f}", "LVesv": f"{smallest:.1f}", "LVef": f"{ejection:.1f}"}
        text = "".join(f"{key}: {value}\n" for key, value in info.items())
        (folder / f"Info_{code}.cfg").write_text(text, encoding="utf-8")
    return truth


def write_camus(params: PhantomParams, root: Path, workers: int) -> list[dict[str, Any]]:
    """Write training/ and testing/ into the folder `root`; return the truth, a row a picture file."""
    total, testing = scaled(sum(CAMUS_PATIENTS), params.one_in), scaled(CAMUS_PATIENTS[1], params.one_in)
    total = max(total, 2)
    order = planner(params, NAME).permutation(total)
    # The ids in testing/ start again at 1, as in the release.
    tasks = [
        (int(patient), "training", place + 1)
        if place < total - testing
        else (int(patient), "testing", place - (total - testing) + 1)
        for place, patient in enumerate(order)
    ]
    written = in_parallel(partial(_write, params, root), tasks, workers, f"phantom {NAME}", "patients")
    return [row for rows in written for row in rows]
