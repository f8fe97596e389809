"""Train the diffusion model of one subset."""

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from echosynth.classifier.network import load
from echosynth.common import paths
from echosynth.common.files import atomic_folder, file_hash
from echosynth.common.launch import is_main_process
from echosynth.compute.device import pick_device
from echosynth.config.parameters import Params
from echosynth.diffusion.optimisation import CurvePoint
from echosynth.diffusion.snapshots import Score, Snapshot
from echosynth.diffusion.train import Trained, Watchers
from echosynth.diffusion.training_job import (
    AUTOENCODER_CURVE,
    autoencoder_numbers,
    numbers_beside_curves,
    prepare_training,
    train_model,
    write_model,
)
from echosynth.evaluation.features import echo_features
from echosynth.evaluation.frechet import kernel_distance
from echosynth.imagesets.dataset import LabelledImages, read_split, read_subset
from echosynth.stages import stage
from echosynth.tracking.runs import RunLogger, child_run

LITTLE = 0.98  # a share of the Gaussian's loss


def echo_score(validation: LabelledImages) -> Score:
    """Kernel distance of images to the validation images, on echo features: unbiased for few images, and so the same
    yardstick for any number of them."""
    network, _ = load(paths.FEATURE_NETWORK, pick_device())
    real = echo_features(network, validation.images)
    return lambda images: kernel_distance(echo_features(network, images), real)


def logged(run: RunLogger, score: Score, batch_size: int) -> Watchers:
    """Log curves and grids as they are made, and the speed between two points where nothing but training was done."""
    last: tuple[int, float] | None = None  # step and time from which on there was nothing but training

    def on_point(point: CurvePoint) -> None:
        nonlocal last
        step, values = int(point["step"]), {name: value for name, value in point.items() if name != "step"}
        speed = {}
        if last and not any(name.startswith("validation") for name in values):
            speed["images_per_second"] = (step - last[0]) * batch_size / (time.monotonic() - last[1])
        run.metrics(values, step, speed=speed)
        last = step, time.monotonic()

    def on_snapshot(taken: list[Snapshot], grid: Path) -> None:
        nonlocal last
        scores = {f"kernel_ema_{snapshot.ema_decay}": snapshot.kernel for snapshot in taken}
        run.metrics({name: value for name, value in scores.items() if value is not None}, taken[0].step)
        run.artifact(grid, "snapshots")
        last = taken[0].step, time.monotonic()

    def on_autoencoder(point: CurvePoint) -> None:
        run.metrics(autoencoder_numbers(point), int(point["step"]))

    return Watchers(score, on_point, on_snapshot, on_autoencoder)


def log_whole_curves(run: RunLogger, trained: Trained, folder: Path) -> None:
    """Log what an earlier attempt has done of a training: the curves and distances of the trained model, and the curve
    of the autoencoder where `folder` holds one."""
    if (file := folder / AUTOENCODER_CURVE).is_file():
        table = pd.read_csv(file, float_precision="round_trip")
        run.curve({str(name): value for name, value in row.items()} for row in table.to_dict("records"))
    run.curve(trained.curve)
    for snapshot in trained.snapshots:
        if snapshot.kernel is not None:
            run.curve([{"step": snapshot.step, f"kernel_ema_{snapshot.ema_decay}": snapshot.kernel}])


def learned_little(metrics: Mapping[str, Any]) -> str:
    """Say so where a preconditioned network adds next to nothing to the Gaussian, which its samples do not show: they
    are as good as the Gaussian's. Empty where all is well."""
    if (share := metrics.get("loss_to_gaussian", 0.0)) <= LITTLE:
        return ""
    return (
        f"the network learned next to nothing; on training images its loss is {share:.1%} of that of the Gaussian "
        "alone. Try fewer diffusion.channels, a lower diffusion.learning_rate or more diffusion.steps"
    )


@stage(several_processes=True)
def main(params: Params, size: str) -> None:
    """Read a subset, write models/diffusion/<size>."""
    settings = params.diffusion
    real = read_subset(params.data.train_sources, size)
    held_out = read_split(params.data.train_sources, "validation")
    scorer = file_hash(paths.FEATURE_NETWORK / "model.safetensors")
    task = prepare_training(settings, real, held_out, scorer, f"diffusion {size}")
    if not is_main_process():
        train_model(task)
        return
    facts, work = {"diffusion": settings.model_dump(), "subset": size}, task.state.folder.name
    with task.state.held(), child_run(f"diffusion {size}", "diffusion", facts, work=work) as run:
        run.dataset(f"subset-{size}", paths.subset_file(size), "training")
        run.dataset("validation", paths.ASSIGNMENT, "validation")
        model = train_model(task, logged(run, echo_score(held_out), settings.batch_size))
        with atomic_folder(paths.DIFFUSION / size) as part:
            metrics = write_model(part, task, model)
            log_whole_curves(run, model.trained, part)
            speed = {"mean_images_per_second": model.trained.images_per_second}
            run.metrics(numbers_beside_curves(metrics), speed=speed)
            grids = sorted(path.relative_to(part).as_posix() for path in part.glob("snapshots/*.png"))
            run.save(part, "curve.csv", *grids)
        task.state.clear()  # while it is held: who waits for it must not find half of it
    if advice := learned_little(metrics):
        print(f"diffusion {size}: {advice}", file=sys.stderr)
    chosen = f"step {metrics['step']}, EMA {metrics['ema_decay']}"
    distance = "" if metrics["kernel"] is None else f", kernel distance {metrics['kernel']:.3f}"
    print(f"diffusion {size}: {chosen}{distance}, {model.trained.images_per_second:.0f} images/s", file=sys.stderr)


if __name__ == "__main__":
    main()
