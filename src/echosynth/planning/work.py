"""The work that the parameters ask for, and what it costs at the speed of this machine."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import joblib
import torch

from echosynth.classifier.train import total_steps
from echosynth.common import paths
from echosynth.common.arm_names import percent_of
from echosynth.common.errors import EchosynthError
from echosynth.common.files import read_json
from echosynth.common.launch import wanted_processes
from echosynth.common.views import VIEWS
from echosynth.config.parameters import Params
from echosynth.planning import probe
from echosynth.planning.probe import Speed
from echosynth.thesis import budgets
from echosynth.thesis.rebalancing import STRATEGIES
from echosynth.thesis.sources import ARMS

PNG_SHARE = 0.75  # bytes a pixel of a stored PNG of speckle, where no image set is there to be measured


@dataclass(frozen=True)
class Job:
    """A kind of work.

    Attributes:
        name: in words.
        number: trainings or sets.
        steps: of all of them: optimisation steps, or batches of evaluations.
        speed: of one step.
        at_once: how many run side by side.
        disk: bytes that they leave.
    """

    name: str
    number: int
    steps: int
    speed: Speed
    at_once: int
    disk: int

    @property
    def hours(self) -> float:
        """Hours that it takes here."""
        return self.steps * self.speed.seconds / 3600 / min(self.at_once, max(1, self.number))


def training_images(params: Params, images: int | None) -> dict[str, int]:
    """Real images of each training subset.

    Args:
        params: of the project.
        images: in the whole training set; None: as the split says.

    Raises:
        EchosynthError: nobody says how many.
    """
    file = paths.SPLIT / "metrics.json"
    if images is None:
        if not file.is_file():
            raise EchosynthError(f"{file} is not there yet: say how many training images there are with --images")
        images = int(sum(read_json(file)["by_view"]["train"].values()))
    return {str(size): images if size == "all" else int(size) for size in params.split.subsets}


def jobs(params: Params, images: dict[str, int], budget: float) -> Iterator[Job]:
    """Try each kind of work of the main pipeline and say how much of it there is; with `study.run` of the study too.

    Args:
        params: of the project.
        images: subset -> real images.
        budget: seconds for all trials.
    """
    kinds: list[Callable[[float], Job]] = [
        partial(_diffusion, params, images),
        partial(_sampling, params, images),
        partial(_feature_network, params, images),
        *(partial(_classifiers, params, images, name) for name in params.arms.architectures),
        *(partial(_study, params, images, name) for name in _studied(params)),
    ]
    for kind in kinds:
        yield kind(budget / len(kinds))


def _sources(params: Params) -> int:
    return len(params.data.train_sources) if params.diffusion.source_conditioning else 0


def _diffusion(params: Params, images: dict[str, int], budget: float) -> Job:
    settings = params.diffusion
    speed = probe.diffusion(settings, params.ingest.size, _sources(params), budget)
    kept = settings.snapshots if settings.keep_snapshots else 1
    at_once = 1 if torch.cuda.is_available() else joblib.cpu_count()
    steps, disk = len(images) * settings.steps, len(images) * kept * speed.weights
    return Job("diffusion models", len(images), steps, speed, at_once, disk)


def _sampling(params: Params, images: dict[str, int], budget: float) -> Job:
    sample = params.sample
    speed = probe.diffusion(params.diffusion, params.ingest.size, _sources(params), budget, sample.batch_size)
    each = sample.per_view * len(VIEWS)
    passes = 2 if sample.guidance != 1 or sample.autoguidance else 1
    number = len(images)
    if params.study.run and _sources(params) > 1:
        number += len(params.study.rebalance_subsets)  # other sources: about as many images again
    steps = number * -(-each // sample.batch_size) * sample.evaluations * passes
    at_once = 1 if torch.cuda.is_available() else joblib.cpu_count()
    return Job("synthetic sets", number, steps, speed, at_once, number * each * _image_bytes(params))


def _image_bytes(params: Params) -> int:
    """Bytes of one stored image: as in the image sets that are there."""
    archives = [
        path for source in params.data.train_sources if (path := paths.SOURCES / source / "images.zip").is_file()
    ]
    reports = [read_json(path.with_name("report.json"))["images"] for path in archives]
    if archives and sum(reports):
        return sum(path.stat().st_size for path in archives) // sum(reports)
    return round(params.ingest.size**2 * PNG_SHARE)


def _feature_network(params: Params, images: dict[str, int], budget: float) -> Job:
    settings = params.fidelity
    speed = probe.classifier(settings.training, settings.architecture, params.ingest.size, budget)
    steps = total_steps(settings.training, max(images.values()))
    return Job(f"feature network, {settings.architecture}", 1, steps, speed, 1, speed.weights)


def _classifiers(params: Params, images: dict[str, int], architecture: str, budget: float) -> Job:
    settings, made = params.classifier, params.sample.per_view * len(VIEWS)
    speed = probe.classifier(settings, architecture, params.ingest.size, budget)
    each = [_set_size(arm, real, made) for real in images.values() for arm in params.arms.names]
    number = len(each) * len(settings.seeds)
    steps = len(settings.seeds) * sum(total_steps(settings, size) for size in each)
    at_once = wanted_processes(joblib.cpu_count())
    kept = number if params.arms.keep_weights == "all" else len(each)
    return Job(f"classifiers, {architecture}", number, steps, speed, at_once, kept * speed.weights)


def _studied(params: Params) -> list[str]:
    """Architectures that the study trains from scratch, once it is asked for."""
    study = params.study
    return list(dict.fromkeys([params.arms.architectures[0], *study.early_architectures])) if study.run else []


def _study(params: Params, images: dict[str, int], architecture: str, budget: float) -> Job:
    """Trainings of an architecture in the study; frozen networks take little and are left out."""
    settings, study, made = params.classifier, params.study, params.sample.per_view * len(VIEWS)
    speed = probe.classifier(settings, architecture, params.ingest.size, budget)
    each, twins = list[int](), list[int]()  # images of trainings as section classifier says, and under the other budget
    if architecture == params.arms.architectures[0]:
        each += [made] * (len(STRATEGIES) * len(study.rebalance_subsets) * len(settings.seeds))  # none is larger
        each += [made] * (len(ARMS) * len(study.rebalance_subsets) * len(settings.seeds))  # most are as large
        shares = (0.0, *study.fractions, 1.0)  # the last: twice as many real images
        each += [round(real * (1 + share)) for real in images.values() for share in shares] * len(settings.seeds)
        arms = budgets.arms(params)
        twins += [_set_size(arm, real, made) for real in images.values() for arm in arms] * len(settings.seeds)
    if architecture in study.early_architectures:
        few = images[str(study.early_subset)]
        each += [few, made, max(images.values())] * len(study.early_seeds)
    other = budgets.with_other_budget(params).classifier
    steps = sum(total_steps(settings, size) for size in each) + sum(total_steps(other, size) for size in twins)
    number = len(each) + len(twins)
    return Job(f"study, {architecture}", number, steps, speed, wanted_processes(joblib.cpu_count()), 0)


def _set_size(arm: str, real: int, made: int) -> int:
    """Images that an arm trains on; an oversampled set is about twice as large as the real one where, as in the study,
    the largest view has half of it."""
    if arm in ("real", "oversampled"):
        return real if arm == "real" else 2 * real
    if (percent := percent_of(arm)) is not None:
        return real + real * percent // 100
    return made + (real if arm.startswith("mixed") else 0)


def free_bytes() -> int:
    """Free space where the project lies."""
    return shutil.disk_usage(".").free
