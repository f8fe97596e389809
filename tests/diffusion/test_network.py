"""The denoiser: shapes, tokens, levels, and the sizes that the study's networks have."""

from collections.abc import Callable

import pytest
import torch

from echosynth.common.errors import EchosynthError
from echosynth.diffusion.network import NULL_VIEW, ViewDenoiser, haar_matrix
from echosynth.diffusion.options import DiffusionParams

Settings = Callable[..., DiffusionParams]


def network(params: DiffusionParams, sources: int = 2, size: int = 16) -> ViewDenoiser:
    torch.manual_seed(0)
    return ViewDenoiser(params, size, sources).eval()


def call(net: ViewDenoiser, views: list[int], sources: list[int], t: int = 5) -> torch.Tensor:
    x = torch.randn(1, 1, 16, 16, generator=torch.Generator().manual_seed(1)).expand(len(views), -1, -1, -1)
    return net(x, torch.full((len(views),), t), torch.tensor(views), torch.tensor(sources))


def test_view_and_source_are_told_apart_and_each_has_a_null_token(settings: Settings) -> None:
    net = network(settings())
    tokens = [(view, source) for view in (0, 1, NULL_VIEW) for source in (0, 1, net.null_source)]
    out = call(net, [view for view, _ in tokens], [source for _, source in tokens])
    assert out.shape == (9, 1, 16, 16)
    distances = torch.cdist(out.flatten(1), out.flatten(1)) + torch.eye(9)
    assert distances.min() > 1e-3


def test_view_and_source_add_up_independently(settings: Settings) -> None:
    """Two embeddings, not one for each pair: swapping a source changes the told vector alike for every view."""
    net = network(settings())
    told = net.view_embedding.weight[:, None] + net.source_embedding.weight[None]
    assert told.shape[:2] == (5, 3)
    seen: list[torch.Tensor] = []
    net.unet.class_embedding.register_forward_hook(lambda module, given, out: seen.append(given[0]))
    call(net, [2, 4], [1, 2])
    assert torch.equal(seen[0], torch.stack([told[2, 1], told[4, 2]]))


def test_a_learned_variance_doubles_the_channels(settings: Settings) -> None:
    net = network(settings(variance="learned", loss="hybrid"))
    out = call(net, [0, 1], [0, 0])
    assert out.shape == (2, 2, 16, 16)
    assert not torch.allclose(out[:, 0], out[:, 1])


def test_latent_codes_go_in_and_out(settings: Settings) -> None:
    params = settings(space="latent", unshuffle=1, attention=[4])
    net = network(params)  # codes of 16 pixels at half the side: 4 channels of 8 x 8
    x = torch.randn(2, 4, 8, 8)
    assert net(x, torch.tensor([1, 2]), torch.tensor([0, 1]), torch.tensor([0, 1])).shape == x.shape


def test_time_is_stretched_to_a_thousand_steps(settings: Settings) -> None:
    """The same share of the process means the same to the network, whatever T is."""
    short, long = network(settings(timesteps=100)), network(settings(timesteps=1000))
    assert torch.allclose(call(short, [0], [0], t=7), call(long, [0], [0], t=70), atol=1e-6)


def test_gradient_checkpointing_changes_no_gradient(settings: Settings) -> None:
    gradients = []
    for checkpointing in (False, True):
        net = network(settings(gradient_checkpointing=checkpointing)).train()
        call(net, [0, 1], [1, 0]).square().sum().backward()
        gradients.append(net.unet.conv_in.weight.grad)
    assert torch.allclose(gradients[0], gradients[1], atol=1e-5)


@pytest.mark.parametrize("side", [1, 2, 4])
def test_haar_patterns_are_orthonormal_and_the_first_is_the_mean(side: int) -> None:
    matrix = haar_matrix(side)
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(side**2))
    torch.testing.assert_close(matrix[0], torch.full((side**2,), 1 / side))
    if side == 2:  # mean, then changes along x, along y, and of both
        signs = torch.tensor([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]])
        torch.testing.assert_close(matrix, signs / 2)


@pytest.mark.parametrize("unshuffle", [2, 4])
def test_haar_goes_in_and_comes_back(settings: Settings, unshuffle: int) -> None:
    """With the U-Net replaced by nothing, what goes in comes out; on the way a flat picture has one channel alone."""
    net = network(settings(patching="haar", unshuffle=unshuffle, channels=[16], attention=[]))
    seen: list[torch.Tensor] = []

    class Nothing(torch.nn.Module):
        def forward(self, x: torch.Tensor, *_: torch.Tensor) -> object:
            seen.append(x)
            return type("Output", (), {"sample": x})

    net.unet = Nothing()  # type: ignore[assignment]
    flat, noise = torch.full((1, 1, 16, 16), 0.5), torch.randn(1, 1, 16, 16)
    for x in (flat, noise):
        torch.testing.assert_close(net(x, *(torch.tensor([0]) for _ in range(3))), x)
    assert seen[0][:, 1:].abs().max() < 1e-6
    torch.testing.assert_close(seen[0][:, 0], torch.full((1, 16 // unshuffle, 16 // unshuffle), 0.5 * unshuffle))
    torch.testing.assert_close(seen[1].square().sum(), noise.square().sum())


def test_how_an_image_was_changed_is_told(settings: Settings) -> None:
    net = network(settings(augment_told=True, augment=0.5))
    x, token = torch.randn(1, 1, 16, 16), torch.tensor([1])
    amounts = torch.tensor([[0.5, 0.0, -0.5, 0.0, 0.1]])
    plain, unchanged, changed = (net(x, token, token, token, *more) for more in ((), (0 * amounts,), (amounts,)))
    assert torch.equal(plain, unchanged)  # at sampling nothing is said, which means: not changed
    assert (plain - changed).abs().max() > 1e-4


def test_a_preconditioned_network_sees_two_pictures_and_begins_silent(settings: Settings) -> None:
    net = network(settings(preconditioning="gaussian", loss="edm"))
    token = torch.tensor([0, 1])
    out = net(torch.randn(2, 2, 16, 16), token, token, token)
    assert out.shape == (2, 1, 16, 16)
    assert not out.any()


def test_sizes_that_the_levels_do_not_divide_are_refused(settings: Settings) -> None:
    with pytest.raises(EchosynthError, match=r"ingest\.size = 20 .* multiple of 8"):
        network(settings(channels=[16, 32, 32], attention=[]), size=20)


@pytest.mark.parametrize(("size", "sides"), [(112, "56, 28"), (16, "8, 4")])
def test_attention_that_no_level_reaches_is_refused(settings: Settings, size: int, sides: str) -> None:
    with pytest.raises(EchosynthError, match=rf"diffusion\.attention = 16 is the side of no level.*{sides}"):
        network(settings(attention=[16]), size=size)


def test_attention_stands_where_it_was_asked_for(settings: Settings) -> None:
    net = network(settings(channels=[16, 16, 32], unshuffle=1, attention=[8]))
    kinds = [type(block).__name__ for block in net.unet.down_blocks]
    assert kinds == ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D"]
    assert [type(block).__name__ for block in net.unet.up_blocks] == ["UpBlock2D", "AttnUpBlock2D", "UpBlock2D"]
