"""Sets with other numbers of images a view."""

from itertools import combinations

import numpy as np
import pytest
from imblearn.over_sampling import SMOTE

from echosynth.common.errors import EchosynthError
from echosynth.imagesets.dataset import LabelledImages
from echosynth.imagesets.rebalance import SMOTE_ID, first_of_each_view, oversampled, smote


def labelled(counts: list[int], side: int = 8, name: str = "tmed2") -> LabelledImages:
    """So many images of noise of each view, over the whole range of grey levels, views in turn as far as they go."""
    labels = np.array([view for turn in range(max(counts)) for view in range(4) if turn < counts[view]])
    images = np.random.default_rng(len(labels)).integers(0, 256, (len(labels), side, side), dtype=np.uint8)
    ids = np.array([f"{name}-{number:06d}" for number in range(len(labels))])
    return LabelledImages(images, labels, ids, np.full(len(labels), name), ids)


def test_oversampling_to_a_number_gives_that_many_of_every_view() -> None:
    real = labelled([3, 9, 20, 1])
    data = oversampled(real, 0, 9)
    assert set(data.by_view().values()) == {9}
    for view, most in zip(range(4), (3, 1, 1, 9), strict=True):
        times = np.unique(data.ids[data.labels == view], return_counts=True)[1]
        assert times.max() == most  # nothing is copied twice before all were copied once
        assert len(times) == min(9, (real.labels == view).sum())
    assert oversampled(real, 0, 20).hash() == oversampled(real, 0).hash()


@pytest.mark.parametrize("count", [2, 3, 4])
def test_smote_lies_between_two_images_of_the_view(count: int) -> None:
    real = labelled([count, 9, 4, 9])
    data, notes = smote(real, 3)
    assert set(data.by_view().values()) == {9}
    assert data.rows(np.arange(len(real.ids))).hash() == real.hash()  # the real ones come first, as they are
    new = data.rows(np.char.startswith(data.ids, SMOTE_ID))
    assert len(new.ids) == (9 - count) + 5
    assert len(set(data.ids)) == len(data.ids)
    assert data.synthetic == 0  # no generator made them
    assert f"{count - 1} neighbour" in notes["A2C"]
    assert "3 neighbours instead of 5: there are 4" in notes["PLAX"]
    for image, label in zip(new.images.astype(float), new.labels, strict=True):
        left = []
        for a, b in combinations(real.images[real.labels == label].astype(float), 2):
            share = np.clip(((image - a) * (b - a)).sum() / ((b - a) ** 2).sum(), 0, 1)
            left.append(np.abs(image - (a + share * (b - a))).max())
        assert min(left) < 1.01  # rounding, twice: of the image, and of the share that was estimated from it


def test_smote_is_that_of_imbalanced_learn() -> None:
    real = labelled([8, 12, 12, 12])
    data, notes = smote(real, 5)
    assert not notes
    floats = np.concatenate([real.images[real.labels == view] for view in (0, 2)]).reshape(20, -1).astype(np.float32)
    made, _ = SMOTE(random_state=5).fit_resample(floats, np.arange(20) >= 8)
    new = data.images[np.char.startswith(data.ids, SMOTE_ID)].reshape(4, -1)
    assert np.array_equal(new, np.rint(made[20:]))


def test_smote_says_what_it_leaves_out() -> None:
    data, notes = smote(labelled([1, 7, 7, 0]), 0)
    assert data.by_view() == {"A2C": 1, "A4C": 7, "PLAX": 7, "PSAX": 0}
    assert notes == {
        "A2C": "left as it is: SMOTE needs 2 images or more, and there is 1",
        "PSAX": "left as it is: SMOTE needs 2 images or more, and there is none",
    }


def test_parts_of_a_set_lie_in_each_other() -> None:
    data = labelled([6, 6, 6, 6], name="synthetic-100")
    small, large = first_of_each_view(data, [1, 2, 3, 0]), first_of_each_view(data, [2, 2, 6, 1])
    assert small.by_view() == {"A2C": 1, "A4C": 2, "PLAX": 3, "PSAX": 0}
    assert set(small.ids) <= set(large.ids)
    assert large.ids.tolist() == [name for name in data.ids if name in set(large.ids)]
    sentence = r"7 synthetic images of PLAX are asked for, and there are 6: .*sample\.per_view"
    with pytest.raises(EchosynthError, match=sentence):
        first_of_each_view(data, [1, 1, 7, 1])
