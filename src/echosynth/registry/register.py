"""Putting a classifier into the registry. Which version is in use is decided in `echosynth.registry.promotion`."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from echosynth.classifier.network import ClassifierCard
from echosynth.common import paths
from echosynth.common.errors import EchosynthError
from echosynth.common.files import file_hash, read_json
from echosynth.common.views import VIEWS
from echosynth.evaluation.plots import confusion_png
from echosynth.evaluation.scores import headline
from echosynth.registry.versions import CARD_SHA, NAME, SHA, check_stored, fetch
from echosynth.serving.manifest import PACKAGE_SHA
from echosynth.serving.packaging import log_classifier, predicted, silent
from echosynth.serving.view_classifier import ViewClassifier
from echosynth.tracking import store
from echosynth.tracking.runs import child_run

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

TOLERANCE = 1e-5
SPLITS = ("test", "shift")


@dataclass(frozen=True)
class RegisteredVersion:
    """A version in the registry.

    Attributes:
        name: name of the registered model.
        version: its number, as text.
        model_sha: MD5 of model.safetensors.
        run_id: the run that logged it.
        created: False when the registry held this very network before.
    """

    name: str
    version: str
    model_sha: str
    run_id: str
    created: bool


def register(
    model_folder: Path,
    scores: Mapping[str, float],
    example: npt.NDArray[np.uint8],
    expected: npt.NDArray[np.floating[Any]],
    artifacts: Sequence[Path] = (),
    name: str = NAME,
    data: Mapping[str, str] | None = None,
    evaluations: Mapping[str, dict[str, Any]] | None = None,
    description: str = "",
) -> RegisteredVersion:
    """Register a classifier, and check that what the registry gives back predicts the same. No alias moves.

    The same network (by the hashes of its weights and its card) is registered only once; a second call returns the
    version there is, with scores, data and description as they are given now.

    Args:
        model_folder: holds model.safetensors and card.json.
        scores: name -> number, logged as metrics and written on the version as tags "score.<name>".
        example: (N, H, W) uint8 grey frames, N of 2 or more.
        expected: (N, 4) their probabilities from the network as it stands in `model_folder`.
        artifacts: further files for the run, beside the card.
        name: name of the registered model.
        data: name -> hash of the data that it was trained and tested on, written on the version as tags "data.<name>".
        evaluations: name of a split -> what `echosynth.evaluation.scores.evaluate` returned: confusion matrices.
        description: Markdown, shown with the version.

    Raises:
        EchosynthError: a file of the model is missing, the example is of a wrong shape, the store cannot be used, or
            the registered model predicts something else; a new version goes then.
    """
    if expected.shape != (len(example), len(VIEWS)):
        raise EchosynthError(
            f"the expected probabilities are of shape {expected.shape}; "
            f"give {(len(example), len(VIEWS))} for this example"
        )
    for file in paths.STORED:
        if not (model_folder / file).is_file():
            raise EchosynthError(f"{model_folder / file} is missing; run `dvc repro` to make it")
    sha, card_sha = (file_hash(model_folder / file) for file in paths.STORED)
    tags = {f"score.{key}": f"{value:.6g}" for key, value in scores.items()} | {SHA: sha, CARD_SHA: card_sha}
    tags |= {f"data.{key}": text for key, text in (data or {}).items()}
    with store.reported(), store.lock("registry"):
        client = store.client()
        found = _version_of(name, sha, card_sha)
        if found is None:
            # The files tell one registration below the same execution from another.
            with child_run(f"register {name}", "register", {SHA: sha, CARD_SHA: card_sha}, late=True) as run:
                run.metrics(scores)
                for path in (model_folder / paths.CARD, *artifacts):
                    run.artifact(path)
                for split, evaluation in (evaluations or {}).items():
                    run.picture(confusion_png(evaluation, split), f"confusion_{split}.png")
                logged = log_classifier(run.id, model_folder, example)
                version = _new_version(logged.uri, name, tags | {PACKAGE_SHA: logged.package_sha})
                try:
                    _check_as_served(version, example, expected)
                except BaseException:
                    client.delete_model_version(name, version.version)
                    raise
        else:
            version = found
            _check_files(version, example, expected)
            for key, text in tags.items():
                client.set_model_version_tag(name, version.version, key, text)
            for key in version.tags.keys() - tags.keys():
                if key.startswith(("score.", "data.")):  # of another test set, or of none any more
                    client.delete_model_version_tag(name, version.version, key)
        client.update_model_version(name, version.version, description)
    return RegisteredVersion(name, str(version.version), sha, str(version.run_id), created=found is None)


def register_final() -> RegisteredVersion:
    """Register models/final with what reports/final says of it.

    Raises:
        EchosynthError: one of them is missing, they do not belong together, or see `register`.
    """
    report = paths.FINAL_SCORES / "metrics.json"
    result = read_json(report)
    classifier, scores = ViewClassifier(paths.FINAL), final_scores(result)
    if result.get("model") != file_hash(paths.FINAL / paths.WEIGHTS):
        raise EchosynthError(f"{report} is not about the model in {paths.FINAL}; run `dvc repro final` to score it")
    side = classifier.card.size
    # Noise, because an example is stored with the model and no patient's picture may be.
    example = np.random.default_rng(0).integers(0, 256, (4, 2 * side, 3 * side), dtype=np.uint8)
    return register(
        paths.FINAL,
        scores,
        example,
        classifier.probabilities(list(example)),
        [report],
        data=result["data"],
        evaluations={split: result[split] for split in SPLITS if result[split]},
        description=described(classifier.card, scores, final_absent(result)),
    )


def final_scores(result: Mapping[str, Any]) -> dict[str, float]:
    """Scores of reports/final/metrics.json on the test set and the domain shift, such as "test.macro_f1"."""
    found: dict[str, float] = {}
    for split in SPLITS:
        if result[split]:
            found |= headline(result[split], split)
    return found


def final_absent(result: Mapping[str, Any]) -> dict[str, str]:
    """Why reports/final/metrics.json holds no macro scores of a set, such as "absent.test.macro_f1" -> "images of A4C
    alone", as tags of a run; empty where all are there."""
    return {
        f"absent.{split}.{name}": reason
        for split in SPLITS
        for name, reason in ((result[split] or {}).get("absent") or {}).items()
    }


