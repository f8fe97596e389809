"""Equal epochs and equal steps: what is trained for how long, and what both say of synthetic images."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score

from echosynth.classifier.train import total_steps
from echosynth.config.parameters import Params
from echosynth.config.presets import with_preset
from echosynth.evaluation.comparison import ScoredClassifier
from echosynth.imagesets.dataset import LabelledImages
from echosynth.thesis import budgets
from echosynth.thesis.budgets import arms, by_arm, effects, make, read_effects, with_other_budget
from echosynth.thesis.cells import Cell

LABELS = np.arange(80) % 4
PATIENTS = np.array([f"patient-{number // 2}" for number in range(80)])


def labelled(count: int, source: str = "tmed2") -> LabelledImages:
    names = np.array([f"{source}-{number}" for number in range(count)])
    images = np.random.default_rng(count).integers(0, 256, (count, 32, 32), dtype=np.uint8)
    return LabelledImages(images, np.arange(count) % 4, names, np.full(count, source), names)


@pytest.fixture
def images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budgets, "subset", lambda *_: labelled(6))
    monkeypatch.setattr(budgets, "synthetic", lambda *_: labelled(17, "synthetic-6"))


def test_the_other_budget_is_the_one_that_is_not_asked_for(params_with: Callable[..., Params]) -> None:
    for asked, other, length in (("steps", "epochs", 7), ("epochs", "steps", 90)):
        params = params_with(classifier={"budget": asked}, study={"other_budget": {"steps": 90, "epochs": 7}})
        found = with_other_budget(params).classifier
        assert (found.budget, getattr(found, other)) == (other, length)
        assert found.model_copy(update={"budget": asked, other: getattr(params.classifier, other)}) == params.classifier


def test_preset_thesis_gives_all_as_many_steps_as_its_synthetic_images_have() -> None:
    params = with_preset("thesis")
    main, other = params.classifier, with_other_budget(params).classifier
    assert (main.budget, other.budget) == ("epochs", "steps")
    assert other.steps == main.epochs * 4 * params.sample.per_view / main.batch_size


def test_only_arms_of_the_main_pipeline_have_a_twin(params_with: Callable[..., Params]) -> None:
    assert arms(params_with()) == ["real", "synthetic"]
    assert arms(params_with(arms={"real": ["oversampled"], "synthetic": ["mixed", "synthetic"]})) == ["synthetic"]


def test_each_image_is_seen_as_often(images: None, params_with: Callable[..., Params]) -> None:
    short = {"budget": "steps", "steps": 1, "batch_size": 4}
    params = with_other_budget(params_with(classifier=short, study={"other_budget": {"steps": 1, "epochs": 2}}))
    for arm, number, steps in (("real", 6, 2 * 2), ("synthetic", 17, 2 * 5)):
        data = make(params, Cell(arm, "6", "resnet18", 0)).data
        assert (len(data.labels), data.synthetic) == (number, number if arm == "synthetic" else 0)
        assert total_steps(params.classifier, len(data.labels)) == steps


def test_all_arms_are_trained_under_it(monkeypatch: pytest.MonkeyPatch, params: Params) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(budgets, "run_arms", lambda *words: asked.append(words))
    budgets.run(params, "100")
    [(question, under, size, names, *_)] = asked
    assert (question, size, names) == ("budgets", "100", ["real", "synthetic"])
    assert under.classifier.budget == "epochs" and params.classifier.budget == "steps"


def run(arm: str, seed: int, skill: float) -> ScoredClassifier:
    """Probabilities that are the more right the larger the skill; the chance of both arms is one seed's."""
    noise = np.random.default_rng(seed).random((len(LABELS), 4))
    scores = noise + skill * np.eye(4)[LABELS]
    return ScoredClassifier({"arm": arm}, {}, scores / scores.sum(1, keepdims=True))


