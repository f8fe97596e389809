"""Sample the synthetic set of one diffusion model."""

import time

import pandas as pd

from echosynth import paths
from echosynth.config import Params
from echosynth.device import pick_device
from echosynth.diffusion.network import load
from echosynth.diffusion.process import Process
from echosynth.diffusion.sample import sample_views, view_of
from echosynth.images.grid import grid
from echosynth.images.store import read_image_set, write_image_set
from echosynth.progress import progress
from echosynth.stages import stage
from echosynth.track.runs import child_run
from echosynth.views import VIEWS

SHOWN = 128


def manifest(size: str, count: int, side: int) -> pd.DataFrame:
    """Manifest of a balanced synthetic set: every row is marked as synthetic."""
    numbers = range(count)
    return pd.DataFrame(
        {
            "id": [f"synthetic-{size}-{number:06d}" for number in numbers],
            "source": "synthetic",
            "view": [VIEWS[view_of(number)] for number in numbers],
            "group": [f"synthetic-{number:06d}" for number in numbers],
            "group_kind": "none",
            "official_split": "",
            "moment": "",
            "frame": 0,
            "frames": 1,
            "width": side,
            "height": side,
            "synthetic": True,
        }
    )


@stage
def main(params: Params, size: str) -> None:
    """Read models/diffusion/<size>, write data/synthetic/<size>."""
    settings = params.sample
    network, card = load(paths.DIFFUSION / size, pick_device())
    process = Process(card.schedule, card.timesteps, card.prediction)
    count = settings.per_view * len(VIEWS)
    images = sample_views(
        network,
        process,
        range(count),
        card.size,
        settings.seed,
        settings.evaluations,
        settings.guidance,
        settings.batch_size,
        params.diffusion.precision,
    )
    folder = paths.SYNTHETIC / size
    with child_run(f"sample {size}", "sample", {"sample": settings.model_dump(), "subset": size}) as run:
        run.dataset(f"diffusion-{size}", paths.DIFFUSION / size / "model.safetensors", "evaluation")
        began = time.monotonic()
        write_image_set(folder, progress(images, count, f"sampling {size}", "images"), manifest(size, count, card.size))
        run.metrics({"images_per_second": count / (time.monotonic() - began), "images": count})
        shown = read_image_set(folder, [f"synthetic-{size}-{number:06d}" for number in range(min(count, SHOWN))])
        run.picture(grid(shown.images, 4 * len(VIEWS)), "samples.png")


if __name__ == "__main__":
    main()
