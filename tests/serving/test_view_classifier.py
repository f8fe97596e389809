"""From frames to probabilities."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from echosynth.classifier.network import load
from echosynth.common.errors import EchosynthError
from echosynth.imagesets.prepare import prepare
from echosynth.serving.view_classifier import ViewClassifier


def pictures(seed: int, count: int, *shape: int) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8))


def test_probabilities_are_those_of_the_stored_network_on_prepared_frames(classifier_folder: Path) -> None:
    frames = pictures(0, 3, 60, 80)
    network, card = load(classifier_folder, torch.device("cpu"))
    pictures_seen = np.stack([prepare(frame, card.size, None) for frame in frames])[:, None]
    inputs = torch.tensor(pictures_seen, dtype=torch.float32) / 127.5 - 1  # rounded as the network's input is
    with torch.no_grad():
        logits = network(inputs).double().numpy()
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    found = ViewClassifier(classifier_folder).probabilities(frames)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.ptp(found, axis=0).max() > 0.01  # the fixture tells frames apart, else the test would prove nothing


def test_frames_may_differ_in_size_and_colour(classifier_folder: Path) -> None:
    classifier = ViewClassifier(classifier_folder)
    mixed = [*pictures(1, 1, 60, 80), *pictures(2, 1, 48, 48, 3)]
    alone = np.concatenate([classifier.probabilities([frame]) for frame in mixed])
    np.testing.assert_allclose(classifier.probabilities(mixed), alone, rtol=0, atol=5e-5)


def test_spacing_decides_what_is_square(classifier_folder: Path) -> None:
    classifier = ViewClassifier(classifier_folder)
    frames = pictures(3, 1, 40, 40)
    square = classifier.probabilities(frames, (0.3, 0.3))
    np.testing.assert_allclose(square, classifier.probabilities(frames), atol=1e-6)
    assert np.abs(classifier.probabilities(frames, (0.3, 0.15)) - square).max() > 1e-4
    classifier.preprocessing = replace(classifier.preprocessing, square=False)
    np.testing.assert_array_equal(classifier.probabilities(frames, (0.3, 0.15)), classifier.probabilities(frames))


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(EchosynthError, match=r"card\.json is missing"):
        ViewClassifier(tmp_path)
