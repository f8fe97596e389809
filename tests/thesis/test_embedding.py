"""The embedding of a toy study, whose images are what a network makes features of."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from echosynth.classifier.arms import classifier_folder
from echosynth.common.errors import EchosynthError
from echosynth.common.views import VIEWS
from echosynth.config.parameters import Params
from echosynth.imagesets.dataset import LabelledImages
from echosynth.thesis import embedding
from echosynth.thesis.embedding import embed


def images(count: int, source: str, seed: int) -> LabelledImages:
    """Each view has a bright place of its own, with noise."""
    rng, labels = np.random.default_rng(seed), np.arange(count) % 4
    pixels = rng.integers(60, size=(count, 2, 2))
    pixels.reshape(count, 4)[np.arange(count), labels] += 150
    names = np.array([f"{source}-{number}" for number in range(count)])
    return LabelledImages(pixels.astype(np.uint8), labels, names, np.full(count, source), names)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch, params_with: object) -> Iterator[Params]:
    monkeypatch.setattr(embedding, "load", lambda folder, device: (str(folder), None))
    monkeypatch.setattr(embedding, "echo_features", lambda _, pixels: pixels.reshape(len(pixels), -1) / 255)
    monkeypatch.setattr(embedding, "subset", lambda *_: images(60, "echonet-lvh", 0))
    monkeypatch.setattr(embedding, "validation", lambda _: images(20, "tmed2", 1))
    monkeypatch.setattr(embedding, "synthetic", lambda _: images(40, "diffusion", 2))
    few = {"embedding_points": 30, "perplexities": [8, 5], "iterations": [250], "stability_points": 60}
    yield params_with(study=few)  # type: ignore[operator]


def test_one_embedding_of_real_and_synthetic_images(toy: Params) -> None:
    table, metrics = embed(toy)
    assert metrics["images"] == {"training": 30, "validation": 20, "synthetic": 30}
    assert table["set"].value_counts().to_dict() == metrics["images"]
    assert set(table[table["set"] == "synthetic"]["source"]) == {"diffusion"}
    assert set(table[table["set"] == "training"]["source"]) == {"echonet-lvh"}
    for column in ("x", "y", "pca_x", "pca_y"):
        assert (table[column].min(), table[column].max()) == (0, 1)
    centres = table.groupby("view")[["x", "y"]].mean()
    spread = table.groupby("view")[["x", "y"]].std().to_numpy().mean()
    distances = np.linalg.norm(centres.to_numpy()[:, None] - centres.to_numpy(), axis=-1)[np.triu_indices(4, 1)]
    assert distances.min() > 2 * spread, "views lie apart"
    assert [row["perplexity"] for row in metrics["stability"]] == [8, 5, None]
    assert metrics["stability_points"] == 60
    assert list(metrics["overlap"]) == list(VIEWS)
    assert metrics["classifier"]["subset"] == str(toy.split.subsets[-1])


def test_the_first_seed_that_kept_its_weights_shows_its_features(
    toy: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = classifier_folder("real", toy.split.subsets[-1], toy.arms.architectures[0], toy.classifier.seeds[1])
    folder.mkdir(parents=True)
    (folder / "model.safetensors").touch()
    assert embed(toy)[1]["classifier"]["seed"] == toy.classifier.seeds[1]


def test_the_embedding_needs_a_classifier_of_real_images(toy: Params) -> None:
    without = toy.model_copy(update={"arms": toy.arms.model_copy(update={"real": []})})
    with pytest.raises(EchosynthError, match=r"arms\.real: the embedding needs"):
        embed(without)


def test_perplexities_must_fit_before_anything_long_begins(toy: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "echo_features", None)
    many = toy.model_copy(update={"study": toy.study.model_copy(update={"perplexities": [8.0, 25.0]})})
    with pytest.raises(EchosynthError, match=r"study\.perplexities.*: a perplexity of 25 is too large for 60 points"):
        embed(many)
