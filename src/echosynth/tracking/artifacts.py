"""Artifacts of runs that are rebuilt from stored files: the pictures that the stages logged, drawn again."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from echosynth.common.files import write_json
from echosynth.tracking.plots import confusion_png


def nothing(folder: Path) -> None:
    """Write no artifacts."""


def copy(files: Mapping[str, Path], folder: Path) -> None:
    """Copy files, whose mode in the cache is read-only, into `folder` under their names."""
    for name, file in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, folder / name)


def scored(figures: Mapping[str, tuple[dict[str, Any], str]], scores: Mapping[str, Any], folder: Path) -> None:
    """Write confusion matrices, of which file names give the evaluation and the title, and scores.json."""
    for name, (evaluation, title) in figures.items():
        (folder / name).write_bytes(confusion_png(evaluation, title))
    write_json(folder / "scores.json", scores)
