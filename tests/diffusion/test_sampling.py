"""Image n from (seed, n) alone, and guidance against arithmetic by hand."""

import numpy as np
import pytest
import torch
from tests.diffusion.processes import make_process

from echosynth.common.errors import EchosynthError
from echosynth.diffusion import sampling
from echosynth.diffusion.model import DiffusionModel, PixelSpace, assembled
from echosynth.diffusion.network import NULL_VIEW, ViewDenoiser
from echosynth.diffusion.options import Solver, SolverParams
from echosynth.diffusion.sampling import CPU_BATCH, image_noise, sample_batch, sample_images

COUNT = 27  # more than one batch of the CPU


def by(solver: Solver = "unipc", evaluations: int = 16, **changes) -> SolverParams:
    """This solver, with noise and guidance as in the changes."""
    return SolverParams.model_validate(SolverParams.plain(solver, evaluations).model_dump() | changes)


QUICK = by(evaluations=4)


@pytest.fixture
def tiny(params):
    """An untrained model of two sources: (changes of the parameters, seed of the weights) -> model."""

    def make(seed=0, **changes):
        sizes = {"channels": [16, 32], "attention": [4], "timesteps": 50, "schedule": "linear"}
        changes = {"preconditioning": "none", "loss": "simple"} | sizes | changes
        diffusion = params.diffusion.model_copy(update=changes)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network = ViewDenoiser(diffusion, 16, 2).eval()
        return assembled(network, PixelSpace(), diffusion, 16)

    return make


def drawn(model, numbers, options=QUICK, seed=3, precision="fp32", guide=None):
    numbers = list(numbers)
    views, sources = (np.array([n % size for n in numbers]) for size in (4, 3))
    return sample_batch(model, views, sources, numbers, seed, options, precision, guide)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    "options",
    [by(evaluations=4), by("ddim", 4, eta=1.0), by("ancestral", 4, guidance=2.0)],
    ids=lambda options: options.solver,
)
def test_image_n_is_the_same_in_any_company(tiny, options, precision):
    model = tiny()
    whole = drawn(model, range(COUNT), options, precision=precision)
    assert whole.shape == (COUNT, 16, 16) and whole.dtype == np.uint8
    assert len(np.unique(whole.reshape(COUNT, -1), axis=0)) == COUNT
    for numbers in ([5], range(3, 26), [26, 0, 9]):
        assert np.array_equal(drawn(model, numbers, options, precision=precision), whole[list(numbers)])
    threads = torch.get_num_threads()
    torch.set_num_threads(2 if threads == 1 else 1)
    try:
        assert np.array_equal(drawn(model, range(COUNT), options, precision=precision), whole)
    finally:
        torch.set_num_threads(threads)


def test_the_network_always_sees_the_same_number_of_images(tiny):
    model, seen = tiny(), []
    model.network.register_forward_hook(lambda module, args, output: seen.append(len(args[0])))
    for count in (1, CPU_BATCH, COUNT):
        drawn(model, range(count))
    assert set(seen) == {CPU_BATCH}
    assert len(seen) == 4 * (1 + 1 + 2)


@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_a_small_set_does_not_depend_on_the_batch_size(tiny, batch_size):
    model = tiny()
    views, sources = np.arange(9) % 4, np.arange(9) % 3
    images = sample_images(model, views, sources, 3, by(evaluations=2), "fp32", batch_size=batch_size)
    assert np.array_equal(images, drawn(model, range(9), by(evaluations=2)))
    tensors = torch.from_numpy(views), torch.from_numpy(sources)
    assert np.array_equal(images, sample_images(model, *tensors, 3, by(evaluations=2), "fp32"))


def test_noise_depends_on_seed_number_and_step_alone():
    first = image_noise(1, 5, (1, 8, 8))
    assert np.array_equal(first, image_noise(1, 5, (1, 8, 8)))
    others = [image_noise(2, 5, (1, 8, 8)), image_noise(1, 6, (1, 8, 8)), image_noise(1, 5, (1, 8, 8), 1)]
    assert not any(np.allclose(first, other) for other in others)
    assert np.array_equal(first, np.random.default_rng((1, 5)).standard_normal((1, 8, 8), dtype=np.float32))


