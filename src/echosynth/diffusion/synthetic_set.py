"""Whole synthetic sets: made block by block, by one process or several, resumable with the same bytes."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState

from echosynth.common.errors import EchosynthError
from echosynth.common.files import file_hash
from echosynth.common.launch import join
from echosynth.common.options import Precision
from echosynth.common.progress import progress
from echosynth.common.resume import ResumeState, code_hash
from echosynth.compute.device import memory_explained, pick_device, resolved
from echosynth.compute.threads import ThreadKeeper
from echosynth.diffusion.model import DiffusionModel, load, read_card
from echosynth.diffusion.options import SampleParams, SolverParams
from echosynth.diffusion.sampling import CPU_BATCH, sample_batch
from echosynth.diffusion.set_plan import SetPlan
from echosynth.diffusion.solvers import network_evaluations
from echosynth.imagesets.store import Images, write_image_stream

IMAGES = "images.npy"  # of a block, (N, S, S) uint8
TRIAL_EVALUATIONS = 2  # of the network for a block, to see with how many threads they are faster


def guiding_snapshot(folder: Path, share: float) -> str:
    """Find the snapshot that guides a model.

    Args:
        folder: of the model.
        share: of the training; the snapshot nearest to it is taken. 0: none.

    Returns:
        File of its weights, below `folder`; empty for a share of 0.

    Raises:
        EchosynthError: the model has no earlier snapshot.
    """
    if not share:
        return ""
    card = read_card(folder)
    steps = {int(path.stem.removeprefix("step-")): path for path in folder.glob("snapshots/step-*.safetensors")}
    earlier = sorted(step for step in steps if step < card.step)
    if not earlier:
        raise EchosynthError(
            f"sample.autoguidance = {share}, but {folder / 'snapshots'} holds no earlier weights of the model: train "
            "it with diffusion.keep_snapshots = true, or set sample.autoguidance to 0"
        )
    nearest = min(earlier, key=lambda step: abs(step - share * card.diffusion.steps))
    return steps[nearest].relative_to(folder).as_posix()


@dataclass(frozen=True)
class SyntheticSet:
    """All that the images of a set depend on.

    Attributes:
        model: folder of a trained model.
        plan: what each image shows.
        options: section `sample`: seed of the noise, solver, guidance, and images at a time on a GPU (a CPU computes
            `CPU_BATCH` at a time).
        precision: see `echosynth.compute.device.resolved`.
    """

    model: Path
    plan: SetPlan
    options: SampleParams
    precision: Precision

    def blocks(self, device: torch.device) -> list[range]:
        """Cut the numbers of the images into those that are made, saved and found again together."""
        size = CPU_BATCH if device.type == "cpu" else self.options.batch_size
        numbers = range(len(self.plan))
        return [numbers[first : first + size] for first in numbers[::size]]

    def state(self, device: torch.device) -> ResumeState:
        """Name where finished blocks are kept: another folder for other parameters, weights, code or kind of device."""
        files = [self.model / "card.json", *sorted(self.model.glob("*.safetensors"))]
        if guide := guiding_snapshot(self.model, self.options.autoguidance):
            files.append(self.model / guide)
        return ResumeState(
            "sample",
            [self.plan.views.tolist(), self.plan.sources.tolist()],
            self.options.model_dump(include={"seed", *SolverParams.model_fields}),
            resolved(device, self.precision),
            "cpu" if device.type == "cpu" else [torch.cuda.get_device_name(device), self.options.batch_size],
            {file.name: file_hash(file) for file in files},
            code_hash(__name__),
        )


@dataclass(frozen=True)
class Team:
    """The processes that make a set together, as started by `torchrun` or `accelerate launch`.

    Attributes:
        rank: number of this process, from 0.
        world: how many there are.
    """

    rank: int = 0
    world: int = 1

    @classmethod
    def joined(cls) -> "Team":
        """Join the others, where there are some."""
        join()
        return cls(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))

    @property
    def main(self) -> bool:
        """Whether this process writes the set."""
        return self.rank == 0

    def wait(self) -> None:
        """Wait until all have come here."""
        if self.world > 1:
            PartialState().wait_for_everyone()


def _part(block: range) -> str:
    """Name a block in the state's folder."""
    return f"{block.start:07d}"


