"""Exponential moving average of the weights, with warm-up."""

import torch
from torch import nn


class EMA:
    """Average weights. With warm-up the decay rises as min(decay, (1 + n) / (10 + n)), so that the initial weights are
    soon forgotten: without it a decay of 0.9999 still holds 37 % of them after 10,000 updates.

    Attributes:
        decay: that it reaches.
        warmup: whether it rises to that.
        weights: name -> average of that parameter, float32.
        updates: number n of updates so far.
    """

    def __init__(self, network: nn.Module, decay: float, warmup: bool = True) -> None:
        self.decay, self.warmup = decay, warmup
        self.updates = 0
        self.weights = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Move the average towards the network's weights by one step."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates)) if self.warmup else self.decay
        self.updates += 1
        state = network.state_dict()
        torch._foreach_lerp_(list(self.weights.values()), [state[name] for name in self.weights], 1 - decay)
