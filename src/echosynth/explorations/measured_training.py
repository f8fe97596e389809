"""Train one cell, measure what it samples, write both: what the tables and the snapshots share."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from echosynth.common import paths
from echosynth.common.files import atomic_folder, write_json
from echosynth.common.launch import is_main_process
from echosynth.config.parameters import Params
from echosynth.diffusion.train import Watchers
from echosynth.diffusion.training_job import (
    autoencoder_numbers,
    numbers_beside_curves,
    prepare_training,
    train_model,
    write_model,
)
from echosynth.explorations.compared_sets import SCORES, training_images
from echosynth.explorations.table_cells import Cell
from echosynth.imagesets.dataset import read_split
from echosynth.tracking.runs import RunLogger, child_run

MODELS = paths.DIFFUSION.parent / "explore"
Measure = Callable[[RunLogger, Path, Path], dict[str, Any]]


def _watchers(run: RunLogger) -> Watchers:
    """Send curves and grids to the run as they are made."""
    return Watchers(
        on_point=lambda point: run.metrics({k: v for k, v in point.items() if k != "step"}, int(point["step"])),
        on_snapshot=lambda taken, grid: run.artifact(grid, "snapshots"),
        on_autoencoder=lambda point: run.metrics(autoencoder_numbers(point), int(point["step"])),
    )


def train_and_measure(cell: Cell, params: Params, measure: Measure) -> None:
    """Train into models/explore/<cell>, measure into reports/explore/<cell>.

    Args:
        cell: what is trained.
        params: of the project.
        measure: (run, folder of the model, folder of the result) -> what metrics.json holds beside the training's own
            numbers.
    """
    real = training_images(params, cell.views)
    held_out = read_split(params.data.train_sources, "validation")
    task = prepare_training(cell.params, real, held_out, name=cell.name)
    if not is_main_process():
        train_model(task)
        return
    settings = {"diffusion": cell.params.model_dump(), "explore": params.explore.model_dump()}
    work = task.state.folder.name
    with task.state.held(), child_run(f"explore {cell.name}", "explore", settings, work=work) as run:
        run.dataset(f"subset-{params.explore.subset}", paths.subset_file(params.explore.subset), "training")
        run.dataset("validation", paths.ASSIGNMENT, "validation")
        model = train_model(task, _watchers(run))
        with atomic_folder(MODELS / cell.name) as folder:
            facts = write_model(folder, task, model)
        run.metrics(numbers_beside_curves(facts) | {"images_per_second": model.trained.images_per_second})
        with atomic_folder(SCORES / cell.name) as folder:
            write_json(folder / "metrics.json", facts | measure(run, MODELS / cell.name, folder))
        task.state.clear()
    print(f"explore {cell.name}: {model.trained.images_per_second:.0f} training images/s", file=sys.stderr)
