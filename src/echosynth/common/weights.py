"""Weights on disk: safetensors, nothing that could be executed."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from echosynth.common.errors import EchosynthError
from echosynth.common.files import explained


def load_weights(network: nn.Module, path: Path) -> None:
    """Fill a network with stored weights.

    Raises:
        EchosynthError: the file is missing, torn, or of another architecture.
    """
    tensors = read_weights(path)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise _unfit(path, error) from None


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Stored tensors by name.

    Raises:
        EchosynthError: the file is missing or torn.
    """
    try:
        return load_file(path)
    except FileNotFoundError:
        raise EchosynthError(f"{path} is missing; run `dvc repro` to make it, or `dvc pull` to get it") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise _unfit(path, error) from None


def _unfit(path: Path, error: Exception) -> EchosynthError:
    reason = " ".join(str(error).split())[:200]
    return EchosynthError(f"{path} does not fit its card or is damaged ({reason}); make it anew with `dvc repro`")


def save_weights(tensors: dict[str, torch.Tensor], path: Path, facts: dict[str, str] | None = None) -> None:
    """Write tensors by name, with a few words about them.

    Raises:
        EchosynthError: the file cannot be written, because the disk is full for instance.
    """
    with explained(path):
        save_file({name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}, path, facts)
