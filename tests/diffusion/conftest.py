"""Small settings and images for the tests of the diffusion engine."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from echosynth.config.parameters import load_params
from echosynth.diffusion.batches import Examples
from echosynth.diffusion.options import DiffusionParams

ROOT = Path(__file__).parents[2]
SMALL: dict[str, Any] = {
    "channels": [16, 32],
    "attention": [4],
    "batch_size": 8,
    "steps": 8,
    "log_every": 2,
    "checkpoint_every": 3,
    "warmup_steps": 2,
    "snapshots": 2,
    "snapshot_images": 0,
    "precision": "fp32",
    "preconditioning": "none",
    "loss": "min-snr",
    "ema_decays": [0.97, 0.99],
    "augment": 0.3,
    "augment_share": 1.0,
    "augment_told": False,
}


def small_settings(**changes: object) -> DiffusionParams:
    """Section `diffusion` of params.yaml at the size of a test: images of 16 x 16."""
    tree = load_params(ROOT / "params.yaml").diffusion.model_dump()
    autoencoder = tree["autoencoder"] | {"channels": [16, 16], "steps": 4, "batch_size": 4}
    return DiffusionParams.model_validate(tree | {"autoencoder": autoencoder} | SMALL | changes)


def small_data(count: int = 20, side: int = 16) -> Examples:
    """Noise pictures, the views in turn, two sources."""
    images = np.random.default_rng(0).integers(0, 255, (count, side, side), dtype=np.uint8)
    return Examples(images, torch.arange(count) % 4, torch.arange(count) % 2)


@pytest.fixture(autouse=True)
def _one_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep trainings whose bits are compared to one number of threads, also beside other work."""
    monkeypatch.setenv("OMP_NUM_THREADS", str(torch.get_num_threads()))


@pytest.fixture
def settings() -> Callable[..., DiffusionParams]:
    """See `small_settings`."""
    return small_settings


@pytest.fixture
def data() -> Examples:
    """See `small_data`."""
    return small_data()
