"""Train the diffusion model of one subset."""

import sys

import pandas as pd
import torch

from echosynth import paths
from echosynth.config import Params
from echosynth.diffusion.network import DiffusionCard, build, save
from echosynth.diffusion.train import Point, train, training_state
from echosynth.files import atomic_folder, write_json
from echosynth.images.dataset import read_split, read_subset
from echosynth.stages import stage
from echosynth.track.runs import child_run


@stage
def main(params: Params, size: str) -> None:
    """Read a subset, write models/diffusion/<size>."""
    settings = params.diffusion
    real = read_subset(params.data.train_sources, size)
    held_out = read_split(params.data.train_sources, "validation")
    state = training_state(settings, real.hash())
    facts = {"subset": size, "images": len(real.ids), "by_view": real.by_view()}
    with (
        state.held(),
        child_run(f"diffusion {size}", "diffusion", {"diffusion": settings.model_dump(), "subset": size}) as run,
    ):
        run.dataset(f"subset-{size}", real.hash(), "training")
        run.dataset("validation", held_out.hash(), "validation")

        def on_point(point: Point) -> None:
            run.metrics({name: value for name, value in point.items() if name != "step"}, int(point["step"]))

        labels, held_out_labels = torch.from_numpy(real.labels), torch.from_numpy(held_out.labels)
        trained = train(settings, real.images, labels, held_out.images, held_out_labels, state, on_point)
        card = DiffusionCard(
            size=params.ingest.size,
            training_images=len(real.ids),
            training_hash=real.hash(),
            **settings.model_dump(include=set(DiffusionCard.model_fields) - {"size"}),
        )
        last = trained.curve[-1]
        parameters = sum(p.numel() for p in build(settings, params.ingest.size).parameters())
        metrics = facts | {"steps": settings.steps, "parameters": parameters}
        metrics |= {name: last[name] for name in ("loss", "validation_loss")}
        folder = paths.DIFFUSION / size
        with atomic_folder(folder) as part:
            save(part, trained.weights, card)
            pd.DataFrame(trained.curve).to_csv(part / "curve.csv", index=False, lineterminator="\n")
            write_json(part / "metrics.json", metrics)
        run.metrics({"images_per_second": trained.images_per_second, "training_images": len(real.ids)})
        run.artifact(folder / "curve.csv")
    state.clear()
    print(f"diffusion {size}: loss {last['loss']:.4f}, {trained.images_per_second:.0f} images/s", file=sys.stderr)


if __name__ == "__main__":
    main()
