"""The parts of `python -m bench.gpu_check` that measure, each from the same phantoms and parameters."""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bench import diffusion, measurements, sampling
from bench.machine import bf16_peak, facts
from bench.phantoms import phantoms
from bench.results import Missing, Rate, Result, Share, shortened
from bench.sampling import compare_solvers
from bench.training import PlainTraining, Timed, Turns, network_flops, seconds
from echosynth.classifier.train import train as train_classifier
from echosynth.common.resume import ResumeState
from echosynth.common.views import VIEWS
from echosynth.compute.device import Precision, memory_explained, pick_device, to_tensor
from echosynth.config.parameters import Params
from echosynth.diffusion.batches import Examples, known_examples
from echosynth.diffusion.model import DiffusionModel, PixelSpace, assembled
from echosynth.diffusion.network import ViewDenoiser
from echosynth.diffusion.optimisation import CurvePoint
from echosynth.diffusion.pixel_gaussian import PixelGaussian
from echosynth.evaluation.features import echo_features

SEED = 0
POINTS = 20  # of the curve
UNSCORED = {"snapshot_images": 0, "patience": 0}  # samples are judged once, at the end


@dataclass(frozen=True)
class Sizes:
    """How much each part does.

    Attributes:
        images: phantoms that are trained on; validation and test sets hold `held_out` each.
        features: of the training of the classifier whose features distances are measured on.
        training: seconds of the diffusion training, less where less is left.
        trial: steps by which its length is found, twice.
        sets: images that are sampled by both solvers.
        speed: blocks of steps, and batch sizes whose memory is measured.
        thesis_batch: images a step of preset `thesis`.
        classifier: how the classifiers are measured.
        update: of the sections of the parameters.
    """

    images: int = 2000
    held_out: int = 512
    features: dict[str, Any] = field(default_factory=lambda: {"budget": "steps", "steps": 600})
    training: float = 180.0
    trial: int = 20
    sets: sampling.Sizes = field(default_factory=lambda: sampling.Sizes(250, 250, 3, 1))
    speed: diffusion.Sizes = field(default_factory=lambda: diffusion.Sizes(20, 4, own_batches=(64, 256)))
    thesis_batch: int = 32
    classifier: measurements.Sizes = field(default_factory=lambda: measurements.Sizes(3, 100))
    update: dict[str, dict[str, Any]] = field(default_factory=lambda: {"diffusion": {"snapshots": 2} | UNSCORED})


QUICK = Sizes(
    images=12,
    held_out=8,
    features={"budget": "steps", "steps": 2, "batch_size": 4},
    training=0.5,
    trial=1,
    sets=sampling.Sizes(20, 20, 2, 1, evaluations=3),
    speed=diffusion.Sizes(1, 1, own_batches=(), shrink=16),
    thesis_batch=1,
    classifier=measurements.QUICK,
    update={
        "diffusion": {"snapshots": 1, "batch_size": 2, "warmup_steps": 1} | UNSCORED,
        "sample": {"evaluations": 4},
    },
)


@dataclass
class Check:
    """What the parts share.

    Attributes:
        params: as preset `gpu-small` makes them, at these sizes.
        sizes: how much is done.
        ends: when the time is over, on the clock of `time.monotonic`.
        files: path of the results without its ending.
        said: what the JSON holds beside results.
        judged: the trained model, validation and test images, and their features, once there is a training.
    """

    params: Params
    sizes: Sizes
    ends: float
    files: Path
    said: dict[str, Any] = field(default_factory=dict)
    judged: tuple[DiffusionModel, Examples, Examples, Callable[..., Any]] | None = None

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.ends - time.monotonic()

    @classmethod
    def of(cls, sizes: Sizes, ends: float, folder: Path, name: str) -> "Check":
        """A check with preset `gpu-small` at these sizes.

        Raises:
            EchosynthError: params.yaml or the preset cannot be read.
        """
        params = diffusion.preset("gpu-small", sizes.speed)
        sections = {name: getattr(params, name).model_copy(update=values) for name, values in sizes.update.items()}
        return cls(params.model_copy(update=sections), sizes, ends, folder.resolve() / name)

    def beside(self, ending: str) -> Path:
        """A file beside the results."""
        return self.files.with_name(f"{self.files.name}-{ending}")


def train(check: Check, after: float) -> list[Result]:
    """Train `gpu-small` on phantoms, leave `after` seconds to other parts; write curve and grid."""
    params, sizes, settings = check.params, check.sizes, check.params.diffusion
    sources = sorted(params.data.train_sources)
    counts = [sizes.images, sizes.held_out, sizes.held_out]
    workers = 1 if sizes is QUICK else 0
    labelled = phantoms(params.phantom, sources, params.ingest.size, counts, workers)
    judging = params.fidelity.training.model_copy(update=sizes.features)
    judge = train_classifier(judging, params.fidelity.architecture, SEED, labelled[0]).network
    data, validation, test = (known_examples(images, sources) for images in labelled)
    x0, device = to_tensor(data.images), pick_device()
    gaussian = PixelGaussian.fit(x0, data.views, data.sources, len(sources), settings.gaussian_directions)
    space = PixelSpace(gaussian.to(device))
    with memory_explained("diffusion.batch_size", settings.batch_size):
        state = ResumeState("gpu-check", settings.model_dump())
        trainer = Timed(settings, data, validation, len(sources), space, state)
        trainer.fit_steps(min(sizes.training, check.left - after), sizes.trial, POINTS)
        trained = trainer.run()
    write_curve(trained.curve, check)
    shutil.copyfile(trainer.snapshots.folder / trained.chosen.grid, check.beside("samples.png"))
    network = ViewDenoiser(settings, params.ingest.size, len(sources)).eval().to(device)
    network.load_state_dict(trained.weights)
    model = assembled(network, space, settings, params.ingest.size)
    check.judged = model, validation, test, partial(echo_features, judge)
    last = trained.curve[-1]
    check.said["training"] = {"steps": trainer.params.steps, "images": len(data), **shortened(last)}
    rate, images = trained.images_per_second, settings.steps * settings.batch_size
    done = trainer.params.steps - 2 * sizes.trial
    words = f"{diffusion.words(settings, params.ingest.size)}; validation, snapshots and saving included"
    words += f"; {settings.steps} steps take {images / rate / 3600:.2g} hours"
    items = done * settings.batch_size
    return [Rate("training of preset gpu-small", rate, "images", items, (items / rate,), words)]


