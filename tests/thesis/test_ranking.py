"""Early selection: what is trained on what, and how the trainings are judged."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from echosynth.common.errors import EchosynthError, OptionError
from echosynth.config.parameters import Params
from echosynth.evaluation.comparison import ScoredClassifier
from echosynth.evaluation.scores import evaluate
from echosynth.imagesets.dataset import LabelledImages
from echosynth.thesis import ranking
from echosynth.thesis.cells import Cell

NAMES = ["resnet18", "densenet121", "vgg16"]
STUDY = {"early_architectures": NAMES, "early_seeds": [0, 1], "early_subset": 100}


def images(count: int, source: str = "tmed2") -> LabelledImages:
    names = np.array([f"{source}-{number}" for number in range(count)])
    return LabelledImages(np.zeros((count, 8, 8), np.uint8), np.arange(count) % 4, names, np.full(count, source), names)


def test_each_architecture_is_trained_on_three_sets_with_each_seed(
    params_with: Callable[..., Params], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, list[Cell], list[Path]]] = []
    monkeypatch.setattr(
        ranking, "run_cells", lambda _, size, __, cells, ___, inputs: asked.append((size, cells, inputs))
    )
    ranking.rank(params_with(study=STUDY))
    (size, cells, inputs), trained = asked[0], []
    assert size == "100"
    assert len(cells) == len({cell.folder for cell in cells}) == 3 * 3 * 2
    assert {(cell.arm, cell.subset) for cell in cells} == {("all real", "all"), ("real", "100"), ("synthetic", "100")}
    assert Path("data/synthetic/100") in inputs

    def train(settings: object, architecture: str, seed: int, data: LabelledImages, name: str) -> SimpleNamespace:
        trained.append((architecture, seed, len(data.labels), data.synthetic))
        return SimpleNamespace(network=None, steps=7, seconds=0.5)

    monkeypatch.setattr(ranking, "train", train)
    monkeypatch.setattr(ranking, "predict", lambda *_: np.full((12, 4), 0.25))
    monkeypatch.setattr(ranking, "subset", lambda _, size: images(100 if size == "100" else 400))
    monkeypatch.setattr(ranking, "synthetic", lambda _: images(50, "synthetic"))
    monkeypatch.setattr(ranking, "validation", lambda _: images(12))
    outcomes = [ranking.train_one(params_with(study=STUDY), cell) for cell in (cells[0], cells[6], cells[-1])]
    assert trained == [("resnet18", 0, 400, 0), ("resnet18", 0, 100, 0), ("vgg16", 1, 50, 50)]
    assert [(one.images, one.synthetic, one.steps, one.seconds) for one in outcomes] == [
        (400, 0, 7, 0.5), (100, 0, 7, 0.5), (50, 50, 7, 0.5)
    ]  # fmt: skip


@pytest.mark.parametrize("subset", ["all", 50])
def test_the_few_images_are_one_of_the_subsets_but_the_last(params_with: Callable[..., Params], subset: str) -> None:
    with pytest.raises(EchosynthError, match=f"study.early_subset = {subset} must be one of .* but the last: 100, 400"):
        ranking.rank(params_with(study=STUDY | {"early_subset": subset}))


def test_an_unknown_network_is_one_sentence(
    params_with: Callable[..., Params], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(name: str) -> None:
        raise OptionError(f"{name!r} is no network")

    monkeypatch.setattr(ranking, "check_known", unknown)
    with pytest.raises(EchosynthError, match=r"study\.early_architectures: 'resnet18' is no network"):
        ranking.rank(params_with(study=STUDY))


def test_the_rankings_are_judged(params_with: Callable[..., Params], monkeypatch: pytest.MonkeyPatch) -> None:
    """Synthetic images rank as all real ones do, few real ones the other way round."""
    held_out, rng = images(80), np.random.default_rng(0)
    skill = {"all real": [3.0, 2.0, 1.0], "synthetic": [1.5, 1.0, 0.5], "real": [0.5, 1.0, 1.5]}
    runs = []
    for arm, strengths in skill.items():
        for (name, strength), seed in ((pair, seed) for pair in zip(NAMES, strengths, strict=True) for seed in (0, 1)):
            logits = np.round(strength * np.eye(4)[held_out.labels] + rng.normal(size=(80, 4)), 6)
            probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
            facts = {"arm": arm, "architecture": name, "seed": seed, "real_images": 100}
            scores = evaluate(probabilities, held_out.labels, held_out.groups, held_out.sources)
            runs.append(ScoredClassifier(facts, scores, probabilities))
    monkeypatch.setattr(ranking, "read_cells", lambda *_: runs)
    monkeypatch.setattr(ranking, "validation", lambda _: held_out)
    result = ranking.ranking(params_with(study=STUDY, classifier={"bootstrap": 200}))
    assert [row["architecture"] for row in result["architectures"]] == NAMES
    assert result["architectures"][0]["all real"] == pytest.approx(
        np.mean([run.scores["macro_auprc"] for run in runs[:2]])
    )
    assert (result["subset"], result["real_images"], result["seeds"]) == ("100", 100, 2)
    assert result["early"]["synthetic"]["tau"]["value"] == 1
    assert result["early"]["synthetic"]["regret"]["value"] == 0
    assert result["early"]["real"]["tau"]["value"] == -1
    assert result["early"]["synthetic"]["versus"]["tau"]["interval"][0] > 0
