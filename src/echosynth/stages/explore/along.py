"""Figures 5.2 and 5.3: distance and images along one training."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from echosynth.common.files import atomic_file
from echosynth.compute.device import pick_device
from echosynth.config.parameters import Params
from echosynth.diffusion.model import load, read_card
from echosynth.explorations.compared_sets import flat_distances, mixture, sampled, training_images, yardstick
from echosynth.explorations.losses import losses_between
from echosynth.explorations.measured_training import train_and_measure
from echosynth.explorations.table_cells import along_cell
from echosynth.imagesets.store import encode
from echosynth.imagesets.tiles import contact_grid
from echosynth.stages import stage
from echosynth.tracking.runs import RunLogger

SHOWN = 8  # real pictures of each view, as many as the grids of the snapshots show


@stage(several_processes=True)
def main(params: Params) -> None:
    """Train with snapshots, write models/explore/along and reports/explore/along."""
    cell = along_cell(params)

    def measure(run: RunLogger, trained: Path, folder: Path) -> dict[str, Any]:
        scale = yardstick(params, cell.views, params.explore.reference.along)
        card, curve = read_card(trained), pd.read_csv(trained / "curve.csv")
        plan = mixture(card, params.sample, scale.counts(max(params.explore.counts)))
        points, before = [], 0
        for weights in sorted(trained.glob("snapshots/step-*.safetensors")):
            step = int(weights.stem.removeprefix("step-"))
            model = load(trained, pick_device(), f"snapshots/{weights.name}")
            images, _ = sampled(model, plan, params, cell.sampling, f"sampling after step {step}")
            distances = scale.distances(images, np.asarray(plan.views), len(plan))
            run.metrics(flat_distances(distances), step)
            shutil.copyfile(weights.with_suffix(".png"), folder / f"{weights.stem}.png")
            losses = losses_between(curve, before, step)
            points.append({"step": step, "grid": f"{weights.stem}.png", **losses, **distances})
            before = step
        real = training_images(params, cell.views)
        rows = [np.resize(np.flatnonzero(real.labels == view), SHOWN) for view in cell.views]
        with atomic_file(folder / "real.png") as part:
            part.write_bytes(encode(contact_grid(real.images[np.concatenate(rows)], SHOWN)))
        return {"points": points}

    train_and_measure(cell, params, measure)


if __name__ == "__main__":
    main()
