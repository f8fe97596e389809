"""timm's networks, each from its own file."""

import subprocess
import sys

import pytest

from echosynth.classifier.options import SMALLEST_SIDE, SMALLEST_SINGLE_SIDE, check_batch, check_side
from echosynth.classifier.timm_networks import FAMILIES, check_known, trains_on
from echosynth.common.errors import OptionError

SAME = """
import sys
import torch
from echosynth.classifier.as_in_pytorch import finished, options
from echosynth.classifier.timm_networks import FAMILIES, create
from echosynth.compute.torchvision_schemas import make_importable

def drawn(make):
    torch.manual_seed(3)
    return make().state_dict()

alone = {name: drawn(lambda: create(name, 1, 4, 32)) for name in FAMILIES}
left = [name for name in sys.modules if name.partition(".")[0] in ("timm", "torchvision")]
assert not left, left
make_importable()
import timm
for name, found in alone.items():
    extra = options(name)
    whole = drawn(lambda: finished(name, timm.create_model(name, pretrained=False, in_chans=1, num_classes=4, **extra)))
    assert list(found) == list(whole), name
    assert all(torch.equal(found[key], whole[key]) for key in whole), name
assert timm.models.resnet.resnet18 and timm.data.create_transform
print("same")
"""


def test_every_architecture_of_the_study_has_a_family() -> None:
    assert list(FAMILIES) == list(SMALLEST_SIDE) == list(SMALLEST_SINGLE_SIDE)


@pytest.mark.parametrize("architecture", FAMILIES)
def test_the_sides_that_are_known_are_those_that_a_network_says(architecture: str) -> None:
    assert trains_on(architecture, SMALLEST_SIDE[architecture], 2)
    single = SMALLEST_SINGLE_SIDE[architecture]
    assert not trains_on(architecture, (single or 300) - 1, 1)
    assert single is None or trains_on(architecture, single, 1)


def test_any_network_of_timm_may_be_asked_for() -> None:
    for name in ("mobilenetv3_small_050", "vit_tiny_patch16_224"):  # the second is made for one size
        check_known(name)
        check_side("arms.architectures", name, 32)
    with pytest.raises(
        OptionError, match=r"^arms\.architectures: vit_tiny_patch16_224 needs ingest.size of at least 16"
    ):
        check_side("arms.architectures", "vit_tiny_patch16_224", 8)
    with pytest.raises(OptionError, match=r"^key = 1 is too few for mobilenetv3_small_050, .* below 40 \(it is 32\)"):
        check_batch("key", 1, "mobilenetv3_small_050", 32)
    check_batch("key", 1, "mobilenetv3_small_050", 40)


@pytest.mark.parametrize("name", ["resnet81", "hf-hub:timm/resnet18", "../resnet18"])
def test_an_unknown_network_is_named(name: str) -> None:
    with pytest.raises(OptionError, match=r"is no network of timm's; (did you mean resnet18|timm.list_models)"):
        check_known(name)


@pytest.mark.slow
def test_a_network_from_its_own_file_is_that_of_the_whole_library() -> None:
    found = subprocess.run([sys.executable, "-c", SAME], capture_output=True, text=True, check=False)
    assert found.stdout == "same\n", found.stderr
