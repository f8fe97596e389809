"""Let a torchvision that was built for another torch be imported all the same.

torchvision's wheel on the package index is built for CUDA. Beside a CPU build of torch its compiled operators do not
load, and its Python code then stops at `operator torchvision::nms does not exist`. None of what this project uses
(models, transforms, and the parts that timm, pytorch-fid and diffusers import) needs these operators: it is enough
that their schemas are known. A good install is not touched.
"""

import importlib
import sys

import torch

_missing: list[torch.library.Library] = []  # a library's schemas live as long as this object


def make_importable() -> None:
    """Import torchvision; after the one failure described above, declare the two schemas and import it again."""
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        for name in [name for name in sys.modules if name == "torchvision" or name.startswith("torchvision.")]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "FRAGMENT")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _missing.append(library)
        importlib.import_module("torchvision")
