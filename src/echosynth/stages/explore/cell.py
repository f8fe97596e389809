"""Trainings of table 5.1 or 5.2 or of a recipe, and the distances of what they sample."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from echosynth.common.views import VIEWS
from echosynth.compute.device import pick_device
from echosynth.config.parameters import Params
from echosynth.diffusion.model import load, read_card
from echosynth.explorations.compared_sets import flat_distances, mixture, sampled, yardstick
from echosynth.explorations.measured_training import train_and_measure
from echosynth.explorations.table_cells import Cell, table_cell
from echosynth.imagesets.store import encode
from echosynth.imagesets.tiles import contact_grid
from echosynth.stages import stage
from echosynth.tracking.runs import RunLogger

SHOWN = 64


@stage(several_processes=True)
def main(params: Params, *names: str) -> None:
    """Train cells on the explorations' subset, write models/explore/<name> and reports/explore/<name> of each."""
    for cell in [table_cell(name, params) for name in names]:
        _train(cell, params)


def _train(cell: Cell, params: Params) -> None:
    """Train and measure one of them."""

    def measure(run: RunLogger, trained: Path, folder: Path) -> dict[str, Any]:
        wanted, card = (
            {figure: getattr(params.explore.reference, figure) for figure in cell.figures},
            read_card(trained),
        )
        scales = {like: yardstick(params, cell.views, like) for like in dict.fromkeys(wanted.values())}
        # One set for all: of each view as many as any of them needs.
        counts = [scale.counts(max(params.explore.counts)) for scale in scales.values()]
        plan = mixture(card, params.sample, {view: max(each.get(view, 0) for each in counts) for view in cell.views})
        images, speed = sampled(load(trained, pick_device()), plan, params, cell.sampling, f"sampling {cell.name}")
        views = np.asarray(plan.views)
        found = {
            like: [scale.distances(images, views, count) for count in params.explore.counts]
            for like, scale in scales.items()
        }
        for distances in found[wanted[cell.figures[-1]]]:
            run.metrics(flat_distances(distances), distances["count"])
        run.metrics({"sampled_images_per_second": speed})
        run.picture(encode(contact_grid(images[:SHOWN], 8)), "samples.png")
        last = max((trained / "snapshots").glob("step-*.png"))
        shutil.copyfile(last, folder / "grid.png")
        return {
            "views": [VIEWS[view] for view in cell.views],
            "distances": {figure: found[like] for figure, like in wanted.items()},
        }

    train_and_measure(cell, params, measure)


if __name__ == "__main__":
    main()
