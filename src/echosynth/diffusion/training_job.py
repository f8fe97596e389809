"""The job that trains a diffusion model, from labelled images to a folder: for the study and for explorations."""

import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from accelerate import PartialState

from echosynth.common.errors import EchosynthError
from echosynth.common.files import write_json
from echosynth.common.resume import ResumeState, code_hash
from echosynth.common.views import VIEWS
from echosynth.compute.device import memory_explained, pick_device, resolved, step_generator, to_tensor
from echosynth.diffusion.autoencoder import autoencoder_state, train_autoencoder
from echosynth.diffusion.batches import Examples, known_examples
from echosynth.diffusion.latents import LatentSpace, reconstruction
from echosynth.diffusion.likelihood import bits_per_dimension
from echosynth.diffusion.model import DiffusionCard, PixelSpace, Space, save
from echosynth.diffusion.network import ViewDenoiser
from echosynth.diffusion.options import DiffusionParams
from echosynth.diffusion.pixel_gaussian import PixelGaussian
from echosynth.diffusion.process import Process
from echosynth.diffusion.train import SILENT, Trained, Trainer, Watchers, evaluation_loss
from echosynth.imagesets.dataset import LabelledImages

BITS_IMAGES, BITS_TERMS = 48, 16
LOSS_IMAGES = 512  # training images, for the loss beside the Gaussian's
AUTOENCODER_CURVE = "autoencoder_curve.csv"


@dataclass(frozen=True)
class TrainingJob:
    """A training that is about to be done.

    Attributes:
        params: section `diffusion` of the parameters.
        sources: names of the source tokens.
        data: the training images.
        held_out: held-out images of the same views and sources.
        counts: training images by view and source.
        data_hash: identifies the training images.
        state: where it is saved and found again.
        name: what its progress is shown under.
    """

    params: DiffusionParams
    sources: tuple[str, ...]
    data: Examples
    held_out: Examples
    counts: dict[str, dict[str, int]]
    data_hash: str
    state: ResumeState
    name: str


@dataclass(frozen=True)
class TrainedModel:
    """A training that is done.

    Attributes:
        trained: weights and what happened on the way.
        space: what was diffused.
        quality: bits per dimension of a pixel model and reconstructions of an autoencoder, both of held-out images;
            with preconditioning the loss on training images as a share of the Gaussian's: 1, nothing was learned.
    """

    trained: Trained
    space: Space
    quality: dict[str, float]


def prepare_training(
    params: DiffusionParams, real: LabelledImages, held_out: LabelledImages, scorer: str = "", name: str = "diffusion"
) -> TrainingJob:
    """Prepare a training.

    Args:
        params: section `diffusion` of the parameters.
        real: the training images.
        held_out: held-out images; those of views and sources that the training images lack are left out.
        scorer: identifies what snapshots are compared by.
        name: what its progress is shown under.

    Raises:
        EchosynthError: nothing of the held-out images is left.
    """
    counts = {
        view: {str(name): int(number) for name, number in zip(*np.unique(of_view, return_counts=True), strict=True)}
        for index, view in enumerate(VIEWS)
        if len(of_view := real.sources[real.labels == index])
    }
    for view, by_source in counts.items():
        if sum(by_source.values()) == 1:
            print(f"{view} has a single training image: its samples will be copies of that one", file=sys.stderr)
    kept = np.isin(held_out.labels, np.unique(real.labels)) & np.isin(held_out.sources, np.unique(real.sources))
    if not kept.any():
        raise EchosynthError("the validation set holds no image of the training images' views and sources")
    sources = tuple(sorted(set(map(str, real.sources)))) if params.source_conditioning else ()
    data, held = known_examples(real, sources), known_examples(held_out.rows(kept), sources)
    code = code_hash(__name__)
    origins = [list(map(str, images.sources)) for images in (real, held_out)]
    precision = resolved(pick_device(), params.precision)
    hashes = real.hash(), held_out.hash(), scorer
    state = ResumeState("diffusion", params.model_dump(), code, precision, origins, *hashes)
    return TrainingJob(params, sources, data, held, counts, real.hash(), state, name)