def test_fresh_noise_of_a_step_is_not_the_noise_that_the_image_starts_from(tiny, monkeypatch):
    draws = {}

    def solve(options, process, denoise, noise, fresh):
        draws.update({"start": noise, 0: fresh(0), 1: fresh(1)})
        return noise

    monkeypatch.setattr(sampling, "solve", solve)
    drawn(tiny(), range(2))
    assert draws["start"].shape == (CPU_BATCH, 1, 16, 16)
    assert not any(torch.allclose(draws[a], draws[b]) for a, b in (("start", 0), ("start", 1), (0, 1)))


def test_ddim_by_hand(tiny):
    """Song et al. 2021, eq. 12, in float64 for one image, the network aside."""
    model, evaluations = tiny(), 5
    got = drawn(model, [6], by("ddim", evaluations))[0]
    beta = np.linspace(1e-4, 0.02, 50) * 1000 / 50
    bar = np.cumprod(1 - beta)
    steps = [round(49 * (1 - i / (evaluations - 1)) ** 2) for i in range(evaluations)]
    x = np.random.default_rng((3, 6)).standard_normal((1, 16, 16), dtype=np.float32).astype(np.float64)
    for i, t in enumerate(steps):
        with torch.no_grad():
            seen = torch.from_numpy(x).float()[None]
            v = model.network(seen, torch.tensor([t]), torch.tensor([2]), torch.tensor([0]))[0].numpy()
        alpha, sigma = np.sqrt(bar[t]), np.sqrt(1 - bar[t])
        x0 = np.clip(alpha * x - sigma * v, -1, 1)
        if i + 1 < evaluations:
            after = bar[steps[i + 1]]
            x = np.sqrt(after) * x0 + np.sqrt(1 - after) * (x - alpha * x0) / sigma
    expected = (x0[0] + 1) * 127.5
    assert np.abs(got - expected).max() < 0.6  # half a grey level of rounding
    assert expected.std() > 5


class Flat(torch.nn.Module):
    """Knows the answer: an image of one value by view and source, whatever the noise; counts its calls."""

    def __init__(self, values):
        super().__init__()
        self.values, self.calls = torch.nn.Parameter(torch.tensor(values)), []

    def forward(self, x, t, views, sources):
        self.calls.append((int(t[0]), views.tolist(), sources.tolist()))
        return self.values[views][:, None, None, None].expand_as(x) + 0.02 * sources[:, None, None, None]


def flat(values=(-0.5, 0.1, 0.2, 0.3, -0.1)):
    return DiffusionModel(Flat(values), make_process("linear", 101, "x0"), PixelSpace(), (1, 4, 4), True)


def grey(value):
    return round((value + 1) * 127.5)


@pytest.mark.parametrize(("guidance", "value"), [(1.0, 0.22), (0.0, -0.08), (2.0, 0.52), (0.5, 0.07), (30.0, 1.0)])
def test_guidance_starts_from_the_null_view_and_keeps_the_source(guidance, value):
    """null = -0.1 + 0.02, conditional = 0.2 + 0.02: null + w (conditional - null), within [-1, 1]."""
    images = sample_batch(flat(), np.array([2]), np.array([1]), [0], 0, by(guidance=guidance), "fp32")
    assert images.tolist() == np.full((1, 4, 4), grey(value)).tolist()


def test_guidance_zero_ignores_the_view_and_one_asks_once(tiny):
    model = tiny()
    views, sources = np.array([0, 3]), np.array([1, 1])
    how = {w: by(evaluations=3, guidance=w) for w in (0.0, 1.0, 3.0)}

    def images(views, how):
        return sample_batch(model, views, sources, [4, 5], 3, how, "fp32")

    assert np.array_equal(images(views, how[0.0]), images(views[::-1].copy(), how[0.0]))
    assert np.array_equal(images(views, how[0.0]), images(np.full(2, NULL_VIEW), how[1.0]))
    assert not np.array_equal(images(views, how[1.0]), images(views, how[3.0]))
    assert not np.array_equal(images(views, how[1.0]), images(views[::-1].copy(), how[1.0]))


