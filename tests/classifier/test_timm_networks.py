"""timm's networks, each from its own file."""

import subprocess
import sys
from typing import get_args

import pytest

from echosynth.classifier.options import SMALLEST_SIDE, Architecture
from echosynth.classifier.timm_networks import FAMILIES

SAME = """
import sys
import torch
from echosynth.classifier.timm_networks import FAMILIES, create
from echosynth.compute.torchvision_schemas import make_importable

def drawn(make):
    torch.manual_seed(3)
    return make().state_dict()

alone = {name: drawn(lambda: create(name, 1, 4)) for name in FAMILIES}
left = [name for name in sys.modules if name.partition(".")[0] in ("timm", "torchvision")]
assert not left, left
make_importable()
import timm
for name, found in alone.items():
    extra = {"aux_logits": False} if name == "inception_v3" else {}
    whole = drawn(lambda: timm.create_model(name, pretrained=False, in_chans=1, num_classes=4, **extra))
    assert list(found) == list(whole), name
    assert all(torch.equal(found[key], whole[key]) for key in whole), name
assert timm.models.resnet.resnet18 and timm.data.create_transform
print("same")
"""


def test_every_architecture_has_a_family() -> None:
    assert list(FAMILIES) == list(SMALLEST_SIDE) == list(get_args(Architecture))


@pytest.mark.slow
def test_a_network_from_its_own_file_is_that_of_the_whole_library() -> None:
    found = subprocess.run([sys.executable, "-c", SAME], capture_output=True, text=True, check=False)
    assert found.stdout == "same\n", found.stderr
