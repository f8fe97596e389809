"""Training: it learns, it resumes with the same bits, two processes do what one does, it stops with a sentence."""

import os
import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from echosynth.common.errors import EchosynthError
from echosynth.common.launch import ON_THIS_MACHINE
from echosynth.common.resume import ResumeState
from echosynth.compute.device import to_tensor
from echosynth.compute.threads import ThreadKeeper
from echosynth.diffusion.batches import Examples
from echosynth.diffusion.model import PixelSpace, assembled
from echosynth.diffusion.network import ViewDenoiser
from echosynth.diffusion.options import DiffusionParams, SolverParams
from echosynth.diffusion.pixel_gaussian import PixelGaussian
from echosynth.diffusion.process import Process
from echosynth.diffusion.sampling import sample_images
from echosynth.diffusion.train import SILENT, Trained, Trainer, Watchers, evaluation_loss, learning_rate

Settings = Callable[..., DiffusionParams]
# Enough draws that every t has its full history before the last state, so that it is no longer uniform.
LEARNED_TIMES = {
    "timestep_sampling": "loss-second-moment", "variance": "learned", "loss": "variational", "timesteps": 10,
    "steps": 42, "checkpoint_every": 36, "log_every": 14,
}  # fmt: skip

PRECONDITIONED = {
    "preconditioning": "gaussian", "loss": "edm", "patching": "haar", "augment_told": True, "augment_share": 0.5,
}  # fmt: skip


def state_of(params: DiffusionParams) -> ResumeState:
    return ResumeState("test", params.model_dump())


def space_of(params: DiffusionParams, data: Examples) -> PixelSpace:
    """Pixels, with their statistics where the parameters ask for them."""
    if params.preconditioning == "none":
        return PixelSpace()
    return PixelSpace(PixelGaussian.fit(to_tensor(data.images), data.views, data.sources, 2, 20))


def run(params: DiffusionParams, data: Examples, watchers: Watchers = SILENT) -> Trained:
    return Trainer(params, data, data, 2, space_of(params, data), state_of(params), watchers).run()


_whole: dict[str, Trained] = {}


def uninterrupted(params: DiffusionParams, data: Examples) -> Trained:
    """The same training from its start to its end, of which no state is left; what several tests compare with is
    computed once."""
    key = params.model_dump_json()
    if key not in _whole:
        _whole[key] = run(params, data)
        state_of(params).clear()
    return _whole[key]


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_learning_rate_rises_then_falls_to_zero_or_stays(settings: Settings) -> None:
    params = settings(steps=100, warmup_steps=10, learning_rate=1.0)
    assert learning_rate(params, 0) == pytest.approx(0.1)
    assert learning_rate(params, 10) == pytest.approx(1.0)
    assert learning_rate(params, 55) == pytest.approx(0.5)
    assert learning_rate(params, 99) < 0.01
    assert learning_rate(settings(decay="constant", warmup_steps=0, learning_rate=0.3), 7) == 0.3


@pytest.mark.parametrize("changes", [{}, PRECONDITIONED], ids=["plain", "preconditioned"])
def test_one_image_a_step_trains_and_one_can_be_sampled(
    settings: Settings, data: Examples, changes: dict[str, object]
) -> None:
    """At the deepest level that is allowed: maps of 2 x 2, and groups of one channel."""
    params = settings(batch_size=1, steps=2, log_every=1, channels=[4, 4, 4], head_channels=4, unshuffle=2, **changes)
    trained = run(params, data)
    assert len(trained.curve) == 2 and all(np.isfinite(point["loss"]) for point in trained.curve)
    assert drawn(trained, params, [3], 16, space_of(params, data)).shape == (1, 16, 16)