def train_model(task: TrainingJob, watchers: Watchers = SILENT) -> TrainedModel:
    """Train the autoencoder, where the latent route asks for one, then the diffusion model; both resume.

    Raises:
        EchosynthError: memory ran out; see `echosynth.diffusion.train.Trainer` and `echosynth.diffusion.autoencoder`.
    """
    with memory_explained("diffusion.batch_size", task.params.batch_size):
        return _train_both(task, watchers)


def _train_both(task: TrainingJob, watchers: Watchers) -> TrainedModel:
    """Do what `train_model` says."""
    space: Space = _latent_space(task, watchers) if task.params.space == "latent" else _pixel_space(task)
    sources = len(task.sources)
    trainer = Trainer(task.params, task.data, task.held_out, sources, space, task.state, watchers, task.name)
    trained = trainer.run()
    if isinstance(space, LatentSpace):
        quality = {
            f"reconstruction_{name}": value for name, value in reconstruction(space, task.held_out.images).items()
        }
    else:
        network = _network(task, trainer.device)
        network.load_state_dict(trained.weights)
        quality = {"bits_per_dimension": _bits(task, network, space)}
        if space.gaussian:
            quality["loss_to_gaussian"] = _loss_to_gaussian(task, network, space)
    return TrainedModel(trained, space, quality)


def _network(task: TrainingJob, device: torch.device) -> ViewDenoiser:
    """Make the network with initial weights."""
    return ViewDenoiser(task.params, task.data.images.shape[-1], len(task.sources)).eval().to(device)


def _loss_to_gaussian(task: TrainingJob, network: ViewDenoiser, space: Space) -> float:
    """Divide the mean loss on training images by that of a network whose answer is 0, which is the Gaussian. With few
    images held-out ones would not do: there a network may be worse than the Gaussian, and its samples of more use."""
    some = torch.randperm(len(task.data), generator=step_generator(task.params.seed, 5))[:LOSS_IMAGES]
    data = Examples(task.data.images[some.numpy()], task.data.views[some], task.data.sources[some])
    device, process = next(network.parameters()).device, Process(task.params, space.gaussian)
    shape = (1, *task.data.images.shape[1:])
    # The last layer of a new network is 0.
    trained, zero = (
        evaluation_loss(one, process, task.params, space, data, shape)["loss"]
        for one in (network, _network(task, device))
    )
    return trained / zero


def _bits(task: TrainingJob, network: ViewDenoiser, space: Space) -> float:
    """Bound the bits per dimension of some held-out images, estimated from some steps."""
    held = task.held_out
    rows = torch.randperm(len(held), generator=step_generator(task.params.seed, 4))[:BITS_IMAGES]
    condition = held.views[rows], held.sources[rows]
    x0 = to_tensor(held.images[rows.numpy()])
    terms = min(BITS_TERMS, task.params.timesteps)
    process, device = Process(task.params, space.gaussian), next(network.parameters()).device
    bits = bits_per_dimension(process, network, x0, condition, task.params.seed, terms=terms, device=device)
    return float(bits.total.mean())


def _pixel_space(task: TrainingJob) -> PixelSpace:
    """Take the statistics of the pixels from the state's folder, where an earlier attempt may have left them (another
    number of threads rounds them differently), or compute them: the main process does, the others read."""
    params = task.params
    if params.preconditioning == "none":
        return PixelSpace()
    processes = PartialState(cpu=pick_device().type == "cpu")
    with processes.main_process_first():
        if not (task.state.folder / "pixels").is_dir():
            x0, data, sources = to_tensor(task.data.images), task.data, len(task.sources)
            gaussian = PixelGaussian.fit(x0, data.views, data.sources, sources, params.gaussian_directions)
            with task.state.part("pixels") as part:
                PixelSpace(gaussian).save(part)
        return PixelSpace.load(task.state.folder / "pixels", params, processes.device)