def described(card: ClassifierCard, scores: Mapping[str, float], absent: Mapping[str, str]) -> str:
    """A model card in a few lines of Markdown.

    Args:
        card: of the weights.
        scores: see `final_scores`.
        absent: see `final_absent`.
    """
    images = sum(card.training_images.values())
    counts = ", ".join(f"{count:,} {view}" for view, count in card.training_images.items())
    columns = ("macro_auprc", "macro_f1", *(f"recall_{view}" for view in VIEWS), "calibration_error")
    heading = ("images", "macro AUPRC", "macro F1", *(f"recall {view}" for view in VIEWS), "calibration error")
    rows = [
        (split, *(f"{scores[key]:.3f}" if (key := f"{split}.{name}") in scores else "" for name in columns))
        for split in SPLITS
        if f"{split}.loss" in scores
    ]
    table = "\n".join(f"| {' | '.join(row)} |" for row in (heading, ("---",) * len(heading), *rows))
    paragraphs = (
        f"**Names the view of an echocardiogram**: {', '.join(VIEWS)}. {card.architecture}; frames of any size are "
        f"prepared to {card.size} x {card.size} grey pixels inside the model.",
        f"**Trained** on {images:,} images ({counts}), {card.synthetic_images:,} of them synthetic (arm {card.arm}, "
        f"subset {card.subset}, seed {card.seed}).",
        table,
        *(f"No {name.removeprefix('absent.')}: the set has {reason}." for name, reason in absent.items()),
        "**Limits**: it gives one of the four names to any picture, also to other views and to what is no "
        "echocardiogram; scores hold for patients and scanners like those of the test set, and the domain shift shows "
        "how they fall elsewhere; rare views have few test images.",
        "**Research software, no medical device.** Not for diagnosis or treatment.",
    )
    return "\n\n".join(paragraphs)


def _version_of(name: str, sha: str, card_sha: str) -> "ModelVersion | None":
    """The version with these weights and this card."""
    found = store.client().search_model_versions(f"name = '{name}' and tags.`{SHA}` = '{sha}'")
    return next((version for version in found if version.tags.get(CARD_SHA) == card_sha), None)


def _new_version(uri: str, name: str, tags: Mapping[str, str]) -> "ModelVersion":
    """Register a logged model, with its tags from the first moment."""
    import mlflow

    with silent():
        return mlflow.register_model(uri, name, tags=dict(tags))


def _check_as_served(version: "ModelVersion", example: npt.NDArray[np.uint8], expected: npt.NDArray[Any]) -> None:
    """Load a new version as a server does and compare what it says.

    Raises:
        EchosynthError: its files do not arrive, or it says something else.
    """
    with tempfile.TemporaryDirectory() as folder:
        fetch(version, Path(folder))
    _compare(version, predicted(f"models:/{version.name}/{version.version}", list(example)), expected)


def _check_files(version: "ModelVersion", example: npt.NDArray[np.uint8], expected: npt.NDArray[Any]) -> None:
    """Compare what the weights of an earlier version say in the code of today. The code that lies beside them may be of
    an earlier version of this package, whose modules have other names: only a server of its own can load that.

    Raises:
        EchosynthError: its files do not arrive or are not those that were registered, or they say something else.
    """
    with tempfile.TemporaryDirectory() as folder:
        fetch(version, Path(folder))
        check_stored(version)
        _compare(version, ViewClassifier(Path(folder)).probabilities(list(example)), expected)


def _compare(version: "ModelVersion", found: npt.NDArray[Any], expected: npt.NDArray[Any]) -> None:
    """Refuse a version that predicts something else than the network that was to be registered."""
    if found.shape != expected.shape or not np.allclose(found, expected, rtol=0, atol=TOLERANCE):
        raise EchosynthError(
            f"version {version.version} of {version.name}, loaded from the registry, predicts something else than the "
            "network that was to be registered; check that the installed packages are those of requirements.txt and "
            "try again"
        )