def test_guidance_within_its_interval_alone():
    model = flat()
    how = by("ddim", 11, guidance=2.0, guidance_interval=[0.3, 0.7])
    sample_batch(model, np.array([2]), np.array([1]), [0], 0, how, "fp32")
    asked = [(t, views[0]) for t, views, _ in model.network.calls]
    steps = [t for t, view in asked if view == 2]
    assert len(steps) == 11
    assert [t for t, view in asked if view == NULL_VIEW] == [t for t in steps if 30 <= t <= 70] != []
    plain = flat()
    sample_batch(plain, np.array([2]), np.array([1]), [0], 0, by("ddim", 11, guidance=1.0), "fp32")
    assert len(plain.network.calls) == 11


def test_an_earlier_snapshot_guides_with_the_same_view_and_source():
    guide = flat((0.0, 0.0, 0.1, 0.0, -0.9))
    how = by(guidance=3.0)
    images = sample_batch(flat(), np.array([2]), np.array([1]), [0], 0, how, "fp32", guide)
    assert np.unique(images).tolist() == [grey(0.12 + 3 * (0.22 - 0.12))]
    for _, views, sources in guide.network.calls:
        assert set(views) == {2} and set(sources) == {1}


def test_a_model_guided_by_itself_is_as_without_guidance(tiny):
    # The difference is exactly 0.
    model, how = tiny(), by(evaluations=3, guidance=2.5)
    plain = drawn(model, range(5), by(evaluations=3))
    assert np.array_equal(drawn(model, range(5), how, guide=tiny()), plain)
    assert not np.array_equal(drawn(model, range(5), how, guide=tiny(seed=1)), plain)


def test_the_variance_is_that_of_the_condition(tiny, monkeypatch):
    model = tiny(variance="learned", loss="hybrid")
    estimates = []

    def solve(options, process, denoise, noise, fresh):
        estimates.append((noise, denoise(noise, 10)))
        return noise

    monkeypatch.setattr(sampling, "solve", solve)
    for guidance in (1.0, 4.0):
        drawn(model, range(CPU_BATCH), by(guidance=guidance))
    (noise, plain), (_, guided) = estimates
    views, sources = (torch.arange(CPU_BATCH) % size for size in (4, 3))
    steps = torch.full((CPU_BATCH,), 10)
    with torch.no_grad():
        output = model.network(noise, steps, views, sources)
        null = model.network(noise, steps, torch.full_like(views, NULL_VIEW), sources)
    assert torch.equal(plain.fraction, guided.fraction)
    torch.testing.assert_close(plain.fraction, (output[:, 1:] + 1) / 2)
    v = null[:, :1] + 4 * (output[:, :1] - null[:, :1])
    alpha, sigma = model.process.alpha[10], model.process.sigma[10]
    torch.testing.assert_close(guided.x0, (alpha * noise - sigma * v).clamp(-1, 1), atol=1e-4, rtol=0)
    assert guided.x0.shape == guided.fraction.shape == (CPU_BATCH, 1, 16, 16)


def test_a_learned_variance_is_sampled(tiny):
    model = tiny(variance="learned", loss="hybrid")
    how = by("ancestral", 4)
    assert np.array_equal(drawn(model, range(3), how), drawn(model, range(3), how))
    assert not np.array_equal(drawn(model, range(3), how), drawn(model, range(3), how, seed=4))


class Doubled:
    """A space whose codes are twice the pixels, and not bounded."""

    def encode(self, images):
        return 2 * images

    def decode(self, codes):
        return codes / 2


def test_codes_are_decoded_and_not_clipped():
    model = flat((1.6, 0.0, 0.0, 0.0, 0.0))
    model = DiffusionModel(model.network, model.process, Doubled(), model.shape, False)
    images = sample_batch(model, np.array([0]), np.array([0]), [0], 0, by(), "fp32")
    assert np.unique(images).tolist() == [grey(0.8)]


def test_a_precision_that_the_device_lacks_is_refused(tiny):
    with pytest.raises(EchosynthError, match="fp16 needs a CUDA GPU"):
        drawn(tiny(), [0], precision="fp16")
