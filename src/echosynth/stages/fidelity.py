"""Measure how close the synthetic sets of one subset are to the real validation images, and whether they copy training
images."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from echosynth.classifier.network import load
from echosynth.common import paths
from echosynth.common.arrays import Images
from echosynth.common.files import atomic_folder, write_json
from echosynth.common.views import VIEWS
from echosynth.compute.device import pick_device
from echosynth.config.parameters import Params
from echosynth.evaluation.copies import COLUMNS, audit
from echosynth.evaluation.features import echo_features, inception_features, load_imagenet, load_inception
from echosynth.evaluation.fidelity import Ints, fidelity
from echosynth.evaluation.frechet import Features
from echosynth.evaluation.options import FidelityParams
from echosynth.imagesets.dataset import LabelledImages, read_labelled, read_split, read_subset
from echosynth.stages import stage
from echosynth.tracking.runs import child_run

Extract = Callable[[Images], Features]


@dataclass(frozen=True)
class Sets:
    """The images that every synthetic set of a subset is compared with.

    Attributes:
        validation: what it is compared with.
        other: real images that make the floor. The feature network has seen the training images, so they are of the
            test set, which it has not seen. No choice depends on it.
        training: what the generators were trained on.
    """

    validation: LabelledImages
    other: LabelledImages
    training: LabelledImages

    @property
    def lacking(self) -> list[str]:
        """Views of the validation images that `other` has no image of, for which there is no floor."""
        held, shown = self.other.by_view(), self.validation.by_view()
        return [view for view in VIEWS if shown[view] and not held[view]]


class Measure:
    """Distances and audit on one kind of features; those of the real images are computed once.

    Args:
        extract: from images (N, S, S) uint8 to features (N, D).
        sets: the real images.
        settings: section `fidelity`.
    """

    def __init__(self, extract: Extract, sets: Sets, settings: FidelityParams) -> None:
        self.extract, self.sets, self.settings = extract, sets, settings
        self.validation = extract(sets.validation.images)
        self.other = None if sets.lacking else extract(sets.other.images)

    @cached_property
    def training(self) -> Features:
        """Features of the training images."""
        return self.extract(self.sets.training.images)

    def distances(self, features: Features, labels: Ints) -> dict[str, Any]:
        """Measure the distances of a synthetic set with these features (N, D) and views (N,)."""
        return fidelity(
            features,
            labels,
            self.validation,
            self.sets.validation.labels,
            self.other,
            None if self.other is None else self.sets.other.labels,
            self.settings.count,
            self.settings.floor_repeats,
            self.settings.seed,
        )

    def privacy(self, features: Features, made: LabelledImages) -> dict[str, Any]:
        """Look for copies among synthetic images with these features (N, D), and name what was looked at."""
        found = audit(
            features,
            made.labels,
            self.validation,
            self.sets.validation.groups,
            self.training,
            self.settings.privacy_quantile,
            self.settings.floor_repeats,
            self.settings.seed,
        )
        known = {"training_hash": self.sets.training.hash(), "synthetic_hash": made.hash()}
        return found | known | {"features": "echo"}


def on_imagenet(sets: Sets, settings: FidelityParams) -> tuple[Measure | None, str | None]:
    """Measure on features of a network of photographs, or say why not."""
    if not settings.imagenet_weights:
        return None, "No distances on ImageNet features: fidelity.imagenet_weights names no file."
    network = load_imagenet(settings.imagenet_architecture, settings.imagenet_weights, settings.imagenet_size)
    if network is None:
        return None, f"No distances on ImageNet features: {settings.imagenet_weights} is missing."
    return Measure(partial(echo_features, network, batch_size=None), sets, settings), None


def on_inception(sets: Sets, settings: FidelityParams) -> tuple[Measure | None, str | None]:
    """Measure on Inception features, or say why not."""
    if settings.inception_weights:
        network = load_inception(settings.inception_weights)
        return Measure(partial(inception_features, network), sets, settings), None
    return None, "No Inception distances: fidelity.inception_weights names no file."


def columns(echo: dict[str, Any], privacy: dict[str, Any]) -> dict[str, float]:
    """The numbers for MLflow."""
    return {f"echo.{name}": value for name, value in echo.items() if value is not None} | {
        f"privacy.{name}": privacy[name] for name in COLUMNS if privacy[name] is not None
    }


@stage
def main(params: Params, size: str) -> None:
    """Read the synthetic sets of a training subset, write reports/fidelity/<size>/<generator>."""
    settings, sources = params.fidelity, params.data.train_sources
    real = Sets(read_split(sources, "validation"), read_split(sources, "test"), read_subset(sources, size))
    network, _ = load(paths.FEATURE_NETWORK, pick_device())
    echo = Measure(partial(echo_features, network), real, settings)
    others = {"inception": on_inception(real, settings), "imagenet": on_imagenet(real, settings)}
    measured = {}
    for generator in ("diffusion", *params.baselines.generators):
        made = read_labelled([paths.synthetic_set(generator, size)])
        features = echo.extract(made.images)
        found, privacy = echo.distances(features, made.labels), echo.privacy(features, made)
        metrics: dict[str, Any] = {"subset": size, "generator": generator, "count": found.pop("count")}
        metrics |= {"echo": found, "privacy": privacy, "imagenet_architecture": settings.imagenet_architecture}
        if real.lacking:
            metrics["floor_missing"] = f"No floor: the test set has no image of {' and '.join(real.lacking)}."
        for kind, (measure, missing) in others.items():
            metrics |= {kind: None, f"{kind}_missing": missing}
            if measure:
                metrics[kind] = measure.distances(measure.extract(made.images), made.labels)
                metrics[kind].pop("count")
        measured[generator] = metrics
    # All runs at the end: one that is finished when a kill comes would be there twice.
    with atomic_folder(paths.FIDELITY / size) as part:
        for generator, metrics in measured.items():
            record(metrics, part / generator, settings)


def record(metrics: dict[str, Any], out: Path, settings: FidelityParams) -> None:
    """Write what was measured of one synthetic set, with its run, and say it in a line."""
    size, generator, echo, privacy = (metrics[key] for key in ("subset", "generator", "echo", "privacy"))
    name, facts = f"fidelity {generator} {size}", {"fidelity": settings.model_dump(), "subset": size}
    out.mkdir()
    with child_run(name, "fidelity", facts | {"generator": generator}) as run:
        write_json(out / "metrics.json", metrics)
        run.dataset(*paths.synthetic_output(generator, size), "evaluation")
        run.dataset("validation", paths.ASSIGNMENT, "validation")
        run.metrics(columns(echo, privacy))
        run.save(out)
    copies = f"{privacy['near_copies']:.1%} near copies ({privacy['quantile']:.1%} expected)"
    floor = "no floor" if echo["floor_kernel"] is None else f"floor {echo['floor_kernel']:.3f}"
    distance = f"kernel {echo['kernel']:.3f} ({floor})"
    print(f"{name}: {distance}, Frechet {echo['frechet']:.1f}, {copies}", file=sys.stderr)


if __name__ == "__main__":
    main()