def saved_counts(params: DiffusionParams) -> torch.Tensor | None:
    """How many losses of each t the saved sampler has seen."""
    saved = state_of(params).load()
    assert saved is not None
    return saved[0].get("times.counts")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        LEARNED_TIMES,
        {"precision": "bf16", "dropout": 0.2, "ema_decays": [0.5]},
        PRECONDITIONED,
    ],
    ids=["plain", "learned times", "bf16 and dropout", "preconditioned"],
)
def test_interrupted_training_ends_with_the_same_bits(
    settings: Settings, data: Examples, changes: dict[str, object]
) -> None:
    params = settings(**changes)
    whole = uninterrupted(params, data)

    def stop(point: dict[str, float]) -> None:
        if point["step"] == params.steps:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(params, data, Watchers(on_point=stop))
    assert state_of(params).load() is not None
    seen: list[float] = []
    resumed = run(params, data, Watchers(on_point=lambda point: seen.append(point["step"])))
    assert seen == [params.steps]  # it went on after the last saved step, not from the start
    if (counts := saved_counts(params)) is not None:
        assert counts.min() >= 10
    assert resumed.curve == whole.curve
    assert resumed.snapshots == whole.snapshots
    assert same(resumed.weights, whole.weights)


@pytest.mark.parametrize("changes", [{}, LEARNED_TIMES, {"dropout": 0.2}], ids=["plain", "learned times", "dropout"])
def test_trying_numbers_of_threads_changes_nothing_but_rounding(
    settings: Settings, data: Examples, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object]
) -> None:
    """A trial does a step's work before the step."""
    params, tried = settings(**changes), list[bool]()

    def step(keeper: ThreadKeeper, work: Callable[[], object]) -> AbstractContextManager[None]:
        work()
        tried.append(keeper.on)
        return nullcontext()

    expected = uninterrupted(params, data)
    monkeypatch.setattr(ThreadKeeper, "step", step)
    found = run(params, data)
    assert len(tried) == params.steps
    assert found.curve == expected.curve
    assert same(found.weights, expected.weights)


RUN_IN_A_PROCESS = """
import sys
sys.path.insert(0, sys.argv[1])
from conftest import small_data, small_settings
from safetensors.torch import save_file
from test_train import run
from echosynth.common.launch import is_main_process
trained = run(small_settings(**eval(sys.argv[2])), small_data())
if is_main_process():
    save_file(trained.weights, sys.argv[3])
"""


def command(changes: dict[str, object], target: Path) -> list[str]:
    return [str(Path(__file__).parent), repr(changes), str(target)]


@pytest.mark.slow
def test_training_killed_at_any_moment_ends_with_the_same_bits(
    tmp_path: Path, settings: Settings, data: Examples, python: Path
) -> None:
    """SIGKILL from outside, several times over, in a step, a save or a snapshot as it happens; each start goes on from
    the last state."""
    changes = {"steps": 60, "checkpoint_every": 1, "log_every": 10, "snapshots": 6}
    environment, delays = os.environ | {"DVC_ROOT": str(tmp_path)}, np.random.default_rng().uniform(0, 1.5, 2)
    arguments = [python, "-c", RUN_IN_A_PROCESS, *command(changes, tmp_path / "weights")]
    for delay in delays:
        process = subprocess.Popen(arguments, env=environment, stderr=subprocess.PIPE)
        while process.poll() is None and not list(tmp_path.glob(".resume/*/state.safetensors")):
            time.sleep(0.02)
        time.sleep(delay)
        process.kill()
        process.communicate()
    subprocess.run(arguments, env=environment, check=True)
    whole = run(settings(**changes | {"checkpoint_every": 60}), data)
    assert same(load_file(tmp_path / "weights"), whole.weights), delays


