"""Random draws and tensors."""

import numpy as np
import pytest
import torch

from echosynth.common.errors import EchosynthError
from echosynth.compute import device
from echosynth.compute.device import (
    autocast,
    computes_bf16,
    memory_explained,
    mixed_seed,
    resolved,
    step_generator,
    to_tensor,
)

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def test_draws_depend_on_seed_and_counters_alone() -> None:
    first = torch.randn(4, generator=step_generator(1, 2, 3))
    torch.randn(100)  # the global state plays no part
    assert torch.equal(first, torch.randn(4, generator=step_generator(1, 2, 3)))
    others = [(1, 2, 4), (1, 3, 3), (2, 2, 3), (1, 2)]
    assert len({mixed_seed(*words) for words in [(1, 2, 3), *others]}) == 5


def test_pictures_become_tensors_between_minus_one_and_one() -> None:
    tensor = to_tensor(np.array([[[0, 255], [51, 204]]], np.uint8))
    assert tensor.shape == (1, 1, 2, 2)
    assert torch.allclose(tensor.flatten(), torch.tensor([-1.0, 1.0, -0.6, 0.6]))


def test_precision_is_what_the_device_can_do() -> None:
    assert resolved(CPU, "auto") == ("bf16" if computes_bf16(CPU) else "no")
    assert (resolved(CPU, "fp32"), resolved(CPU, "bf16")) == ("no", "bf16")
    with autocast(CPU, "bf16"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16


def test_a_precision_that_cannot_be_had_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EchosynthError, match="precision = fp16 needs a CUDA GPU"):
        resolved(CPU, "fp16")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Old Card")
    with pytest.raises(EchosynthError, match="precision = bf16, but Old Card does not compute it; use auto, fp16"):
        resolved(GPU, "bf16")
    assert (resolved(GPU, "auto"), resolved(GPU, "fp16")) == ("no", "fp16")


def test_a_cpu_decides_by_what_was_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in PyTorch, a CPU that emulates bf16 computes in it where it is told to; but it says how slow that is."""
    device._say_emulated.cache_clear()
    monkeypatch.setattr(device, "bf16_gain", lambda: 1.2)
    assert (resolved(CPU, "auto"), resolved(CPU, "bf16")) == ("bf16", "bf16")
    monkeypatch.setattr(device, "bf16_gain", lambda: 0.25)
    assert resolved(CPU, "auto") == "no"
    assert capsys.readouterr().err == ""
    assert [resolved(CPU, "bf16") for _ in range(2)] == ["bf16", "bf16"]
    assert capsys.readouterr().err.count("precision = bf16, but this CPU takes 4.0 times as long") == 1
    device._say_emulated.cache_clear()


@pytest.mark.parametrize(
    ("error", "value", "advice"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), 64, "out of memory with diffusion.batch_size = 64: try .* = 32"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), 1, "try a smaller network"),
    ],
)
def test_running_out_of_memory_says_what_to_try(error: RuntimeError, value: int, advice: str) -> None:
    with pytest.raises(EchosynthError, match=advice), memory_explained("diffusion.batch_size", value):
        raise error


def test_other_errors_are_left_alone() -> None:
    with pytest.raises(RuntimeError, match="shapes"), memory_explained("diffusion.batch_size", 4):
        raise RuntimeError("shapes do not fit")
