"""What only a GPU can show. `make gpu-check` runs these without the conftest files: no fixture of theirs is used."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.diffusion.conftest import ROOT, small_data, small_settings

from echosynth.common.errors import EchosynthError
from echosynth.common.resume import ResumeState
from echosynth.compute.device import autocast, computes_bf16, pick_device, resolved, to_tensor
from echosynth.config.parameters import load_params
from echosynth.diffusion.model import DiffusionModel, PixelSpace, assembled
from echosynth.diffusion.network import ViewDenoiser
from echosynth.diffusion.options import DiffusionParams, SolverParams
from echosynth.diffusion.pixel_gaussian import PixelGaussian
from echosynth.diffusion.sampling import sample_batch
from echosynth.diffusion.set_plan import SetPlan
from echosynth.diffusion.synthetic_set import SyntheticSet, make_set
from echosynth.diffusion.train import Trained, Trainer, Watchers
from echosynth.diffusion.training_job import prepare_training, train_model, write_model
from echosynth.imagesets.dataset import LabelledImages

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU"),
]
PRECONDITIONED = {"preconditioning": "gaussian", "loss": "edm", "patching": "haar"}
SIDE = 16


@pytest.fixture(autouse=True)
def _workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep resumable states in the test's own folder; hold convolutions to float32, as a CPU computes them."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    yield
    torch.cuda.empty_cache()


def space(device: torch.device) -> PixelSpace:
    data = small_data()
    gaussian = PixelGaussian.fit(to_tensor(data.images), data.views, data.sources, 2, 20)
    return PixelSpace(gaussian.to(device))


def model(device: torch.device) -> DiffusionModel:
    """An untrained model that draws more than its Gaussian: the same weights wherever it is."""
    params = small_settings(**PRECONDITIONED)
    torch.manual_seed(1)
    network = ViewDenoiser(params, SIDE, 2)
    torch.nn.init.normal_(network.unet.conv_out.weight, std=0.05)
    return assembled(network.eval().to(device), space(device), params, SIDE)


def trainer(params: DiffusionParams, watchers: Watchers | None = None) -> Trainer:
    data, state = small_data(), ResumeState("test", params.model_dump())
    return Trainer(params, data, data, 2, space(pick_device()), state, watchers or Watchers())


def labelled(side: int) -> LabelledImages:
    """Noise pictures of all views and two sources."""
    data, count = small_data(24, side), 24
    names = np.array([f"s{token}" for token in data.sources.tolist()])
    ids = np.arange(count).astype(str)
    return LabelledImages(data.images, data.views.numpy(), ids, names, ids)


def test_the_gpu_is_chosen_and_what_it_computes_with() -> None:
    device = pick_device()
    assert device.type == "cuda"
    assert resolved(device, "auto") == ("bf16" if torch.cuda.get_device_capability() >= (8, 0) else "no")
    made = trainer(small_settings(**PRECONDITIONED))
    weights = dict(made.network.named_parameters())
    assert {weight.device.type for weight in weights.values()} == {"cuda"}
    assert weights["unet.conv_in.weight"].is_contiguous(memory_format=torch.channels_last)
    assert made.device.type == "cuda"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_loss_is_that_of_the_cpu(precision: str) -> None:
    if precision == "bf16" and not computes_bf16(pick_device()):
        pytest.skip("this GPU does not multiply bf16")
    data, losses = small_data(), []
    noise, t = torch.randn(len(data), 1, SIDE, SIDE), torch.arange(len(data)) * 50
    for device in (torch.device("cpu"), pick_device()):
        own, batch = model(device), [x.to(device) for x in (to_tensor(data.images), data.views, data.sources, t, noise)]
        x0, views, sources, steps, drawn = batch
        with torch.no_grad(), autocast(device, "fp32" if device.type == "cpu" else precision):
            losses.append(own.process.training_losses(own.network, x0, (views, sources), steps, drawn).cpu())
    assert torch.allclose(*losses, rtol=1e-3 if precision == "fp32" else 0.05)


def stopped(params: DiffusionParams) -> None:
    def stop(point: dict[str, float]) -> None:
        if point["step"] == params.steps:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer(params, Watchers(on_point=stop)).run()


def change(trained: Trained, start: dict[str, torch.Tensor]) -> torch.Tensor:
    """By how much a training moved the weights, all in one vector."""
    return torch.cat([(trained.weights[name].cpu() - start[name]).flatten() for name in sorted(start)])


@pytest.fixture
def in_order() -> Iterator[None]:
    """Sums in one order where PyTorch can keep it: Adam makes whole steps of the noise in gradients that are 0."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.usefixtures("in_order")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_an_interrupted_training_ends_with_the_same_weights(precision: str) -> None:
    """Up to the order of sums. Without the saved moments it would be 0.10 away, without the weights 0.8 (on a CPU)."""
    params = small_settings(**PRECONDITIONED, precision=precision, dropout=0.1, ema_decays=[0.5])
    first = trainer(params)
    start = {name: tensor.detach().cpu().clone() for name, tensor in first.network.state_dict().items()}
    whole = change(first.run(), start)
    first.checkpoint.state.clear()
    stopped(params)
    going_on = trainer(params)
    assert going_on.now.step == 6
    resumed = change(going_on.run(), start)
    assert (resumed - whole).norm() < 0.05 * whole.norm()


