"""What the report reads of the pipeline's folders."""

import numpy as np
import pandas as pd
import pytest

from echosynth.common import paths
from echosynth.common.views import VIEWS
from echosynth.imagesets.store import read_images
from echosynth.report.study.inputs import Inputs


@pytest.mark.parametrize("generator", ["diffusion", "gaussian", "mixup"])
@pytest.mark.usefixtures("tree")
def test_examples_of_a_synthetic_set_are_the_first_of_each_view_by_id(inputs: Inputs, generator: str) -> None:
    folder = paths.synthetic_set(generator, "500")
    manifest = pd.read_csv(folder / "manifest.csv")
    found = inputs.diffusion["500"].sets[generator].examples
    assert list(found) == list(VIEWS)
    for view, images in found.items():
        ids = sorted(manifest.loc[manifest["view"] == view, "id"])[: len(images)]
        assert len(images) > 1
        assert np.array_equal(images, read_images(folder, ids))
