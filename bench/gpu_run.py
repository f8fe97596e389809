"""The parts of `python -m bench.gpu_check` one after another, against the clock; the results are written after each."""

import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

import torch

from bench import gpu_parts
from bench.gpu_parts import QUICK, Check, Sizes
from bench.machine import facts, file_name
from bench.results import Missing, Result, as_json, table
from echosynth.common.errors import EchosynthError
from echosynth.common.files import write_json
from echosynth.config.parameters import Params

ROOT = Path(__file__).parents[1]
CUDA_TESTS, MARK = "tests marked cuda", "pytest.mark.cuda"
PYTEST = "from bench.gpu_check import hide_unused; hide_unused(); import pytest; raise SystemExit(pytest.main())"


class OutOfTime(BaseException):
    """The time of all parts is over. No Exception, which libraries catch and go on."""


@contextmanager
def deadline(allowed: float) -> Iterator[None]:
    """Raise `OutOfTime` in the block after so many seconds."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, max(allowed, 1e-3))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def run_tests(check: Check) -> list[Result]:
    """Run the tests marked `cuda` in a process of its own, without tests/conftest.py and plugins of pytest."""
    if find_spec("pytest") is None:
        return [Missing(CUDA_TESTS, "pytest is not installed here: bring its wheel too")]
    files = [path for path in sorted((ROOT / "tests").rglob("test_*.py")) if MARK in path.read_text(encoding="utf-8")]
    options = ["--noconftest", "-p", "no:cacheprovider", "-m", "cuda"]
    environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-c", PYTEST, *options, *map(str, files)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    print(done.stdout, done.stderr, sep="\n", flush=True)
    check.said["tests"] = ((done.stdout.strip() or done.stderr.strip()).splitlines() or ["no word"])[-1].strip("= ")
    if done.returncode == 0:
        return []
    named = [line.split(" ")[1] for line in done.stdout.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    check.said["failed"] = named or [CUDA_TESTS]
    return [Missing(CUDA_TESTS, f"not all passed: {check.said['tests']}")]


Part = tuple[str, float, Callable[[Check], list[Result]]]  # name, seconds on an H100 (an estimate), work
AFTER_TRAINING: tuple[Part, ...] = (
    ("solvers and distances", 40, gpu_parts.judge_samples),
    ("speed of training", 110, gpu_parts.measure_speed),
    ("classifiers", 15, gpu_parts.measure_classifiers),
    ("memory", 15, gpu_parts.measure_memory),
    ("preset thesis", 25, gpu_parts.measure_thesis),
)
REST = sum(seconds for _, seconds, _ in AFTER_TRAINING)
PARTS: tuple[Part, ...] = (
    (CUDA_TESTS, 45, run_tests),
    ("training of preset gpu-small", 90, partial(gpu_parts.train, after=REST)),
    *AFTER_TRAINING,
)


def without_compiler(params: Params) -> tuple[Params, list[Result]]:
    """The parameters, not compiled where torch.compile does not work on this GPU; and what is to be said of it."""
    if not (torch.cuda.is_available() and params.diffusion.compile):
        return params, []
    try:
        torch.compile(lambda x: x * 2 + 1)(torch.ones(8, device="cuda"))
        return params, []
    except Exception as error:
        reason = f"{' '.join(str(error).split())[:200]}; a C compiler and Python's headers are what it most often lacks"
        settings = params.diffusion.model_copy(update={"compile": False})
        return params.model_copy(update={"diffusion": settings}), [Missing("torch.compile", reason)]


def do(part: Part, check: Check) -> list[Result]:
    """The results of a part; a sentence in their place where it fails or has no time."""
    name, needed, work = part
    if check.left < needed and check.sizes is not QUICK:
        return [Missing(name, f"no time: {check.left:.0f} s were left, it takes about {needed:.0f}")]
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch._dynamo.reset()
    try:
        with deadline(check.left):
            return work(check)
    except OutOfTime:
        return [Missing(name, "it was stopped, the time was over")]
    except Exception as error:  # the other parts are to be measured all the same
        check.said["failed"] = [*check.said.get("failed", []), name]
        return [Missing(name, f"it failed: {type(error).__name__}: {' '.join(str(error).split())[:500]}")]


def run(ends: float, folder: Path, quick: bool) -> int:
    """Do all parts.

    Args:
        ends: when the time is over, on the clock of `time.monotonic`.
        folder: for the results, made where it is missing.
        quick: at toy sizes.

    Returns:
        The exit status: 1 where a part failed.

    Raises:
        EchosynthError: there is no GPU, or params.yaml or the preset cannot be read.
    """
    if not (quick or torch.cuda.is_available()):
        raise EchosynthError("there is no CUDA GPU; --quick tries this script on the CPU, at toy size")
    sizes, machine = QUICK if quick else Sizes(), facts()
    print(", ".join(f"{key} {value}" for key, value in machine.items()), flush=True)
    check = Check.of(sizes, ends, folder, f"{file_name(machine)}-gpu{'-quick' * quick}")
    check.params, results = without_compiler(check.params)
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="echosynth-gpu-") as states:
        os.environ["DVC_ROOT"] = states  # resumable states of this check are nobody else's
        for part in PARTS:
            began = time.monotonic()
            found = do(part, check)
            results += found
            check.said.setdefault("seconds", {})[part[0]] = round(time.monotonic() - began, 1)
            print(f"\n{part[0]}: {time.monotonic() - began:.0f} s, {check.left:.0f} s left\n{table(found)}", flush=True)
            content = {"quick": quick, "machine": machine, **check.said}
            write_json(f"{check.files}.json", content | {"results": [as_json(result) for result in results]})
    return 1 if check.said.get("failed") else 0
