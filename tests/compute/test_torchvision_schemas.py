"""torchvision becomes importable beside any build of torch, and a good install is left alone."""

import subprocess
import sys

import pytest


def python(script: str) -> str:
    """Output of a script in a fresh interpreter."""
    done = subprocess.run([sys.executable, "-c", script], check=True, text=True, capture_output=True)
    return done.stdout.strip()


def test_timm_diffusers_and_pytorch_fid_can_be_imported_after_it() -> None:
    script = (
        "from echosynth.compute.torchvision_schemas import make_importable\n"
        "make_importable()\n"
        "import timm, pytorch_fid.inception, torchvision.transforms\n"
        "from diffusers.models import UNet2DModel\n"
        "print('imported')"
    )
    assert python(script).endswith("imported")


def test_an_install_without_that_failure_is_not_touched() -> None:
    script = (
        "import sys, types\n"
        "sys.modules['torchvision'] = types.ModuleType('torchvision')\n"
        "import echosynth.compute.torchvision_schemas as shim\n"
        "shim.make_importable()\n"
        "print(len(shim._missing), vars(sys.modules['torchvision']).get('__file__'))"
    )
    assert python(script) == "0 None"


def test_other_failures_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    from echosynth.compute import torchvision_schemas as _torchvision

    def fail(name: str) -> None:
        raise RuntimeError("another reason")

    monkeypatch.setattr(_torchvision.importlib, "import_module", fail)
    with pytest.raises(RuntimeError, match="another reason"):
        _torchvision.make_importable()
