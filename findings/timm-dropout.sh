#!/usr/bin/env bash
# VGG16 of timm has no dropout, where torchvision's of the same name drops half of its two wide layers.
#
# A good engineer's guess: a network of the paper's name is the paper's network, and the two libraries' differ in how the layers
# are called. With `timm.create_model("vgg16")` both dropout layers are there, in the same places, with a share of 0. A study that
# was made with torchvision trains another network when it is repeated with timm: from few images the difference is large.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check torch==2.14.1 torchvision==0.29.1 timm==1.0.31

venv/bin/python - <<'PY'
import timm
import torch
import torchvision

print(f"timm {timm.__version__}, torchvision {torchvision.__version__}")
networks = {
    "timm": timm.create_model("vgg16", num_classes=4),
    "torchvision": torchvision.models.vgg16(num_classes=4),
}
shares = {
    name: [module.p for module in network.modules() if isinstance(module, torch.nn.Dropout)]
    for name, network in networks.items()
}
print("dropout:", shares)
weights = {name: sum(parameter.numel() for parameter in network.parameters()) for name, network in networks.items()}
print("weights:", weights)
assert weights["timm"] == weights["torchvision"]
assert shares["torchvision"] == [0.5, 0.5]
assert shares["timm"] and set(shares["timm"]) == {0.0}
PY