@pytest.mark.parametrize("solver", ["unipc", "ancestral"])
def test_images_hardly_depend_on_what_is_sampled_beside_them(solver: str) -> None:
    own, count = model(pick_device()), 12
    views, sources, how = torch.arange(count) % 4, torch.arange(count) % 2, SolverParams.plain(solver, 8)
    numbers = range(count)

    def sampled(*edges: int) -> np.ndarray:
        ranges = [slice(start, end) for start, end in pairwise(edges)]
        made = [sample_batch(own, views[rows], sources[rows], numbers[rows], 3, how, "fp32") for rows in ranges]
        return np.concatenate(made).astype(int)

    whole, cut = sampled(0, count), sampled(0, 5, 7, count)
    assert whole.std() > 20
    assert np.abs(whole - cut).mean() < 0.5
    on_cpu = model(torch.device("cpu"))
    assert np.abs(whole - sample_batch(on_cpu, views, sources, numbers, 3, how, "fp32").astype(int)).mean() < 0.5


@pytest.fixture
def little_memory() -> Iterator[None]:
    """A GPU with 1 GiB."""
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(2**30 / torch.cuda.get_device_properties(0).total_memory)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)


LARGE = PRECONDITIONED | {"channels": [128, 256], "attention": [16]}


@pytest.mark.usefixtures("little_memory")
def test_a_training_out_of_memory_names_a_batch_size() -> None:
    job = prepare_training(small_settings(**LARGE, batch_size=1024), labelled(64), labelled(64))
    with pytest.raises(EchosynthError, match=r"diffusion.batch_size = 1024: try diffusion.batch_size = 512"):
        train_model(job)


def test_a_set_out_of_memory_names_a_batch_size(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    job = prepare_training(small_settings(**LARGE, batch_size=4, steps=2), labelled(64), labelled(64))
    folder, count = tmp_path / "model", 4096
    folder.mkdir()
    write_model(folder, job, train_model(job))
    options = load_params(ROOT / "params.yaml").sample.model_copy(update={"batch_size": count})
    plan = SetPlan(np.arange(count) % 4, np.arange(count) % 2, job.sources)
    request.getfixturevalue("little_memory")
    with pytest.raises(EchosynthError, match=r"sample.batch_size = 4096: try sample.batch_size = 2048"):
        make_set(SyntheticSet(folder, plan, options, "fp32"), tmp_path / "set", "synthetic")
