"""How much work the parameters ask for, and what it costs at a known speed."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from echosynth.common.errors import EchosynthError
from echosynth.config.parameters import Params
from echosynth.planning import probe, work
from echosynth.planning.probe import Speed, timed
from echosynth.planning.work import jobs, training_images


@pytest.fixture
def speeds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Known ones: 2 s a step, 100 bytes of weights."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ECHOSYNTH_PROCESSES", "2")
    monkeypatch.setattr(work.joblib, "cpu_count", lambda: 2)
    for name in ("diffusion", "classifier"):
        monkeypatch.setattr(probe, name, lambda *_: Speed(2.0, None, 100))


def test_trainings_steps_hours_and_disk(speeds: None, params_with: Callable[..., Params]) -> None:
    params = params_with(
        split={"subsets": [100, "all"]},
        classifier={"budget": "epochs", "epochs": 2, "batch_size": 32, "seeds": [0, 1, 2]},
        arms={"real": ["real"], "synthetic": ["synthetic", "mixed"], "baseline": []},
        sample={"per_view": 40, "evaluations": 7, "batch_size": 50, "guidance": 1.0},
    )
    models, sets, network, classifiers = jobs(params, training_images(params, 500), 1.0)
    assert (models.number, models.steps) == (2, 2 * params.diffusion.steps)
    assert models.hours == pytest.approx(2 * params.diffusion.steps * 2.0 / 3600 / 2)
    # Two sets of 160 images in 4 batches of 7 evaluations.
    assert (sets.number, sets.steps) == (2, 2 * 4 * 7)
    assert sets.disk == 2 * 160 * round(32 * 32 * 0.75)
    assert (network.number, network.at_once) == (1, 1)
    # Sets of 100, 160, 260 and 500, 160, 660 images, two epochs each, three seeds.
    epochs = [4, 5, 9, 16, 5, 21]
    assert (classifiers.number, classifiers.steps) == (18, 3 * 2 * sum(epochs))
    assert classifiers.disk == 18 * 100


def test_the_study_is_counted_once_it_is_asked_for(speeds: None, params_with: Callable[..., Params]) -> None:
    asked = {
        "run": ["all"],
        "other_budget": {"steps": 1, "epochs": 3},
        "rebalance_subsets": [100],
        "fractions": [0.5],
        "early_subset": 100,
        "early_architectures": ["resnet18", "vgg16"],
        "early_seeds": [0, 1, 2],
    }
    params = params_with(
        study=asked,
        classifier={"budget": "steps", "seeds": [0, 1], "batch_size": 32},
        split={"subsets": [100, "all"]},
        sample={"per_view": 40},
    )
    _, sets, *_, first, other = jobs(params, {"100": 100, "all": 500}, 1.0)
    assert sets.number == 2 + 1  # one more for other sources
    # 13 ways to rebalance; 6 arms of other sources; none, 0.5 and twice the real images on two subsets; three sets of
    # early selection.
    own, twins = (13 + 6) * 2 + 3 * 2 * 2 + 3 * 3, 2 * 2 * 2
    assert (first.number, other.number) == (own + twins, 3 * 3)
    assert other.steps == 9 * params.classifier.steps and first.disk == 0
    # Real and synthetic images under the other budget: 100 and 500 of the former, 160 of the latter, twice.
    assert first.steps == own * params.classifier.steps + 2 * 3 * (4 + 16 + 5 + 5)


def test_guidance_takes_two_passes(speeds: None, params_with: Callable[..., Params]) -> None:
    plain, guided = (
        list(jobs(params_with(sample={"guidance": guidance}), {"100": 100}, 1.0))[1].steps for guidance in (1.0, 2.0)
    )
    assert guided == 2 * plain


def test_images_are_those_of_the_split_or_have_to_be_said(speeds: None, params: Params) -> None:
    with pytest.raises(EchosynthError, match=r"metrics\.json is not there yet: say how many .* with --images"):
        training_images(params, None)
    folder = Path("data/split")
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps({"by_view": {"train": {"A2C": 10, "A4C": 30}}}))
    assert training_images(params, None) == {"100": 100, "400": 400, "all": 40}
    assert training_images(params, 77)["all"] == 77


def test_what_does_not_fit_into_the_time_is_reckoned_from_small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, done = [0.0], list[int]()
    monkeypatch.setattr(probe.time, "monotonic", lambda: clock[0])

    def step(images: int) -> None:
        done.append(images)
        clock[0] += 0.5 * images

    network = probe.nn.Linear(3, 4)
    slow = timed(step, network, 100, budget=10.0)
    assert slow.seconds == 50.0 and done == [2, 2]
    assert slow.weights == 4 * (12 + 4)
    done.clear()
    assert timed(step, network, 4, budget=10.0).seconds == 2.0
    assert done == [2, 2, 4, 4, 4, 4]
