"""TMED-2: stills of 112 x 112 from many patients, with labels and fold tables."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import pandas as pd

from echosynth.phantom.knobs import Rng
from echosynth.phantom.media import in_parallel, write_png
from echosynth.phantom.options import PhantomParams
from echosynth.phantom.plan import (
    PER_PATIENT_VIEW,
    STUDY,
    TMED2_PATIENTS,
    Item,
    deal,
    parts,
    planner,
    scaled,
)
from echosynth.phantom.recordings import draw_recording
from echosynth.phantom.screen import overlaid

NAME: Final = "tmed2"
SIDE = 112
FOLDS = 3
SETS = {
    "DEV479": 1.0,
    "DEV165": 165 / 479,
    "DEV56": 56 / 479,
}  # share of the development patients that keep their labels
DIAGNOSES = ("no_AS", "mild_AS", "mildtomod_AS", "moderate_AS", "severe_AS")
BOTH_LABELS = 577 / 1_280  # share of patients with view and diagnosis labels
TWO_STUDIES = 0.15
OTHER_SHARE, UNLABELLED_SHARE, STRAY_SHARE = 0.08, 0.05, 0.01  # of the labelled images, on top of them


@dataclass(frozen=True)
class Still:
    """One image: its file name, its folder, its label and what it truly shows."""

    item: Item
    name: str
    folder: str
    view_label: str
    diagnosis: str

    @property
    def file(self) -> str:
        return f"{self.folder}/{self.name}"


def _labels(params: PhantomParams, patients: int, rng: Rng) -> list[list[tuple[str, str]]]:
    """For each patient, (true view, label) of the images; label "" stands for an image outside the tables."""
    images: list[list[tuple[str, str]]] = [[] for _ in range(patients)]
    for view, count in STUDY[NAME].items():
        for patient, share in enumerate(deal(scaled(count, params.one_in), patients, PER_PATIENT_VIEW, rng)):
            images[patient] += [(view, view)] * share
    labelled = sum(len(of_patient) for of_patient in images)
    mixtures: dict[str, tuple[float, tuple[str, ...]]] = {
        "A4CorA2CorOther": (OTHER_SHARE, ("A4C", "A2C", "other")),
        "Not_Provided": (UNLABELLED_SHARE, ("A2C", "A4C", "PLAX", "PSAX", "other")),
        "": (STRAY_SHARE, ("A2C", "A4C", "PLAX", "PSAX", "other")),
    }
    for label, (part, views) in mixtures.items():
        for _ in range(max(1, round(part * labelled))):
            images[int(rng.integers(patients))].append((str(rng.choice(views)), label))
    return images


def plan_stills(params: PhantomParams) -> list[Still]:
    """All images, patient by patient."""
    rng = planner(params, NAME)
    patients = max(8, scaled(TMED2_PATIENTS, params.one_in))
    numbers = rng.choice(9_000, patients, replace=False) + 1
    diagnosed = rng.permutation(patients) < parts(patients, [BOTH_LABELS, 1 - BOTH_LABELS])[0]
    stills = []
    for patient, images in enumerate(_labels(params, patients, rng)):
        top = "view_and_diagnosis_labeled_set" if diagnosed[patient] else "view_labeled_set"
        studies = 2 if rng.random() < TWO_STUDIES else 1
        diagnosis = str(rng.choice(DIAGNOSES)) if diagnosed[patient] else "Not_Provided"
        for number, (view, label) in enumerate(images):
            folder = (
                f"{top}/{'unlabeled' if label == 'Not_Provided' else 'labeled'}"
                if label
                else "unlabeled_set/unlabeled_set"
            )
            name = f"{numbers[patient]}s{1 + int(rng.integers(studies))}_{number}.png"
            stills.append(Still(Item(view, "usable", patient, number), name, folder, label, diagnosis))
    return stills


def _write(params: PhantomParams, root: Path, still: Still) -> None:
    """One image: its longer side is 112, the rest is black at the bottom or at the right."""
    item = still.item
    recording = draw_recording(params, NAME, item.patient, item.number, item.view)
    phase = float(np.random.default_rng((*recording.seed, 10_002)).random())
    picture = overlaid(recording.picture(phase, 0), recording, phase)
    height, width = picture.shape
    padded = cv2.copyMakeBorder(picture, 0, SIDE - height, 0, SIDE - width, cv2.BORDER_CONSTANT, value=0)
    write_png(root / still.file, np.asarray(padded, np.uint8))


def _fold_tables(stills: list[Still], fold: int, rng: Rng) -> dict[str, pd.DataFrame]:
    """The six tables of one fold by path.

    Patients with diagnoses are divided 60/20/20 into training, validation and test; the other patients' images are for
    training views only. Smaller development sets move patients to the unlabelled part.
    """
    diagnosed = sorted({still.item.patient for still in stills if still.diagnosis != "Not_Provided"})
    order = [diagnosed[place] for place in rng.permutation(len(diagnosed))]
    train, validation, _ = parts(len(order), [0.6, 0.2, 0.2])
    split_of = {p: "train" if n < train else "val" if n < train + validation else "test" for n, p in enumerate(order)}
    rank = {patient: place for place, patient in enumerate(order)}
    tables: dict[str, list[dict[str, str]]] = {}
    for name, share in SETS.items():
        for still in stills:
            patient = still.item.patient
            split = split_of.get(patient, "train")
            first = 0 if split == "train" else train
            size = train if split == "train" else validation
            dropped = patient in rank and split != "test" and rank[patient] - first >= max(1, round(share * size))
            unlabelled = dropped or still.view_label in ("", "Not_Provided")
            part = "unlabeledpart" if unlabelled else "labeledpart"
            row = {
                "query_key": still.name,
                "view_label": "Not_Provided" if unlabelled else still.view_label,
                "diagnosis_label": "Not_Provided" if unlabelled else still.diagnosis,
                "SourceFolder": still.folder,
                "view_classifier_split": split if not unlabelled else "Not_Used",
                "diagnosis_classifier_split": split if not unlabelled and patient in split_of else "Not_Used",
            }
            tables.setdefault(f"{name}/TMED2_fold{fold}_{part}.csv", []).append(row)
    return {path: pd.DataFrame(rows) for path, rows in tables.items()}


def write_tmed2(params: PhantomParams, root: Path, workers: int) -> list[dict[str, Any]]:
    """Write images, labels_per_image.csv and the fold tables into the folder `root`; return the truth by image."""
    stills = plan_stills(params)
    for folder in sorted({still.folder for still in stills}):
        (root / folder).mkdir(parents=True)
    for _ in in_parallel(partial(_write, params, root), stills, workers, f"phantom {NAME}", "images"):
        pass
    labels = [
        {"query_key": still.name, "view_label": still.view_label, "diagnosis_label": still.diagnosis}
        for still in stills
        if still.view_label
    ]
    pd.DataFrame(labels).to_csv(root / "labels_per_image.csv", index=False, lineterminator="\n")
    rng = planner(params, NAME).spawn(1)[0]
    for fold in range(FOLDS):
        for path, table in _fold_tables(stills, fold, rng).items():
            (root / path).parent.mkdir(exist_ok=True)
            table.to_csv(root / path, index=False, lineterminator="\n")
    return [
        {"source": NAME, "file": s.file, "view": s.item.view, "kind": s.item.kind, "patient": s.item.patient}
        for s in stills
    ]
