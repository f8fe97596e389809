"""Measure how close one synthetic set is to the real validation images, and whether it copies training images."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from echosynth.classifier.network import load
from echosynth.common import paths
from echosynth.common.files import atomic_folder, write_json
from echosynth.compute.device import pick_device
from echosynth.config.parameters import Params
from echosynth.evaluation.copies import COLUMNS, audit
from echosynth.evaluation.features import echo_features, inception_features, load_inception
from echosynth.evaluation.fidelity import fidelity
from echosynth.evaluation.frechet import Features
from echosynth.evaluation.options import FidelityParams
from echosynth.imagesets.dataset import LabelledImages, read_labelled, read_split, read_subset
from echosynth.stages import stage
from echosynth.tracking.runs import child_run


@dataclass(frozen=True)
class Sets:
    """The images that are compared.

    Attributes:
        synthetic: the set that is measured.
        validation: what it is compared with.
        other: real images that make the floor. The feature network has seen the training images, so they are of the
            test set, which it has not seen. No choice depends on it.
        training: what the diffusion model was trained on.
    """

    synthetic: LabelledImages
    validation: LabelledImages
    other: LabelledImages
    training: LabelledImages


def distances(
    synthetic: Features, validation: Features, other: Features, sets: Sets, settings: FidelityParams
) -> dict[str, Any]:
    """Distances on one kind of features."""
    return fidelity(
        synthetic,
        sets.synthetic.labels,
        validation,
        sets.validation.labels,
        other,
        sets.other.labels,
        settings.count,
        settings.floor_repeats,
        settings.seed,
    )


def on_echo_features(sets: Sets, settings: FidelityParams) -> tuple[dict[str, Any], dict[str, Any]]:
    """Distances and the privacy audit."""
    network, _ = load(paths.FEATURE_NETWORK, pick_device())
    synthetic, validation = (echo_features(network, one.images) for one in (sets.synthetic, sets.validation))
    found = distances(synthetic, validation, echo_features(network, sets.other.images), sets, settings)
    privacy = audit(
        synthetic,
        sets.synthetic.labels,
        validation,
        sets.validation.groups,
        echo_features(network, sets.training.images),
        settings.privacy_quantile,
        settings.floor_repeats,
        settings.seed,
    )
    known = {"training_hash": sets.training.hash(), "synthetic_hash": sets.synthetic.hash()}
    return found, privacy | known | {"features": "echo"}


def on_inception_features(sets: Sets, settings: FidelityParams) -> tuple[dict[str, Any] | None, str | None]:
    """Distances, or why there are none."""
    weights = Path(settings.inception_weights)
    if not weights.is_file():
        missing = f"No Inception distances: {weights} is not there; put that file of pytorch-fid's release there."
        print(missing, file=sys.stderr)
        return None, missing
    network = load_inception(weights)
    synthetic, validation, other = (
        inception_features(network, one.images) for one in (sets.synthetic, sets.validation, sets.other)
    )
    found = distances(synthetic, validation, other, sets, settings)
    found.pop("count")
    return found, None


def columns(echo: dict[str, Any], privacy: dict[str, Any]) -> dict[str, float]:
    """The numbers for MLflow."""
    return {f"echo.{name}": value for name, value in echo.items()} | {
        f"privacy.{name}": privacy[name] for name in COLUMNS if privacy[name] is not None
    }


@stage
def main(params: Params, size: str) -> None:
    """Read data/synthetic/<size> and its training subset, write reports/fidelity/<size>."""
    settings, sources = params.fidelity, params.data.train_sources
    sets = Sets(
        synthetic=read_labelled([paths.SYNTHETIC / size]),
        validation=read_split(sources, "validation"),
        other=read_split(sources, "test"),
        training=read_subset(sources, size),
    )
    echo, privacy = on_echo_features(sets, settings)
    inception, missing = on_inception_features(sets, settings)
    metrics = {"subset": size, "count": echo.pop("count"), "echo": echo, "privacy": privacy}
    facts = {"fidelity": settings.model_dump(), "subset": size}
    with child_run(f"fidelity {size}", "fidelity", facts) as run, atomic_folder(paths.FIDELITY / size) as part:
        write_json(part / "metrics.json", metrics | {"inception": inception, "inception_missing": missing})
        run.dataset(f"synthetic-{size}", paths.SYNTHETIC / size, "evaluation")
        run.dataset("validation", paths.ASSIGNMENT, "validation")
        run.metrics(columns(echo, privacy))
        run.save(part)
    copies = f"{privacy['near_copies']:.1%} near copies ({privacy['quantile']:.1%} expected)"
    print(f"fidelity {size}: echo {echo['frechet']:.2f}, floor {echo['floor_frechet']:.2f}, {copies}", file=sys.stderr)


if __name__ == "__main__":
    main()