def write_curve(curve: list[CurvePoint], check: Check) -> None:
    """Write the curve of a training as CSV and as a picture."""
    frame = pd.DataFrame(curve)
    frame.to_csv(check.beside("curve.csv"), index=False, lineterminator="\n")
    figure = Figure(figsize=(6, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for name in ("loss", "validation_loss"):
        shown = frame.dropna(subset=[name])
        axes.plot(shown["step"], shown[name], label=name.replace("_", " "), marker=".")
    axes.set(xlabel="step", ylabel="loss", title=f"{check.params.diffusion.loss}, {check.params.ingest.size} pixels")
    axes.legend()
    figure.savefig(check.beside("curve.png"))


def judge_samples(check: Check) -> list[Result]:
    """Sample by the preset's solver and by ancestral sampling over all steps: time, and distances with floor."""
    if check.judged is None:
        return [Missing(sampling.TASK, "there is no trained model: see the part before")]
    model, validation, test, features = check.judged
    setting = f"{check.params.ingest.size} x {check.params.ingest.size}, the model of this check"
    options, precision = check.params.sample, check.params.diffusion.precision
    return compare_solvers(
        model, validation, test, features, options, precision, options.seed, check.sizes.sets, setting
    )


def measure_speed(check: Check) -> list[Result]:
    """A training step with all that the GPU offers against plain fp32, and its share of the card's bf16 peak."""
    params, sizes = check.params, check.sizes.speed
    measure = diffusion.measure_gpu if torch.cuda.is_available() else diffusion.measure_training
    results = measure(params, sizes)
    step = min(results[0].seconds) / sizes.block if isinstance(results[0], Rate) else 0.0
    flops = network_flops(params.diffusion, params.ingest.size, training=True) * params.diffusion.batch_size
    machine = facts()
    peak = bf16_peak(str(machine["gpu"]))
    words = f"{diffusion.words(params.diffusion, params.ingest.size)}; {flops / 1e12:.3g} TFLOP, forwards and backwards"
    if peak is None:
        unknown = f"bench/machine.py does not know the peak of {machine['gpu']}: add it from its data sheet"
        reason = unknown if torch.cuda.is_available() else "it needs a CUDA GPU, and there is none"
        return [*results, Missing("share of the card's bf16 peak", f"{reason}; {words}")]
    part = f"arithmetic at the card's peak of {peak:g} TFLOP/s (bf16, dense, NVIDIA's data sheet)"
    return [*results, Share("diffusion training", flops / 1e12 / peak / step, part, step, words)]


def measure_thesis(check: Check) -> list[Result]:
    """Training and sampling of preset `thesis` by the clock: how many hours the study takes."""
    params, sizes = diffusion.preset("thesis", check.sizes.speed), check.sizes.speed
    settings = params.diffusion.model_copy(update={"batch_size": check.sizes.thesis_batch})
    size, batch = params.ingest.size, settings.batch_size
    words = diffusion.words(settings, size)
    (laps,) = Turns(settings, size, min(3, sizes.block), min(2, sizes.rounds)).measure()
    done = min(3, sizes.block) * batch
    plain = PlainTraining(settings, size, settings.precision)
    evaluations = [seconds(plain.evaluate) for _ in range(1 + sizes.rounds)][1:]  # the first chooses kernels
    images, made = params.diffusion.steps * params.diffusion.batch_size, len(VIEWS) * params.sample.per_view
    hours = images * min(laps) / done / 3600
    sampled = made * params.sample.evaluations * min(evaluations) / batch / 3600
    length = f"{params.diffusion.steps} steps of {params.diffusion.batch_size}"
    setting = f"{words}; {length} take {hours:.3g} hours a subset"
    other = f"{words}; a set of {made} in {params.sample.evaluations} evaluations takes {sampled:.3g} hours"
    return [
        Rate("training of preset thesis", done / min(laps), "images", done, tuple(laps), setting),
        Rate("evaluations of preset thesis", batch / min(evaluations), "images", batch, tuple(evaluations), other),
    ]


def measure_classifiers(check: Check) -> list[Result]:
    """Classifier training in fp32 and in what `auto` stands for here, and inference."""
    auto: Precision = "bf16" if facts()["auto_precision"] == "bf16" else "fp32"
    ways = dict.fromkeys(("fp32", auto))
    trained = [measurements.measure_classifier_training(check.params, check.sizes.classifier, way) for way in ways]
    return [*trained, measurements.measure_classifier_inference(check.params, check.sizes.classifier)]


def measure_memory(check: Check) -> list[Result]:
    """Peak memory of a training by batch size, with and without gradient checkpointing."""
    return [diffusion.measure_memory(check.params, batch) for batch in check.sizes.speed.own_batches]