def four(skills: tuple[float, float, float, float], seeds: int = 2) -> dict[Any, Any]:
    """Real and synthetic under equal steps, then under equal epochs."""
    pairs = {"steps": skills[:2], "epochs": skills[2:]}
    return {
        budget: by_arm(
            [
                run(arm, 10 * seed + place, skill)
                for place, (arm, skill) in enumerate(zip(("real", "synthetic"), pair, strict=True))
                for seed in range(seeds)
            ]
        )
        for budget, pair in pairs.items()
    }


def test_effects_are_differences_of_means_and_their_difference() -> None:
    runs = four((0.6, 0.7, 0.1, 0.8))
    found = effects(runs, LABELS, PATIENTS, 0, 0)
    for name, score in (
        ("macro_auprc", lambda one: average_precision_score(np.eye(4)[LABELS], one.probabilities, average="macro")),
        ("macro_f1", lambda one: f1_score(LABELS, one.probabilities.argmax(1), average="macro")),
    ):
        means = {
            (budget, arm): np.mean([score(one) for one in each])
            for budget in runs
            for arm, each in runs[budget].items()
        }
        added = {budget: means[budget, "synthetic"] - means[budget, "real"] for budget in runs}
        assert found[name]["steps"]["value"] == pytest.approx(added["steps"])
        assert found[name]["epochs"]["value"] == pytest.approx(added["epochs"])
        assert found[name]["change"]["value"] == pytest.approx(added["epochs"] - added["steps"])
        assert all(each["interval"] == [None, None] for each in found[name].values())


def test_each_training_stands_under_its_own_budget(
    monkeypatch: pytest.MonkeyPatch, params_with: Callable[..., Params]
) -> None:
    runs = four((0.6, 0.7, 0.1, 0.8))
    held_out = LabelledImages(np.zeros((80, 8, 8), np.uint8), LABELS, PATIENTS, np.full(80, "tmed2"), PATIENTS)
    monkeypatch.setattr(budgets, "validation", lambda *_: held_out)

    def of(budget: str) -> list[ScoredClassifier]:
        return [one for each in runs[budget].values() for one in each]

    for main, other in (("steps", "epochs"), ("epochs", "steps")):
        monkeypatch.setattr(budgets, "stored_classifiers", lambda *_, main=main: of(main))
        monkeypatch.setattr(budgets, "read_cells", lambda *_, other=other: of(other))
        found = read_effects(params_with(classifier={"budget": main, "bootstrap": 0}), "60")
        assert found == effects(runs, LABELS, PATIENTS, 0, 0)


def test_draws_are_paired_where_classifiers_are_the_same() -> None:
    one = {"real": [run("real", 0, 0.5)], "synthetic": [run("synthetic", 1, 0.9)]}
    found = effects({"steps": one, "epochs": one}, LABELS, PATIENTS, 200, 0)["macro_auprc"]
    assert found["steps"] == found["epochs"]
    low, high = found["steps"]["interval"]
    assert 0 < low < found["steps"]["value"] < high
    assert found["change"]["value"] == 0 and found["change"]["interval"] == [0, 0]  # of the same patients: no chance


def test_the_chance_of_training_widens_intervals() -> None:
    def width(runs: dict[Any, Any], which: str) -> float:
        low, high = effects(runs, LABELS, PATIENTS, 400, 0)["macro_auprc"][which]["interval"]
        return float(high - low)

    alike = {
        budget: {arm: [each[0]] * 2 for arm, each in by.items()} for budget, by in four((0.5, 0.5, 0.5, 0.5)).items()
    }
    apart = four((0.5, 0.5, 0.5, 0.5))
    assert width(apart, "steps") > width(alike, "steps")
    assert width(apart, "change") > width(alike, "change")
    runs = four((0.5, 0.9, 0.05, 1.2), seeds=3)
    low, high = effects(runs, LABELS, PATIENTS, 400, 0)["macro_auprc"]["change"]["interval"]
    assert 0 < low < high
