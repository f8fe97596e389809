"""Unity: sparse RGB frames of many cines with overlays, keypoints, and the views in a table of their own."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from echosynth.common.files import write_json
from echosynth.phantom.anatomy import OUTFLOW, heart_at
from echosynth.phantom.knobs import Rng
from echosynth.phantom.media import in_parallel, write_png
from echosynth.phantom.options import PhantomParams
from echosynth.phantom.plan import STUDY, Item, digest, planner, scaled, split_names
from echosynth.phantom.recordings import Recording, draw_recording
from echosynth.phantom.screen import overlaid

NAME: Final = "unity"
SPLITS = {"train": 0.7, "tune": 0.15, "ival": 0.15}
PER_CINE, CINES_PER_PATIENT = 3, 4  # at most
OTHER_SHARE, NO_VIEW_SHARE = 0.05, 0.04  # of the images with a view, on top of them
EXTERNAL = 0.15  # share of patients of class 02
KEYPOINTS = ("lv-apex-endo", "mv-ant-hinge", "mv-post-hinge")


@dataclass(frozen=True)
class Cine:
    """One cine: some of its frames are released. `view` is its entry in view_index.csv, None where it has none."""

    item: Item
    view: str | None
    stem: str
    frames: tuple[int, ...]
    split: str

    def files(self) -> list[str]:
        """Paths below png-cache."""
        first, second = self.stem[3:5], self.stem[5:7]
        return [f"{self.stem[:2]}/{first}/{second}/{self.stem}-{frame:04d}.png" for frame in self.frames]


def plan_cines(params: PhantomParams) -> list[Cine]:
    """All cines, patient by patient."""
    rng = planner(params, NAME)
    counts = {view: scaled(count, params.one_in) for view, count in STUDY[NAME].items()}
    total = sum(counts.values())
    groups: list[tuple[str, str | None, int]] = [(view, view.lower(), count) for view, count in counts.items()]
    groups.append(("other", "other", max(1, round(OTHER_SHARE * total))))
    groups.append(("A4C", None, max(1, round(NO_VIEW_SHARE * total))))
    loose: list[tuple[str, str | None, int]] = []
    for true_view, listed, count in groups:
        while count > 0:
            size = min(count, int(rng.integers(1, PER_CINE + 1)))
            loose.append((true_view, listed, size))
            count -= size
    shuffled = [loose[place] for place in rng.permutation(len(loose))]
    cines: list[Cine] = []
    patients: list[list[tuple[str, str | None, int]]] = []
    while shuffled:
        size = int(rng.integers(1, CINES_PER_PATIENT + 1))
        patients.append(shuffled[:size])
        shuffled = shuffled[size:]
    splits = split_names(len(patients), SPLITS, rng)
    for patient, of_patient in enumerate(patients):
        centre = "02" if rng.random() < EXTERNAL else "01"
        for number, (true_view, listed, size) in enumerate(of_patient):
            stem = f"{centre}-{digest(32, params.seed, NAME, patient, number)}"
            chosen = tuple(int(frame) for frame in np.sort(rng.choice(60, size, replace=False)))
            cines.append(Cine(Item(true_view, "usable", patient, number), listed, stem, chosen, splits[patient]))
    return cines


def keypoints(recording: Recording, phase: float) -> dict[str, dict[str, str]]:
    """Keypoints of one frame in the release's form; "off" where a point is not in the picture."""
    heart = heart_at(recording.anatomy, phase)
    valve = heart.valves[0]
    along = np.array([np.cos(OUTFLOW), np.sin(OUTFLOW), 0.0])
    centre = np.array(valve.centre)
    points = np.stack([np.array([0.0, 0.0, 0.0]), centre + valve.ring * along, centre - valve.ring * along])
    found = {}
    for name, (x, y) in zip(KEYPOINTS, recording.pixels(points), strict=True):
        inside = 0 <= x < recording.geometry.width and 0 <= y < recording.geometry.height
        found[name] = {
            "type": "point" if inside else "off",
            "x": f"{x:.1f}" if inside else "",
            "y": f"{y:.1f}" if inside else "",
        }
    return found


def _write(params: PhantomParams, root: Path, cine: Cine) -> list[dict[str, dict[str, str]]]:
    """The frames of one cine; their keypoints."""
    item = cine.item
    recording = draw_recording(params, NAME, item.patient, item.number, item.view)
    labels = []
    for frame, file in zip(cine.frames, cine.files(), strict=True):
        phase = frame / 45  # 50 frames/s at 67 beats/min
        grey = recording.picture(phase, frame)
        coloured = overlaid(np.repeat(grey[:, :, None], 3, axis=2), recording, phase, colour=True)
        path = root / "png-cache" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        write_png(path, coloured)
        labels.append(keypoints(recording, phase))
    return labels


def _write_labels(root: Path, cines: list[Cine], points: list[list[dict[str, dict[str, str]]]]) -> None:
    entries: dict[str, dict[str, Any]] = {split: {} for split in ("all", *SPLITS)}
    paths: dict[str, list[str]] = {split: [] for split in entries}
    for cine, of_cine in zip(cines, points, strict=True):
        for file, labels in zip(cine.files(), of_cine, strict=True):
            for split in ("all", cine.split):
                entries[split][Path(file).name] = {"labels": labels}
                paths[split].append(file)
    for split in entries:
        write_json(root / "labels" / f"labels-{split}.json", entries[split])
        (root / "labels" / f"labels-{split}.txt").write_text("".join(f"{path}\n" for path in sorted(paths[split])))
    write_json(root / "labels" / "keys.json", {name: {"type": "point"} for name in KEYPOINTS})


def _index_rows(cines: list[Cine], rng: Rng) -> list[dict[str, str]]:
    rows = [
        {"file": Path(file).name, "view": cine.view} for cine in cines if cine.view is not None for file in cine.files()
    ]
    return [rows[place] for place in rng.permutation(len(rows))]


def write_unity(params: PhantomParams, root: Path, workers: int) -> list[dict[str, Any]]:
    """Write png-cache/, labels/ and view_index.csv into the folder `root`; return the truth, a row an image."""
    cines = plan_cines(params)
    points = list(in_parallel(partial(_write, params, root), cines, workers, f"phantom {NAME}", "cines"))
    _write_labels(root, cines, points)
    rows = _index_rows(cines, planner(params, NAME).spawn(1)[0])
    pd.DataFrame(rows).to_csv(root / "view_index.csv", index=False, lineterminator="\n")
    return [
        {
            "source": NAME,
            "file": f"png-cache/{file}",
            "view": cine.item.view,
            "kind": cine.item.kind,
            "patient": cine.item.patient,
        }
        for cine in cines
        for file in cine.files()
    ]
