"""Ways to help rare views: what each is trained on."""

import numpy as np
import pytest

from echosynth.common.errors import EchosynthError
from echosynth.config.parameters import Params
from echosynth.imagesets.dataset import LabelledImages
from echosynth.thesis import material as materials
from echosynth.thesis import rebalancing
from echosynth.thesis.cells import Cell
from echosynth.thesis.material import cells_of
from echosynth.thesis.rebalancing import PARTS, STRATEGIES, largest_in_both, make, material, train

REAL, MADE = [2, 6, 11, 1], [20, 20, 20, 20]


def labelled(counts: list[int], name: str) -> LabelledImages:
    """So many images of each view."""
    labels = np.repeat(np.arange(4), counts)
    images = np.random.default_rng(len(labels)).integers(0, 256, (len(labels), 32, 32), dtype=np.uint8)
    ids = np.array([f"{name}-{number:06d}" for number in range(len(labels))])
    return LabelledImages(images, labels, ids, np.full(len(labels), name), ids)


def real() -> LabelledImages:
    return labelled(REAL, "tmed2")


def made() -> LabelledImages:
    return labelled(MADE, "synthetic-20")


@pytest.fixture
def images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebalancing, "subset", lambda *_: real())
    monkeypatch.setattr(rebalancing, "synthetic", lambda *_: made())
    monkeypatch.setattr(materials, "validation", lambda *_: labelled([3, 3, 3, 3], "tmed2"))


def test_number_and_balance_of_synthetic_images_differ_one_by_one() -> None:
    sets = {part: material(part, real(), made(), 0, 0.2).data.by_view() for part in PARTS}
    counts = {part: list(by.values()) for part, by in sets.items()}
    assert counts["synthetic-few-real"] == REAL
    assert counts["synthetic-few-balanced"] == [5, 5, 5, 5]
    assert counts["synthetic-many-balanced"] == [10, 9, 9, 9]
    assert counts["synthetic-many-real"] == [4, 11, 20, 2]  # 37 in all: of 38, PLAX would show 20.9, rounded to 21
    assert all(material(part, real(), made(), 0, 0.2).data.synthetic == sum(counts[part]) for part in PARTS)


@pytest.mark.parametrize("made_of_each", [1, 3, 11, 500])
def test_the_largest_number_is_that_of_the_view_that_ends_first(made_of_each: int) -> None:
    shares = [8, 32, 54, 6]
    number = largest_in_both(shares, [made_of_each] * 4)
    assert number == pytest.approx(made_of_each / 0.54, abs=1.6)
    assert number * 0.54 < made_of_each + 1
    assert largest_in_both(shares, [500, 500, 500, 0]) <= 8  # as long as a share of 6 in 100 rounds to nothing


def test_every_strategy_says_what_it_is() -> None:
    found = {strategy: material(strategy, real(), made(), 0, 0.3) for strategy in STRATEGIES}
    sizes = {strategy: len(each.data.labels) for strategy, each in found.items() if strategy not in PARTS}
    assert sizes == {
        "real": 20,
        "oversampled": 44,
        "oversampled-to-synthetic": 80,
        "class-weighted": 20,
        "balanced-batches": 20,
        "smote": 34,  # PSAX has one image and stays as it is
        "batch-mixup": 20,
        "backmix": 20,
        "synthetic": 80,
    }
    recipes = {strategy: each.recipe for strategy, each in found.items()}
    assert len(set(recipes.values())) == 5  # four that change the training, and the plain one
    assert recipes["batch-mixup"].alpha == 0.3
    assert set(found["smote"].facts["smote"]) == {"A2C", "PSAX"}


def test_what_cannot_be_made_is_left_out_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, images: None, params: Params, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rebalancing, "synthetic", lambda *_: labelled([6, 6, 6, 6], "synthetic-20"))
    cells, left_out = cells_of(params, "20", PARTS, make)
    assert [cell.arm for cell in cells] == [name for name in PARTS[1:2] for _ in params.classifier.seeds]
    assert "11 synthetic images of PLAX are asked for, and there are 6" in left_out["synthetic-few-real"]
    assert "there are 11 synthetic images at most, no more than the 20 real ones" in left_out["synthetic-many-real"]
    assert set(left_out) == set(PARTS) - {"synthetic-few-balanced"}
    assert capsys.readouterr().err.count("of 20 is left out: ") == 3


def test_a_strategy_is_trained_and_counted(images: None, params: Params) -> None:
    quick = params.classifier.model_copy(update={"steps": 2, "batch_size": 4})
    outcome = train(params.model_copy(update={"classifier": quick}), Cell("smote", "20", "resnet18", 0))
    assert outcome.probabilities.shape == (12, 4)
    assert (outcome.images, outcome.synthetic, outcome.steps) == (34, 0, 2)
    assert outcome.facts["smote"]["A2C"] == "1 neighbours instead of 5: there are 2"


def test_too_few_synthetic_images_are_one_sentence() -> None:
    with pytest.raises(EchosynthError, match=r"of PLAX are asked for, and there are 6: make a larger set"):
        material("synthetic-few-real", real(), labelled([6, 6, 6, 6], "synthetic-20"), 0, 0.2)