def _saved(state: ResumeState, block: range, size: int) -> Images | None:
    """Read the images of a finished block; None when there is none, or a damaged one."""
    try:
        images = np.load(state.folder / _part(block) / IMAGES, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    whole = images.shape == (len(block), size, size) and images.dtype == np.uint8
    return images if whole else None


@contextmanager
def _memory(device: torch.device, batch_size: int) -> Iterator[None]:
    """Turn running out of memory into one sentence."""
    if device.type != "cpu":
        with memory_explained("sample.batch_size", batch_size):
            yield
        return
    try:
        yield
    except RuntimeError as error:  # what the CPU's allocator raises
        if "allocate memory" not in str(error):
            raise
        raise EchosynthError(
            f"out of memory: a CPU computes {CPU_BATCH} images together whatever sample.batch_size is; close other "
            f"programs, or use a GPU and try sample.batch_size = {CPU_BATCH // 2}"
        ) from None


def _make_blocks(
    wanted: SyntheticSet, model: DiffusionModel, guide: DiffusionModel | None, blocks: list[range], state: ResumeState
) -> Iterator[int]:
    """Make and save blocks, yielding the number of each image."""
    options, on_cpu = wanted.options, next(model.network.parameters()).device.type == "cpu"
    short = options.model_copy(update={"evaluations": min(TRIAL_EVALUATIONS, options.evaluations)})

    def drawn(block: range, options: SampleParams) -> Images:
        views, sources = (tokens[block.start : block.stop] for tokens in (wanted.plan.views, wanted.plan.sources))
        return sample_batch(model, views, sources, block, options.seed, options, wanted.precision, guide)

    with closing(ThreadKeeper(on_cpu)) as threads:  # images do not depend on their number
        for block in blocks:
            with threads.step(partial(drawn, block, short)):
                images = drawn(block, options)
            with state.part(_part(block)) as folder:
                np.save(folder / IMAGES, images, allow_pickle=False)
            yield from block


def _rows(
    wanted: SyntheticSet, blocks: list[range], state: ResumeState, size: int, name: str
) -> Iterator[tuple[dict[str, Any], Images]]:
    """Yield rows of the manifest with their images, read back block by block."""
    for block in blocks:
        images = _saved(state, block, size)
        if images is None:
            raise EchosynthError(
                f"{state.folder / _part(block)} is missing or damaged; let all processes share this folder and run "
                "again"
            )
        for number, image in zip(block, images, strict=True):
            yield wanted.plan.manifest_row(number, name, size), image


def _metrics(wanted: SyntheticSet, model: DiffusionModel) -> dict[str, Any]:
    """Say what the set is, for metrics.json."""
    return wanted.plan.facts() | {
        "solver": wanted.options.solver,
        "evaluations": network_evaluations(wanted.options, model.process),
        "guidance": wanted.options.guidance,
    }


def make_set(
    wanted: SyntheticSet,
    out: Path,
    name: str,
    what: str = "sampling",
    team: Team | None = None,
) -> float:
    """Make a synthetic set: image n is a function of what is wanted alone.

    Finished blocks survive a kill; the same call goes on with them and ends with the same bytes. Of several processes
    on one shared folder, process r of w makes blocks r, r + w, ...; the main one writes the set when all are made.
    Memory does not grow with the set.

    Args:
        wanted: what to make.
        out: folder of the image set, replaced when it is there; metrics.json lies in it too.
        name: image n gets the id <name>-<n>.
        what: shown in front of the progress.
        team: the processes, see `Team.joined`, which this calls where none is given.

    Returns:
        Images a second of this process, 0 when it found all of them made.

    Raises:
        EchosynthError: model, parameters and device do not fit, or memory or disk is full.
    """
    team = team or Team.joined()
    device = pick_device()
    card = read_card(wanted.model)
    model, weights = load(wanted.model, device), guiding_snapshot(wanted.model, wanted.options.autoguidance)
    guide = load(wanted.model, device, weights) if weights else None
    state, blocks = wanted.state(device), wanted.blocks(device)
    held: AbstractContextManager[Any] = state.held() if team.main else nullcontext()
    with held:
        team.wait()  # the main process holds the folder for all
        own = blocks[team.rank :: team.world]
        left = [block for block in own if _saved(state, block, card.size) is None]
        total, missing = sum(map(len, own)), sum(map(len, left))
        if missing < total:
            print(f"{what}: going on after {total - missing} of {total} images", file=sys.stderr)
        began = time.monotonic()
        with _memory(device, wanted.options.batch_size):
            for _ in progress(_make_blocks(wanted, model, guide, left, state), total, what, "images", total - missing):
                pass
        seconds = time.monotonic() - began
        team.wait()
        if team.main:
            rows = _rows(wanted, blocks, state, card.size, name)
            write_image_stream(out, rows, lambda: {"metrics.json": _metrics(wanted, model)})
            state.clear()
    return missing / max(seconds, 1e-9)