@pytest.mark.parametrize("moment", ["while the weights are written", "between the two renames"])
def test_a_kill_inside_a_save_leaves_a_state_to_go_on_from(
    settings: Settings, data: Examples, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    params = settings()
    whole = uninterrupted(params, data)
    calls = iter(range(100))
    broken = ("echosynth.common.resume.os.fsync", 1) if moment.startswith("while") else ("pathlib.Path.replace", 2)
    kept = Path.replace if broken[1] == 2 else os.fsync

    def stop(*arguments: object) -> object:
        target = str(arguments[-1])
        if broken[1] == 1 and next(calls) == 1:
            raise KeyboardInterrupt
        if broken[1] == 2 and target.endswith("state.safetensors") and state_of(params).previous.is_file():
            raise KeyboardInterrupt
        return kept(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(broken[0], stop)
        run(params, data)
    assert same(run(params, data).weights, whole.weights)


@pytest.mark.slow
def test_two_processes_give_what_one_gives(tmp_path: Path, settings: Settings, data: Examples, python: Path) -> None:
    """Two gloo processes share every batch. Sums in another order leave float errors, which AdamW enlarges where
    gradients are near 0: measured against how far the training moved the weights."""
    changes = LEARNED_TIMES | {"steps": 20, "checkpoint_every": 20}
    script = tmp_path / "script.py"
    script.write_text(RUN_IN_A_PROCESS)
    environment = os.environ | {"DVC_ROOT": str(tmp_path), "OMP_NUM_THREADS": "1"}
    launch = [python, "-m", "torch.distributed.run", *ON_THIS_MACHINE, "--nproc-per-node", "2", "--no-python"]
    subprocess.run([*launch, python, script, *command(changes, tmp_path / "two")], env=environment, check=True)
    one, two = run(settings(**changes), data), load_file(tmp_path / "two")
    start = run(settings(**changes, learning_rate=1e-12), data)

    def apart(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> float:
        return float(sum((first[name] - second[name]).square().sum() for name in first) ** 0.5)

    assert one.weights.keys() == two.keys()
    moved = apart(one.weights, start.weights)
    assert apart(one.weights, two) < 0.05 * moved  # half of the batch alone: 0.5 of it


def test_a_batch_that_processes_cannot_share_is_refused(settings: Settings) -> None:
    from types import SimpleNamespace

    from echosynth.diffusion.train import _rows

    second_of_four = SimpleNamespace(num_processes=4, process_index=1)
    assert _rows(8, second_of_four) == slice(2, 4)  # type: ignore[arg-type]
    with pytest.raises(EchosynthError, match=r"diffusion\.batch_size = 6 cannot be shared equally by 4 processes"):
        _rows(6, second_of_four)  # type: ignore[arg-type]


def test_a_torn_state_gives_way_to_the_one_before(
    settings: Settings, data: Examples, capsys: pytest.CaptureFixture[str]
) -> None:
    params = settings()
    whole = run(params, data)
    state = state_of(params)
    state.path.write_bytes(state.path.read_bytes()[:5000])
    again = run(params, data)
    told = capsys.readouterr().err
    assert "state.safetensors is torn" in told
    assert "training goes on at step" in told
    assert same(again.weights, whole.weights)


def test_evaluation_loss_by_quarter_is_its_mean(settings: Settings, data: Examples) -> None:
    params = settings()
    torch.manual_seed(0)
    network = ViewDenoiser(params, 16, 2)
    losses = evaluation_loss(network, Process(params), params, PixelSpace(), data, (1, 16, 16))
    quarters = [losses[f"loss_q{number}"] for number in (1, 2, 3, 4)]
    assert sum(quarters) / 4 == pytest.approx(losses["loss"])  # 20 images: five in each quarter
    assert losses == evaluation_loss(network, Process(params), params, PixelSpace(), data, (1, 16, 16))
    assert network.training


def test_it_stops_when_snapshots_no_longer_improve(settings: Settings, data: Examples) -> None:
    """The distance is smallest at the second of eight snapshots; two more bring nothing."""
    scores = iter([9.0, 3.0, 4.0, 5.0, 1.0, 1.0, 1.0, 1.0])
    params = settings(snapshots=8, snapshot_images=2, patience=2, ema_decays=[0.9])
    trained = run(params, data, Watchers(score=lambda images: next(scores)))
    assert [snapshot.step for snapshot in trained.snapshots] == [1, 2, 3, 4]
    assert (trained.chosen.step, trained.chosen.kernel) == (2, 3.0)
    again = run(params, data, Watchers(score=lambda images: next(scores)))  # nothing more is done
    assert again.chosen == trained.chosen
    assert same(again.weights, trained.weights)


def test_a_loss_that_is_not_finite_stops_with_the_parameter_named(settings: Settings, data: Examples) -> None:
    params = settings(steps=6, warmup_steps=0).model_copy(update={"learning_rate": float("inf")})
    with pytest.raises(EchosynthError, match=r"step \d+: lower diffusion\.learning_rate"):
        run(params, data)


def drawn(
    trained: Trained, params: DiffusionParams, views: list[int], side: int, space: PixelSpace | None = None
) -> np.ndarray:
    network = ViewDenoiser(params, side, 2).eval()
    network.load_state_dict(trained.weights)
    model = assembled(network, space or PixelSpace(), params, side)
    sources = torch.zeros(len(views), dtype=torch.long)
    return sample_images(model, torch.tensor(views), sources, 1, SolverParams.plain("dpm++", 20), "fp32")


@pytest.mark.slow
@pytest.mark.parametrize("variance", ["fixed-small", "learned"])
def test_it_learns_the_picture_of_each_view(settings: Settings, variance: str) -> None:
    """Four pictures, one for each view: the trained model draws the one that it is asked for."""
    learned = {"variance": "learned", "loss": "hybrid", "schedule": "linear"} if variance == "learned" else {}
    params = settings(
        steps=300, learning_rate=6e-3, augment=0.0, ema_decays=[0.95], batch_size=8, checkpoint_every=500, **learned
    )
    y, x = np.mgrid[:16, :16] / 15
    pictures = np.stack([127 + 100 * np.sin(5 * x + view) * np.cos(4 * y + 2 * view) for view in range(4)])
    trained = run(params, Examples(pictures.astype(np.uint8), torch.arange(4), torch.zeros(4, dtype=torch.long)))
    asked = [0, 1, 2, 3, 0, 1, 2, 3]
    errors = np.abs(drawn(trained, params, asked, 16)[:, None].astype(float) - pictures).mean((2, 3))
    assert errors.argmin(1).tolist() == asked
    assert errors.min(1).mean() < 32  # grey levels: 15 and 26 were seen; the pictures lie 50 and more apart


@pytest.mark.slow
def test_a_preconditioned_model_learns_what_no_gaussian_knows(settings: Settings) -> None:
    """A bright square in one of two corners, never between them: a Gaussian draws ghosts of both, the trained model one
    of them."""
    params = settings(steps=400, learning_rate=3e-3, augment=0.0, ema_decays=[0.95], batch_size=16,
                      checkpoint_every=500, **PRECONDITIONED | {"augment_told": False})  # fmt: skip
    images = np.full((40, 16, 16), 60, np.uint8)
    images += np.random.default_rng(0).integers(0, 10, images.shape, dtype=np.uint8)
    images[::2, 2:6, 2:6] = images[1::2, 10:14, 10:14] = 230
    data = Examples(images, torch.zeros(40, dtype=torch.long), torch.zeros(40, dtype=torch.long))
    space = space_of(params, data)

    def ghosts(weights: dict[str, torch.Tensor]) -> float:
        trained = replace(whole, weights=weights)
        made = drawn(trained, params, [0] * 24, 16, space).astype(float)
        corners = np.stack([made[:, 2:6, 2:6].mean((1, 2)), made[:, 10:14, 10:14].mean((1, 2))], 1)
        return float(np.abs(np.sort(corners, 1) - [60, 230]).mean())

    whole = run(params, data)
    silent = {name: tensor * 0 if "conv_out" in name else tensor for name, tensor in whole.weights.items()}
    assert ghosts(whole.weights) < 0.5 * ghosts(silent)
