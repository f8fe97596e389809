"""Versions on the same test images, in a small project whose networks are pretended."""

from pathlib import Path

import pytest
from tests.registry.pretended import TESTED, add

from echosynth.common.errors import EchosynthError
from echosynth.config.parameters import Params
from echosynth.registry.scoring import compare_models


def test_versions_are_compared_on_the_same_images(project: Path, params: Params) -> None:
    add(0.95)
    add(0.8, **{"data.split": "f" * 32})
    found = compare_models("1", "2", params)
    assert found["versions"] == ["1", "2"]
    assert (found["images"], found["patients"]) == (TESTED, TESTED // 2)
    one, two = found["scores"]["test.macro_f1"]
    difference = found["differences"]["macro_f1"]
    assert difference["value"] == pytest.approx(one - two)
    assert 0 < difference["interval"][0] < difference["value"] < difference["interval"][1]
    assert len(found["notes"]) == 1 and found["notes"][0].startswith("version 2 comes from another split")
    with pytest.raises(EchosynthError, match="holds no 7"):
        compare_models("1", "7", params)
