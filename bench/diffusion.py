"""The diffusion engine: training, sampling, presets and memory, each beside another way in the same run."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from bench import sampling
from bench.peak_memory import PROCESSES
from bench.results import Memory, Missing, Rate, Result, compare, compared
from bench.sampling import measure_solvers
from bench.training import PlainTraining, Turns, seconds, without_tf32
from bench.training_memory import peak_of_training
from echosynth.compute.device import Precision, pick_device, resolved
from echosynth.config.parameters import Params
from echosynth.config.presets import with_preset
from echosynth.diffusion.options import DiffusionParams

PLAIN_TARGET = 0.97
GPU_TARGET = 3.0
BF16_TARGET = 1.4
GPU_TASK = "bf16, compile, SDPA, channels_last against plain fp32"


@dataclass(frozen=True)
class Sizes:
    """How much work a measurement does.

    Attributes:
        block: optimisation steps that are timed together.
        rounds: blocks of each way; the best one counts, as others only waited for something.
        batch_size: images a step; None: as params.yaml says.
        preset_batch: images of a step with `efficient` and `improved`.
        preset_rounds: steps of each of these.
        own_batches: batch sizes whose memory is measured with the network of params.yaml.
        preset_batches: the same for presets, by name.
        shrink: the channels of presets are divided by it.
    """

    block: int = 5
    rounds: int = 8
    batch_size: int | None = None
    preset_batch: int = 1
    preset_rounds: int = 3
    own_batches: tuple[int, ...] = (16, 64, 256)
    preset_batches: tuple[tuple[str, tuple[int, ...]], ...] = (("gpu-small", (4, 16)),)
    shrink: int = 1


GPU = Sizes(
    block=20,
    preset_batch=32,
    preset_rounds=10,
    preset_batches=(("gpu-small", (64, 256)), ("efficient", (8, 32)), ("improved", (8, 32))),
)
QUICK = Sizes(1, 2, 2, 1, 1, (), (("gpu-small", (1,)),), 16)


def preset(name: str, sizes: Sizes) -> Params:
    """The parameters as a preset makes them, its channels divided by `sizes.shrink`."""
    params = with_preset(name)
    settings, by = params.diffusion, sizes.shrink
    update = {"channels": [width // by for width in settings.channels], "head_channels": settings.head_channels // by}
    return params.model_copy(update={"diffusion": settings.model_copy(update=update)})


def words(params: DiffusionParams, size: int) -> str:
    """Network and sizes in words."""
    word = resolved(pick_device(), params.precision)
    precision = "fp32" if word == "no" else word
    return f"{size} x {size}, channels {params.channels}, batches of {params.batch_size}, {precision}"


def measure_training(params: Params, sizes: Sizes) -> list[Result]:
    """Training as it is done here against a plain loop over the same network, with and without an average of its
    weights."""
    if params.diffusion.space != "pixel":
        return [Missing("diffusion training", "the plain loop knows pixels alone: set diffusion.space to pixel")]
    batch_size = sizes.batch_size or params.diffusion.batch_size
    settings = params.diffusion.model_copy(update={"batch_size": batch_size, "compile": False})
    size, on_gpu = params.ingest.size, torch.cuda.is_available()
    plain, averaging = (
        PlainTraining(settings, size, settings.precision, decay, channels_last=on_gpu)
        for decay in (None, settings.ema_decays[-1])
    )
    ours, *others = Turns(settings, size, sizes.block, sizes.rounds).measure(plain.step, averaging.step)
    setting, images = words(settings, size), sizes.block * batch_size
    done_here = f"ours: averages of the weights {len(settings.ema_decays)}, augmentation {settings.augment}"
    return [
        Rate("diffusion training", images / min(ours), "images", images, tuple(ours), setting),
        *(
            compared("diffusion training", PLAIN_TARGET, ours, times, other, f"{setting}; {done_here}")
            for times, other in zip(others, ("plain loop", "plain loop with one average"), strict=True)
        ),
    ]


def measure_gpu(params: Params, sizes: Sizes) -> list[Result]:
    """Training with all that a GPU offers against plain fp32."""
    if not torch.cuda.is_available():
        return [Missing(GPU_TASK, "it needs a CUDA GPU, and there is none")]
    size = params.ingest.size
    settings = params.diffusion
    plain = PlainTraining(settings, size, "fp32", settings.ema_decays[-1], sdpa=False)
    ours, *others = Turns(settings, size, sizes.block, sizes.rounds).measure(plain.step, without_tf32(plain.step))
    setting = words(settings, size) + ("" if settings.compile else ", not compiled")
    images = sizes.block * settings.batch_size
    names = ("plain fp32, PyTorch's defaults (TF32 in convolutions)", "plain fp32, no TF32")
    return [
        Rate("diffusion training, all that the GPU offers", images / min(ours), "images", images, tuple(ours), setting),
        *(
            compared(GPU_TASK, GPU_TARGET, ours, times, other, setting)
            for times, other in zip(others, names, strict=True)
        ),
    ]


def measure_bf16(params: Params, sizes: Sizes, auto: Precision) -> Result:
    """A step of the plain loop in bf16 against the same in fp32, where the device gains by bf16."""
    task = "training step, bf16 against fp32"
    if auto == "fp32":
        return Missing(task, "this device does not compute bf16 faster than fp32")
    if params.diffusion.space != "pixel":
        return Missing(task, "the plain loop knows pixels alone: set diffusion.space to pixel")
    settings = params.diffusion.model_copy(update={"batch_size": sizes.batch_size or params.diffusion.batch_size})
    kinds: tuple[Precision, Precision] = auto, "fp32"
    ours, theirs = (partial(seconds, PlainTraining(settings, params.ingest.size, kind).step) for kind in kinds)
    ours(), theirs()  # the first time is no measure: kernels are made
    setting = f"{words(settings, params.ingest.size)}; threads {torch.get_num_threads()}"
    return compare(task, BF16_TARGET, ours, theirs, "fp32", setting, sizes.block * sizes.rounds)


def measure_presets(sizes: Sizes) -> list[Result]:
    """`efficient` against `improved`: a step of a plain loop, and an evaluation of the network."""
    sides = []
    for name in ("efficient", "improved"):
        params = preset(name, sizes)
        settings = params.diffusion.model_copy(update={"batch_size": sizes.preset_batch})
        sides.append(PlainTraining(settings, params.ingest.size, settings.precision))
    efficient, improved = sides
    setting = f"channels {efficient.params.channels} against {improved.params.channels}, "
    setting += f"{params.ingest.size} x {params.ingest.size}, batches of {sizes.preset_batch}"
    ways = (
        ("training step, efficient against improved", efficient.step, improved.step),
        ("evaluation, efficient against improved", efficient.evaluate, improved.evaluate),
    )
    results: list[Result] = []
    for task, ours, theirs in ways:
        timed_ours, timed_theirs = partial(seconds, ours), partial(seconds, theirs)
        timed_ours(), timed_theirs()  # the first time is no measure: memory is found, kernels are chosen
        results.append(compare(task, 1.0, timed_ours, timed_theirs, "improved", setting, sizes.preset_rounds))
    return results


def measure_memory(params: Params, batch_size: int) -> Result:
    """Peak memory of a training with and without gradient checkpointing."""
    task, size, on_gpu = "diffusion training", params.ingest.size, torch.cuda.is_available()
    if not on_gpu and not PROCESSES.is_dir():
        return Missing(task, "the peak of a process's memory is read from /proc, which this system lacks")
    if params.diffusion.space != "pixel":
        return Missing(task, "memory is measured in pixel space alone: set diffusion.space to pixel")
    settings = params.diffusion.model_copy(update={"batch_size": batch_size, "compile": False})
    plain, checkpointed = (
        peak_of_training(settings.model_copy(update={"gradient_checkpointing": on}), size) for on in (False, True)
    )
    kind = "allocated on the GPU" if on_gpu else "resident, libraries included"
    return Memory(task, batch_size, plain, checkpointed, f"{words(settings, size)}; {kind}")


def measurements(params: Params, quick: bool, auto: Precision) -> list[Callable[[], Result | list[Result]]]:
    """All of them.

    Args:
        params: networks and sizes.
        quick: tiny sizes, to see that it works.
        auto: what that precision stands for on this machine, against fp32; all else is in that of params.yaml.
    """
    on_gpu = torch.cuda.is_available()
    sizes = QUICK if quick else GPU if on_gpu else Sizes()
    sets = sampling.QUICK if quick else sampling.GPU if on_gpu else sampling.Sizes()
    small = preset("gpu-small", sizes)
    return [
        partial(measure_training, params, sizes),
        *([partial(measure_training, small, sizes)] if on_gpu else []),
        partial(measure_gpu, small, sizes),
        partial(measure_bf16, params, sizes, auto),
        partial(measure_solvers, params, sets),
        partial(measure_presets, sizes),
        *(partial(measure_memory, params, batch_size) for batch_size in sizes.own_batches),
        *(
            partial(measure_memory, preset(name, sizes), batch_size)
            for name, batch_sizes in sizes.preset_batches
            for batch_size in batch_sizes
        ),
    ]