def _latent_space(task: TrainingJob, watchers: Watchers) -> LatentSpace:
    """Take the trained autoencoder from the state's folder, where an earlier attempt may have left it, or train it: the
    main process trains, the others read."""
    folder = _autoencoder(task)
    processes = PartialState(cpu=pick_device().type == "cpu")
    with processes.main_process_first():
        if not folder.is_dir():
            images, state = task.data.images, autoencoder_state(task.params, task.data.images.shape[-1], task.data_hash)
            with state.held():  # trainings that differ in the diffusion model share it
                made = train_autoencoder(task.params, images, state, watchers.on_autoencoder)
                with task.state.part(folder.name) as part:
                    LatentSpace.fit(made.network, task.params, images, task.data_hash).save(part)
                    rows = [{"step": point["step"]} | autoencoder_numbers(point) for point in made.curve]
                    _table(rows, part / AUTOENCODER_CURVE)
                state.clear()
        return LatentSpace.load(folder, processes.device)


def _autoencoder(task: TrainingJob) -> Path:
    """Name where the trained autoencoder waits for the rest of the work."""
    return task.state.folder / "autoencoder"


def write_model(folder: Path, task: TrainingJob, model: TrainedModel) -> dict[str, Any]:
    """Write a model into an empty folder: weights, card, curve.csv, snapshots.csv, metrics.json, the autoencoder with
    its curve, and snapshots (grids, and with keep_snapshots weights).

    Returns:
        The content of metrics.json.
    """
    params, trained = task.params, model.trained
    card = DiffusionCard(
        sources=task.sources,
        size=int(task.data.images.shape[-1]),
        diffusion=params,
        training_images=task.counts,
        training_hash=task.data_hash,
        **asdict(trained.chosen),
    )
    last = trained.curve[-1]
    metrics = {
        "images": len(task.data),
        "by_view": {view: sum(task.counts.get(view, {}).values()) for view in VIEWS},
        "parameters": trained.parameters,
        "steps": int(last["step"]),
        **{name: last.get(name) for name in ("loss", "validation_loss")},
        **asdict(trained.chosen),
        **model.quality,
    }
    save(folder, trained.weights, card)
    model.space.save(folder)
    if isinstance(model.space, LatentSpace):
        shutil.copyfile(_autoencoder(task) / AUTOENCODER_CURVE, folder / AUTOENCODER_CURVE)
    _table(trained.curve, folder / "curve.csv")
    _table([asdict(snapshot) for snapshot in trained.snapshots], folder / "snapshots.csv")
    _keep_snapshots(task, trained, folder / "snapshots")
    write_json(folder / "metrics.json", metrics)
    return metrics


def numbers_beside_curves(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Pick those numbers of metrics.json that are on no curve."""
    curves = ("loss", "validation_loss")
    return {name: value for name, value in metrics.items() if isinstance(value, int | float) and name not in curves}


def autoencoder_numbers(point: Mapping[str, float]) -> dict[str, float]:
    """Put a point of the autoencoder's curve under names that stand beside those of the diffusion model."""
    return {f"autoencoder_{name}": value for name, value in point.items() if name != "step"}


def _table(rows: list[dict[str, Any]], path: Path) -> None:
    pd.DataFrame(rows).to_csv(path, index=False, lineterminator="\n")


def _keep_snapshots(task: TrainingJob, trained: Trained, folder: Path) -> None:
    """Copy the grids and, where they are to be kept, the weights in the chosen average."""
    folder.mkdir()
    source = task.state.folder / "snapshots"
    for snapshot in trained.snapshots:
        if snapshot.ema_decay == trained.chosen.ema_decay:
            shutil.copyfile(source / snapshot.grid, folder / snapshot.grid)
            if task.params.keep_snapshots:
                shutil.copyfile(source / snapshot.weights, folder / snapshot.weights_kept)
