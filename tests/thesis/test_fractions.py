"""Figure 5.17: what each fraction adds, and equal numbers of real images."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from echosynth.common.errors import EchosynthError
from echosynth.common.yaml12 import read_yaml
from echosynth.config.parameters import Params
from echosynth.imagesets.dataset import LabelledImages
from echosynth.splits.split import nested_subsets
from echosynth.thesis import fractions
from echosynth.thesis.cells import Cell
from echosynth.thesis.fractions import TWICE, arms, make, twice

SEED = 3


def labelled(count: int, name: str) -> LabelledImages:
    """Images whose views and sources take turns."""
    number = np.arange(count)
    ids = np.array([f"{name}-{n:06d}" for n in number])
    sources = np.array([f"{name}-{n % 3}" for n in number])
    return LabelledImages(np.zeros((count, 4, 4), np.uint8), number % 4, ids, sources, ids)


EVERY = labelled(100, "tmed2")


def nested(size: int) -> LabelledImages:
    """As stage split draws it."""
    views = np.array(["A2C", "A4C", "PLAX", "PSAX"])[EVERY.labels]
    table = pd.DataFrame({"id": EVERY.ids, "source": EVERY.sources, "view": views, "group": EVERY.groups})
    return EVERY.rows(np.isin(EVERY.ids, nested_subsets(table, [size], SEED)[str(size)]))


@pytest.fixture
def images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fractions, "subset", lambda _, size: EVERY if size == "all" else nested(int(size)))
    monkeypatch.setattr(fractions, "training", lambda *_: EVERY)
    monkeypatch.setattr(fractions, "synthetic", lambda *_: labelled(80, "synthetic-all"))


def cell(arm: str, size: str = "20") -> Cell:
    return Cell(arm, size, "resnet18", 0)


def test_arms_are_named_by_per_cent(params_with: Callable[..., Params]) -> None:
    params = params_with(study={"fractions": [0.07, 0.29, 1.0]})
    assert arms(params) == ["plus-0", "plus-7", "plus-29", "plus-100", TWICE]


def test_a_fraction_adds_so_many_balanced_images(images: None, params: Params) -> None:
    for percent, added in ((0, [0, 0, 0, 0]), (10, [1, 1, 0, 0]), (70, [4, 4, 3, 3]), (100, [5, 5, 5, 5])):
        made = make(params, cell(f"plus-{percent}"))
        assert made.data.ids[:20].tolist() == nested(20).ids.tolist()
        assert list(made.data.rows(np.arange(20, 20 + sum(added))).by_view().values()) == added
        assert made.data.synthetic == sum(added) == len(made.data.labels) - 20
        assert made.facts == {"fraction": percent / 100}


def test_all_may_count_as_the_number_that_the_study_took(images: None, params_with: Callable[..., Params]) -> None:
    by_itself, as_study = params_with(), params_with(arms={"all_counts_as": 110})
    assert make(by_itself, cell("plus-70", "all")).data.synthetic == 70
    assert make(as_study, cell("plus-70", "all")).data.synthetic == 77
    assert make(as_study, cell("plus-70", "20")).data.synthetic == 14


def test_the_final_model_of_the_thesis_is_one_of_them() -> None:
    thesis = read_yaml(Path(__file__).parents[2] / "params/thesis.yaml")
    assert 0.7 in thesis["study"]["fractions"] and "mixed-70" in thesis["arms"]["synthetic"]
    assert round(0.7 * thesis["arms"]["all_counts_as"]) == 22_400


def test_more_synthetic_images_than_there_are_end_in_one_sentence(images: None, params: Params) -> None:
    with pytest.raises(EchosynthError, match=r"25 synthetic images of A2C are asked for, and there are 20: .*fraction"):
        make(params, cell("plus-100", "all"))


@pytest.mark.parametrize("size", [8, 21, 50])
def test_twice_the_real_images_hold_the_subset(size: int) -> None:
    found = twice(nested(size), EVERY, SEED)
    assert len(found.ids) == len(set(found.ids)) == 2 * size
    assert set(nested(size).ids) < set(found.ids)
    assert found.hash() == nested(2 * size).hash()


def test_there_may_be_no_twice_as_many() -> None:
    with pytest.raises(EchosynthError, match="holds 100 images, fewer than twice 51"):
        twice(nested(51), EVERY, SEED)


def test_fractions_rise_by_whole_per_cents(params_with: Callable[..., Params]) -> None:
    for wrong in ([0.5, 0.1], [0.1, 0.1], [0.125]):
        with pytest.raises(EchosynthError, match=r"study\.fractions = .* must rise, each a whole number of per cent"):
            params_with(study={"fractions": wrong})
