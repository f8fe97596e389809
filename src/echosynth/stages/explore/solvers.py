"""Solver x number of network evaluations, against quality and time."""

import sys
from pathlib import Path

import numpy as np
import torch

from echosynth.common import paths
from echosynth.common.files import write_json
from echosynth.common.views import VIEWS
from echosynth.compute.device import pick_device
from echosynth.config.parameters import Params
from echosynth.diffusion.model import load, read_card
from echosynth.diffusion.solvers import network_evaluations
from echosynth.diffusion.synthetic_set import guiding_snapshot
from echosynth.explorations.compared_sets import SCORES, flat_distances, mixture, sampled, training_images, yardstick
from echosynth.stages import stage
from echosynth.tracking.runs import child_run

# Not an output of the stage: the clock differs from run to run, and the same inputs must give the same bytes.
TIMES = Path("reports/explore_times.json")


@stage
def main(params: Params) -> None:
    """Sample models/diffusion/<subset> in every way, write reports/explore/solvers and, beside, the times."""
    explore, views, device = params.explore, range(len(VIEWS)), pick_device()
    training_images(params, views)
    folder = paths.DIFFUSION / str(explore.subset)
    card, model, guide = read_card(folder), load(folder, device), guiding_snapshot(folder, params.sample.autoguidance)
    guiding = load(folder, device, guide) if guide else None
    scale = yardstick(params, views, explore.reference.solvers)
    plan = mixture(card, params.sample, scale.counts(explore.solver_images))
    # The first call is slower than those that are timed.
    warming_up = params.sample.model_copy(update={"solver": "ddim", "evaluations": 1, "eta": 0.0})
    sampled(model, plan, params, warming_up, "warming up", guiding)
    points, times = [], []
    settings = {"explore": explore.model_dump(), "sample": params.sample.model_dump()}
    for solver in explore.solvers:
        with child_run(f"explore solver {solver}", "explore", {"solver": solver, **settings}) as run:
            run.dataset(f"diffusion-{explore.subset}", folder, "evaluation")
            for asked in explore.solver_evaluations:
                options = params.sample.model_copy(update={"solver": solver, "evaluations": asked, "eta": 0.0})
                images, speed = sampled(model, plan, params, options, f"{solver}, {asked} evaluations", guiding)
                distances = scale.distances(images, np.asarray(plan.views), len(plan))
                made = network_evaluations(options, model.process)
                run.metrics({**flat_distances(distances), "images_per_second": speed}, made)
                points.append({"solver": solver, "asked": asked, "evaluations": made, **distances})
                times.append({"solver": solver, "evaluations": made, "images_per_second": speed})
            print(f"explore {solver}: {distances['echo']['frechet']:.2f} at {speed:.1f} images/s", file=sys.stderr)
    facts = {"subset": str(explore.subset), "step": card.step}
    write_json(SCORES / "solvers" / "metrics.json", facts | {"points": points})
    write_json(TIMES, facts | {"device": _name(device), "images": len(plan), "points": times})


def _name(device: torch.device) -> str:
    """The device for people."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads"


if __name__ == "__main__":
    main()
