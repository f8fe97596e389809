"""Reading stored weights into a network."""

from pathlib import Path

from safetensors.torch import load_file
from torch import nn

from echosynth.errors import EchosynthError


def load_weights(network: nn.Module, path: Path) -> None:
    """Fill a network with stored weights.

    Raises:
        EchosynthError: the file is missing, torn, or of another architecture.
    """
    try:
        network.load_state_dict(load_file(path))
    except FileNotFoundError:
        raise EchosynthError(f"{path} is missing; run `dvc repro` to make it, or `dvc pull` to get it") from None
    except Exception as error:  # safetensors raises its own type for torn files, torch RuntimeError for others' weights
        reason = " ".join(str(error).split())[:200]
        raise EchosynthError(
            f"{path} does not fit its card or is damaged ({reason}); make it anew with `dvc repro`"
        ) from None
