"""Figure 5.1: distance against the number of samples."""

import sys

from echosynth.common import paths
from echosynth.common.files import write_json
from echosynth.common.views import VIEWS
from echosynth.compute.device import pick_device
from echosynth.config.parameters import Params
from echosynth.diffusion.model import load, read_card
from echosynth.diffusion.synthetic_set import guiding_snapshot
from echosynth.evaluation.fidelity import mixture_counts
from echosynth.explorations.compared_sets import SCORES, mixture, sampled, training_images, yardstick
from echosynth.stages import stage
from echosynth.tracking.runs import child_run


@stage
def main(params: Params) -> None:
    """Sample one set from models/diffusion/<subset>, measure its beginnings, write reports/explore/curve."""
    subset, views, device = str(params.explore.subset), range(len(VIEWS)), pick_device()
    training_images(params, views)
    folder = paths.DIFFUSION / subset
    card, guide = read_card(folder), guiding_snapshot(folder, params.sample.autoguidance)
    settings = {"explore": params.explore.model_dump(), "sample": params.sample.model_dump()}
    with child_run("explore curve", "explore", settings) as run:
        run.dataset(f"diffusion-{subset}", folder, "evaluation")
        scale = yardstick(params, views, params.explore.reference.curve)
        largest = max(params.explore.curve)
        plan = mixture(card, params.sample, mixture_counts(scale.reference, largest))
        guiding = load(folder, device, guide) if guide else None
        images, speed = sampled(load(folder, device), plan, params, params.sample, "sampling figure 5.1", guiding)
        result = scale.growing(images, params.explore.curve, params.explore.curve_real)
        for point in result["points"]:
            run.metrics({f"frechet_{kind}": point[kind] for kind in result["self"]}, point["count"])
        run.metrics({f"frechet_to_itself_{kind}": value for kind, value in result["self"].items()})
        run.metrics({"images_per_second": speed})
        write_json(SCORES / "curve" / "metrics.json", {"subset": subset, "step": card.step, **result})
    print(f"explore curve: {largest} images at {speed:.0f} images/s", file=sys.stderr)


if __name__ == "__main__":
    main()
