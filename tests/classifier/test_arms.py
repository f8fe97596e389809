"""What each arm is trained on."""

from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from echosynth.baselines.options import Baseline
from echosynth.classifier.arms import classifier_folder, training_set
from echosynth.classifier.options import BaselineArm, RealArm, generator_of
from echosynth.common.errors import EchosynthError
from echosynth.config.parameters import Params
from echosynth.imagesets.dataset import LabelledImages

CELL = Path("models/classifiers/synthetic-100-resnet18")


def labelled(name: str, greys: list[int], views: list[int]) -> LabelledImages:
    """Images of one grey level each."""
    images = np.array(greys, np.uint8)[:, None, None] * np.ones((1, 2, 2), np.uint8)
    ids = np.array([f"{name}-{number}" for number in range(len(greys))])
    return LabelledImages(images, np.array(views), ids, np.full(len(greys), name), ids)


def real() -> LabelledImages:
    return labelled("tmed2", list(range(11)), [0, 0, 1, 1, 1, 1, 1, 2, 3, 3, 3])


def test_oversampling_copies_real_images_to_the_largest_view() -> None:
    data = training_set("oversampled", real(), None, 0)
    assert data.by_view() == {"A2C": 5, "A4C": 5, "PLAX": 5, "PSAX": 5}
    assert data.synthetic == 0
    origin = data.images[:, 0, 0]
    assert np.array_equal(real().labels[origin], data.labels)  # every copy keeps its own view
    assert set(origin) == set(range(11))  # nothing is lost
    assert np.bincount(origin)[[0, 1]].max() <= 3  # copies are spread evenly


def test_oversampling_needs_every_view() -> None:
    with pytest.raises(EchosynthError, match="PLAX"):
        training_set("oversampled", real().rows(np.arange(7)), None, 0)


def test_mixed_holds_both_and_counts_the_synthetic_ones() -> None:
    made = labelled("synthetic-all", [99] * 4, [0, 1, 2, 3])
    data = training_set("mixed", real(), made, 0)
    assert (len(data.images), data.synthetic) == (15, 4)
    assert data.by_view() == {"A2C": 3, "A4C": 6, "PLAX": 2, "PSAX": 4}
    assert data.images[:, 0, 0].tolist() == [*range(11), 99, 99, 99, 99]
    assert data.ids.tolist() == [*real().ids, *made.ids]
    assert training_set("synthetic", real(), made, 0) is made
    assert training_set("gaussian", real(), made, 0) is made
    assert training_set("mixed-gaussian", real(), made, 0).ids.tolist() == data.ids.tolist()


def test_every_arm_names_whose_images_it_holds() -> None:
    assert {arm: generator_of(arm) for arm in (*get_args(RealArm), "synthetic", "mixed")} == {
        "real": None,
        "oversampled": None,
        "synthetic": "diffusion",
        "mixed": "diffusion",
    }
    assert {generator_of(arm) for arm in get_args(BaselineArm)} == set(get_args(Baseline))


def test_a_per_cent_of_synthetic_images_is_as_many_of_each_view() -> None:
    made = labelled("synthetic-all", list(range(100, 112)), [0, 1, 2, 3] * 3)
    data = training_set("mixed-70", real(), made, 0)  # of 11 images: 8
    assert data.ids.tolist() == [*real().ids, *made.ids[:8]]
    assert training_set("mixed-70", real(), made, 0, worth=13).by_view() == {"A2C": 5, "A4C": 7, "PLAX": 3, "PSAX": 5}
    with pytest.raises(EchosynthError, match=r"4 synthetic images of A2C are asked for, and there are 3: .*per_view"):
        training_set("mixed-110", real(), made, 0, worth=14)


def test_arms_with_a_per_cent_are_of_the_diffusion_model(params_with: Callable[..., Params]) -> None:
    arms = params_with(arms={"synthetic": ["mixed-70", "mixed"], "all_counts_as": 320}).arms
    assert arms.of_group("synthetic") == ["mixed-70", "mixed"] and generator_of("mixed-70") == "diffusion"
    assert (arms.worth("all"), arms.worth("100")) == (320, 0)
    assert classifier_folder("mixed-70", 100, "resnet18", 2).parent == CELL / "mixed-70"
    for wrong in ("mixed-0", "mixed-7.5", "mixed-gaussian", "plus-70"):
        with pytest.raises(EchosynthError, match=rf"arms\.synthetic\.0: '{wrong}' is none of synthetic, mixed and"):
            params_with(arms={"synthetic": [wrong]})


@pytest.mark.parametrize("arm", ["synthetic", "mixed", "mixed-70", "mixup"])
def test_synthetic_arms_need_a_synthetic_set(arm: str) -> None:
    with pytest.raises(EchosynthError, match=arm):
        training_set(arm, real(), None, 0)


def test_arms_are_trained_in_groups(params_with: Callable[..., Params]) -> None:
    lists = {"real": ["oversampled"], "synthetic": ["mixed", "synthetic"], "baseline": ["mixed-gaussian"]}
    arms = params_with(arms=lists).arms
    assert arms.of_group("real") == ["oversampled"]
    assert arms.of_group("synthetic") == ["mixed", "synthetic"]
    assert arms.of_group("mixed-gaussian") == ["mixed-gaussian"]
    assert arms.of_group("gaussian") == []
    assert {generator_of(arm) for arm in arms.of_group("synthetic")} == {generator_of("synthetic")}
    folder = classifier_folder("mixed", 100, "resnet18", 2)
    assert folder == CELL / "mixed/seed-2"


def test_a_list_of_arms_may_be_empty_where_another_has_what_can_be_the_final_model(
    params_with: Callable[..., Params],
) -> None:
    assert params_with(arms={"real": [], "baseline": []}).arms.names == ["synthetic", "mixed"]
    assert params_with(arms={"synthetic": [], "baseline": []}).arms.of_group("synthetic") == []
    with pytest.raises(EchosynthError, match=r"arms\.real and arms\.synthetic are both empty"):
        params_with(arms={"real": [], "synthetic": []})
