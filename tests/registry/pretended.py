"""A small project whose networks are pretended: how often one is right stands in its file."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from echosynth.classifier.network import ClassifierCard
from echosynth.common import paths
from echosynth.common.errors import EchosynthError
from echosynth.common.files import file_hash, read_json, write_json
from echosynth.common.views import VIEWS
from echosynth.config.parameters import Params
from echosynth.evaluation.scores import evaluate, headline
from echosynth.imagesets.dataset import read_split, read_subset
from echosynth.imagesets.store import write_image_set
from echosynth.registry.promotion import promote
from echosynth.registry.versions import CARD_SHA, NAME, SHA, aliases
from echosynth.serving.packaging import ARTIFACT
from echosynth.tracking import store

SOURCE, SIDE = "tmed2", 32
TRAINED, TESTED = 80, 120


def write_project(shared: bool = False) -> None:
    """Pictures that hold their view and how hard they are, two of each patient, in a training and a test set."""
    count = TRAINED + TESTED
    ids = [f"{SOURCE}-{number:012x}" for number in range(count)]
    labels = np.arange(count) // 2 % 4
    patients = np.arange(count) // 2
    if shared:
        patients[-1] = patients[0]
    images = np.zeros((count, SIDE, SIDE), np.uint8)
    images[:, 0, 0], images[:, 0, 1] = labels, np.random.default_rng(0).permutation(count)
    facts: dict[str, Any] = {
        "id": ids,
        "source": SOURCE,
        "view": [VIEWS[label] for label in labels],
        "group": [f"p{n}" for n in patients],
    }
    facts |= {"group_kind": "patient", "official_split": "", "moment": "", "frame": 0, "frames": 1}
    write_image_set(
        paths.SOURCES / SOURCE, images, pd.DataFrame(facts | {"width": 640, "height": 480, "synthetic": False})
    )
    split = ["train"] * TRAINED + ["test"] * TESTED
    paths.subset_file("all").parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame({"id": ids, "source": SOURCE, "split": split}).to_csv(paths.ASSIGNMENT, index=False)
    pd.DataFrame({"id": ids[:TRAINED]}).to_csv(paths.subset_file("all"), index=False)


def add_version(folder: Path, weights: str, **card: Any) -> str:
    """A version whose files stand where a logged model's would; its number."""
    files = folder / "artifacts" / ARTIFACT
    files.mkdir(parents=True)
    (files / "model.safetensors").write_text(weights)
    (files / "card.json").write_text(json.dumps({"size": 32} | card))
    client = store.client()
    if not client.search_registered_models(f"name = '{NAME}'"):
        client.create_registered_model(NAME)
    tags = {SHA: file_hash(files / "model.safetensors"), CARD_SHA: file_hash(files / "card.json")}
    return str(client.create_model_version(NAME, folder.as_uri(), tags=tags).version)


def pretended_load(folder: Path, device: object) -> tuple[float, ClassifierCard]:
    card = ClassifierCard.model_validate(read_json(Path(folder) / "card.json"))
    return float((Path(folder) / "model.safetensors").read_text()), card


def pretended_predict(skill: float, images: np.ndarray) -> np.ndarray:
    """Sure of the right view where the picture is easy enough, and of the next one elsewhere."""
    label, hard = images[:, 0, 0].astype(int), images[:, 0, 1] / (TRAINED + TESTED)
    called = np.where(hard < skill, label, (label + 1) % 4)
    sure = 0.9 - 0.1 * hard  # so that no two are equal
    probabilities = np.repeat(((1 - sure) / 3)[:, None], 4, axis=1)
    probabilities[np.arange(len(label)), called] = sure
    return probabilities.astype(np.float32)


def with_gates(params_with: Callable[..., Params], **changes: Any) -> Params:
    """The gates of these tests, whatever the demo's are."""
    gates = {
        "min_macro_f1": 0.8,
        "min_recall": dict.fromkeys(VIEWS, 0.7),
        "max_regression": {"macro_auprc": 0.05, "macro_f1": 0.05},
        "max_calibration_error": 0.3,  # these networks are surest where they are right
        "bootstrap": 200,
    }
    data = {"train_sources": [SOURCE], "shift_sources": []}
    return params_with(promotion=gates | changes, data=data, split={"subsets": ["all"]})


def add(skill: float, synthetic: int = 0, card: dict[str, Any] | None = None, **tags: Any) -> str:
    """Register a pretended network as `echosynth.registry.register` does; its number.

    A tag that is None is left out."""
    training, test = read_subset([SOURCE], "all"), read_split([SOURCE], "test")
    facts: dict[str, Any] = {"size": SIDE, "resampling": "cubic", "architecture": "resnet18", "arm": "mixed"}
    facts |= {"subset": "all", "seed": 0, "steps": 1, "training_images": training.by_view()}
    facts |= {"synthetic_images": synthetic, "training_hash": training.hash()}
    client = store.client()
    folder = Path(f"logged-{time.monotonic_ns()}").resolve()
    files = folder / "artifacts" / ARTIFACT
    files.mkdir(parents=True)
    (files / "model.safetensors").write_text(str(skill))
    whole = ClassifierCard.model_validate(facts | (card or {})).model_dump(mode="json")
    write_json(files / "card.json", whole | (card or {}))  # as given: it may be in the words of an earlier version
    scores = headline(evaluate(pretended_predict(skill, test.images), test.labels, test.groups, test.sources), "test")
    known = {f"score.{name}": f"{value:.6g}" for name, value in scores.items()}
    known |= {SHA: file_hash(files / "model.safetensors"), CARD_SHA: file_hash(files / "card.json")}
    known |= {"data.training": training.hash(), "data.test": test.hash(), "data.split": file_hash(paths.ASSIGNMENT)}
    known = {key: value for key, value in (known | tags).items() if value is not None}
    if not client.search_registered_models(f"name = '{NAME}'"):
        client.create_registered_model(NAME)
    return str(client.create_model_version(NAME, folder.as_uri(), tags=known).version)


def everything() -> dict[str, Any]:
    """All that a decision could change."""
    found = store.client().search_model_versions(f"name = '{NAME}'")
    runs = store.client().search_runs([store.connect().experiment])
    return {
        "aliases": aliases(),
        "tags": {str(version.version): version.tags for version in found},
        "files": sorted(path.name for path in Path("models").rglob("*")),
        "runs": len(runs),
        "models": sorted(model.name for model in store.client().search_registered_models()),
    }


def promoted(params: Params) -> Callable[[], object]:
    """A promotion to come."""
    return lambda: promote(params, why="a test")


def refused(words: str, call: Callable[[], object]) -> None:
    """The call is refused in one sentence with these words and changes nothing."""
    before = everything()
    with pytest.raises(EchosynthError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert everything() == before
