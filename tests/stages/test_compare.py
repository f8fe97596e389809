"""The stage `compare`: who judges the views of synthetic images, and which images."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from echosynth.common import paths
from echosynth.common.views import VIEWS
from echosynth.config.parameters import Params
from echosynth.evaluation.comparison import ScoredClassifier
from echosynth.imagesets.dataset import LabelledImages
from echosynth.imagesets.store import write_image_set
from echosynth.stages import compare

VALIDATION = LabelledImages(np.zeros((4, 32, 32), np.uint8), np.arange(4), *[np.array([*"abcd"])] * 3)


def scored(arm: str, subset: str, seed: int, seen: list[int], architecture: str = "resnet18") -> ScoredClassifier:
    facts = {"arm": arm, "subset": subset, "seed": seed, "architecture": architecture}
    return ScoredClassifier(facts | {"real_images": {"12": 12, "all": 99}[subset]}, {}, np.eye(4)[seen])


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, params_with: Callable[..., Params]) -> Params:
    """Sets of eight images, whose grey says which view a judge sees: the intended one in every set but mixup's, where
    it is that only in the first half."""
    monkeypatch.chdir(tmp_path)
    views = [*range(4)] * 2
    for subset in ("12", "all"):
        for generator in ("diffusion", "mixup"):
            seen = views if generator == "diffusion" else [*range(4), 0, 0, 0, 0]
            images = np.array(seen, np.uint8)[:, None, None] * np.ones((1, 32, 32), np.uint8)
            ids = [f"synthetic-{generator}-{subset}-{number:06d}" for number in range(8)]
            facts = {"id": ids, "source": "synthetic", "view": [VIEWS[view] for view in views], "group": ids}
            facts |= {"group_kind": "none", "official_split": "", "moment": "", "frame": 0, "frames": 1}
            table = pd.DataFrame(facts | {"width": 32, "height": 32, "synthetic": True})
            write_image_set(paths.synthetic_set(generator, subset), images, table)
    monkeypatch.setattr(compare, "has_weights", lambda folder: folder.name != "seed-9")
    monkeypatch.setattr(compare, "load", lambda folder, device: (folder, None))
    monkeypatch.setattr(compare, "predict", lambda network, images: np.eye(4)[images[:, 0, 0]])
    return params_with(split={"subsets": [12, "all"]}, baselines={"generators": ["mixup"]}, arms={"baseline": []})


def test_classifiers_of_the_most_real_images_and_of_nothing_else_judge(project: Params) -> None:
    runs = [scored("real", "12", 0, [1, 1, 1, 1]), scored("mixed", "all", 0, [1, 1, 1, 1])]
    runs += [scored("real", "all", 0, [0, 1, 2, 3]), scored("real", "all", 1, [0, 1, 0, 0])]
    runs += [scored("real", "all", 0, [1, 1, 1, 1], "vgg16"), scored("real", "all", 9, [1, 1, 1, 1])]
    found = compare.agreement(project, runs, VALIDATION)
    assert found is not None
    assert found["judges"] == {"subset": "all", "architecture": "resnet18", "number": 2}
    assert found["real"]["macro"] == pytest.approx((1 + 0.5) / 2)
    sets = {(one["generator"], one["subset"]): one["macro"] for one in found["sets"]}
    assert sets == {
        ("diffusion", "12"): 1,
        ("mixup", "12"): pytest.approx((1 + 0.5 * 3) / 4),
        ("diffusion", "all"): 1,
        ("mixup", "all"): pytest.approx((1 + 0.5 * 3) / 4),
    }


def test_the_first_images_of_a_set_are_judged(project: Params) -> None:
    few = project.fidelity.model_copy(update={"count": 4})
    found = compare.agreement(
        project.model_copy(update={"fidelity": few}), [scored("real", "12", 0, [0] * 4)], VALIDATION
    )
    assert found is not None
    assert [(one["images"], one["macro"]) for one in found["sets"]] == [(4, 1)] * 4


def test_nobody_judges_where_no_classifier_saw_real_images_alone(project: Params) -> None:
    assert compare.agreement(project, [scored("mixed", "all", 0, [0, 1, 2, 3])], VALIDATION) is None
