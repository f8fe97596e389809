"""Whether bf16 pays on a CPU: measured, kept, measured again where it cannot be kept."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from echosynth.compute import bf16


@pytest.fixture(autouse=True)
def _asked_anew() -> Iterator[None]:
    bf16.bf16_gain.cache_clear()
    yield
    bf16.bf16_gain.cache_clear()


@pytest.fixture
def folder() -> Path:
    return Path(os.environ["DVC_ROOT"]) / ".cache/bf16"


@pytest.fixture
def gains(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """What the next measurements say; what is left of it tells how many were made."""
    left = [1.5, 0.5]
    monkeypatch.setattr(bf16, "measured_gain", lambda: left.pop(0))
    return left


def asked() -> float:
    """Ask as another process would."""
    bf16.bf16_gain.cache_clear()
    return bf16.bf16_gain()


def test_measuring_leaves_threads_draws_and_modes_alone() -> None:
    threads, draws = torch.get_num_threads(), torch.get_rng_state()
    with torch.inference_mode():  # where sampling asks
        gain = bf16.measured_gain()
        assert torch.is_inference_mode_enabled()
    assert gain > 0
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), draws)


def test_a_cpu_that_emulates_bf16_does_not_gain() -> None:
    """Without AVX-512 oneDNN for x86 has no way to multiply bf16."""
    code = "from echosynth.compute.bf16 import measured_gain, WORTH; assert measured_gain() < WORTH"
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": "SSE41"}
    if platform.machine() not in ("x86_64", "AMD64") or not torch.backends.mkldnn.is_available():
        pytest.skip("no oneDNN that can be told to do without some instructions")
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


def test_the_first_answer_is_kept(gains: list[float], folder: Path) -> None:
    """A state of a training is found again by its precision: an answer that changed would lose it."""
    assert [asked(), asked()] == [1.5, 1.5]
    assert gains == [0.5]
    (file,) = folder.glob("*.json")
    assert json.loads(file.read_text())["gain"] == 1.5


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"gain": "much"}', '{"gain": null}', '{"gain": -1}'])
def test_an_answer_that_cannot_be_read_is_measured_again(gains: list[float], folder: Path, content: str) -> None:
    asked()
    (file,) = folder.glob("*.json")
    file.write_text(content)
    assert [asked(), asked()] == [0.5, 0.5]


def test_where_nothing_can_be_written_it_is_measured_each_time(gains: list[float], folder: Path) -> None:
    folder.parent.write_text("in the way")
    assert [asked(), asked()] == [1.5, 0.5]


def test_another_kind_of_cpu_with_the_same_name_is_measured_anew(
    gains: list[float], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Virtual machines name a whole family of CPUs "AMD EPYC"."""
    monkeypatch.setattr(bf16, "CPUINFO", tmp_path / "cpuinfo")
    core = "processor : 0\nmodel name : AMD EPYC\ncpu MHz : {mhz}\nflags : fpu {flags}\n\nprocessor : 1\n"
    answers = []
    for mhz, flags in (("2000", "avx2"), ("2600", "avx2"), ("2600", "avx2 avx512_bf16")):
        (tmp_path / "cpuinfo").write_text(core.format(mhz=mhz, flags=flags))
        answers.append(asked())
    assert answers == [1.5, 1.5, 0.5]


def test_a_system_without_cpuinfo_has_an_answer_too(
    gains: list[float], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(bf16, "CPUINFO", tmp_path / "none")
    assert [asked(), asked()] == [1.5, 1.5]
