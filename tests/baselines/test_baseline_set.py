"""Sets of the baselines: whom their images are made of, and that they are image sets like any other."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from echosynth.baselines.baseline_set import draw, group_of, make_plan, make_set
from echosynth.baselines.options import BaselineParams
from echosynth.common.errors import EchosynthError
from echosynth.common.files import read_json
from echosynth.config.parameters import Params
from echosynth.diffusion.options import SampleParams
from echosynth.imagesets.dataset import LabelledImages, read_labelled
from echosynth.imagesets.store import read_manifest

SETTINGS = BaselineParams(generators=["gaussian", "mixup"], mixup_alpha=1.0)
# View, source, grey level: images of a group have neighbouring greys, groups lie far apart.
GROUPS = [(0, "tmed2", 20), (1, "tmed2", 60), (1, "echonet-dynamic", 100), (2, "tmed2", 140), (3, "tmed2", 180)]


def training(counts: tuple[int, ...] = (3, 3, 3, 3, 3)) -> LabelledImages:
    rows = [
        (view, source, grey + 4 * n)
        for (view, source, grey), number in zip(GROUPS, counts, strict=True)
        for n in range(number)
    ]
    images = np.stack([np.full((8, 8), grey, np.uint8) for _, _, grey in rows])
    ids = np.array([f"tmed2-{number:012x}" for number in range(len(rows))])
    views, sources, _ = zip(*rows, strict=True)
    return LabelledImages(images, np.array(views), ids, np.array(sources), ids)


@pytest.fixture
def options(params: Params) -> SampleParams:
    return params.sample.model_copy(update={"per_view": 30})


@pytest.mark.parametrize("generator", ["gaussian", "mixup"])
def test_images_are_made_of_their_own_view_and_source(generator: Any, options: SampleParams) -> None:
    plan = make_plan(training(), options)
    images = draw(generator, training(), plan, 0, SETTINGS)
    assert plan.counts() == {
        "A2C": {"tmed2": 30},
        "A4C": {"echonet-dynamic": 15, "tmed2": 15},
        "PLAX": {"tmed2": 30},
        "PSAX": {"tmed2": 30},
    }
    for number, image in enumerate(images):
        (grey,) = (grey for view, source, grey in GROUPS if (view, source) == (plan.views[number], plan.source(number)))
        assert grey - 12 <= image.min() and image.max() <= grey + 20  # 4 deviations of the Gaussian


def test_a_group_of_one_image_takes_those_of_its_view(options: SampleParams) -> None:
    few = training((3, 3, 1, 3, 3))
    assert sorted(group_of(few, 1, "echonet-dynamic")[:, 0, 0]) == [60, 64, 68, 100]
    assert sorted(group_of(few, 1, None)[:, 0, 0]) == [60, 64, 68, 100]
    assert sorted(group_of(few, 1, "tmed2")[:, 0, 0]) == [60, 64, 68]


def test_a_view_of_one_image_is_copied_and_that_is_said(
    options: SampleParams, capsys: pytest.CaptureFixture[str]
) -> None:
    few = training((1, 3, 3, 3, 3))
    plan = make_plan(few, options)
    assert (draw("gaussian", few, plan, 0, SETTINGS)[plan.views == 0] == 20).all()
    assert "one training image of A2C, all made are copies of it" in capsys.readouterr().err


def test_a_view_without_images_is_refused(options: SampleParams) -> None:
    with pytest.raises(EchosynthError, match="not seen a single training image of PSAX"):
        make_plan(training((3, 3, 3, 3, 0)), options)


def test_a_source_that_the_subset_lacks_is_named(options: SampleParams) -> None:
    asked = options.model_copy(update={"sources": "echonet-lvh"})
    with pytest.raises(EchosynthError, match="echonet-lvh, but the subset holds echonet-dynamic, tmed2 alone"):
        make_plan(training(), asked)


def test_a_set_is_an_image_set_that_says_it_is_synthetic(tmp_path: Path, options: SampleParams) -> None:
    plan = make_set("mixup", training(), options, SETTINGS, tmp_path / "set", "synthetic-mixup-12")
    manifest = read_manifest(tmp_path / "set")
    assert manifest["synthetic"].all() and manifest["id"][5] == "synthetic-mixup-12-000005"
    made = read_labelled([tmp_path / "set"])
    assert made.synthetic == len(plan) == 120
    assert set(made.sources) == {"synthetic-tmed2", "synthetic-echonet-dynamic"}
    assert np.array_equal(made.images, draw("mixup", training(), plan, options.seed, SETTINGS))
    assert read_json(tmp_path / "set/metrics.json")["by_view"] == dict.fromkeys(("A2C", "A4C", "PLAX", "PSAX"), 30)
