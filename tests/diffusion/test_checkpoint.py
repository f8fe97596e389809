"""The saved state of a training."""

from collections.abc import Callable

import torch
from accelerate import Accelerator

from echosynth.common.resume import ResumeState
from echosynth.diffusion.checkpoint import Checkpoint, Progress
from echosynth.diffusion.ema import EMA
from echosynth.diffusion.network import ViewDenoiser
from echosynth.diffusion.options import DiffusionParams
from echosynth.diffusion.snapshots import Snapshot
from echosynth.diffusion.timesteps import UniformTimesteps


def stepped(params: DiffusionParams, seed: int) -> Checkpoint:
    """A network in the memory layout of a GPU after one step of its optimizer."""
    torch.manual_seed(seed)
    network = ViewDenoiser(params, 16, 2).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    tokens = torch.zeros(2, dtype=torch.long)
    network(torch.randn(2, 1, 16, 16), tokens, tokens, tokens).square().mean().backward()
    optimizer.step()
    averages = [EMA(network, 0.5), EMA(network, 0.9)]
    return Checkpoint(
        ResumeState("checkpoint", 1), Accelerator(cpu=True), network, averages, optimizer, UniformTimesteps(10)
    )


def test_everything_comes_back_in_the_layout_of_the_weights(settings: Callable[..., DiffusionParams]) -> None:
    """The fused optimizer of CUDA refuses moments that lie otherwise in memory than their parameters."""
    first, second = stepped(settings(), 0), stepped(settings(), 1)
    progress = Progress(7, [{"step": 7.0, "loss": 0.5}], [0.1], [Snapshot(7, 0.9, None)])
    first.save(progress)
    assert second.load() == progress
    assert all(average.updates == 7 for average in second.averages)
    pairs = zip(first.network.named_parameters(), second.network.named_parameters(), strict=True)
    for (name, ours), (_, theirs) in pairs:
        assert torch.equal(ours, theirs), name
        for key, moment in first.optimizer.state[ours].items():
            assert torch.equal(moment, second.optimizer.state[theirs][key]), name
        assert second.optimizer.state[theirs]["exp_avg"].stride() == theirs.stride(), name
    for ours, theirs in zip(first.averages, second.averages, strict=True):
        assert all(torch.equal(tensor, theirs.weights[name]) for name, tensor in ours.weights.items())
