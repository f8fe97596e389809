"""Batches for training: from the packed image set, and from PNG files through torchvision and PIL."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import joblib
import numpy as np
import pandas as pd
import torch

from bench.results import Result, compare, rate
from echosynth.classifier.recipes import batch_indices
from echosynth.common.views import VIEWS
from echosynth.compute.device import to_tensor
from echosynth.compute.torchvision_schemas import make_importable
from echosynth.imagesets.dataset import read_labelled
from echosynth.imagesets.schema import SYNTHETIC_ID
from echosynth.imagesets.store import Images, write_image_set

SEED = 0
TARGET = 5.0


@dataclass(frozen=True)
class Sizes:
    """Images of a set, their side, images a batch; how often, the best run counts."""

    images: int = 4000
    side: int = 112
    batch_size: int = 32
    repeats: int = 3


QUICK = Sizes(16, 112, 4, 1)


def pictures(count: int, side: int) -> Images:
    """(count, side, side) uint8 smooth noise: PNGs of it are about as large as those of echoes."""
    rng = np.random.default_rng(SEED)
    noise = (rng.integers(0, 256, (side, side), dtype=np.uint8) for _ in range(count))
    return np.stack([cv2.GaussianBlur(picture, (0, 0), 1.5) for picture in noise])


def write_set(folder: Path, images: Images, source: str = "bench") -> list[str]:
    """Write an image set, the views in turn, and say its ids, which begin with the source; "synthetic-" is for
    synthetic ones."""
    (count, side), synthetic = images.shape[:2], source.startswith(SYNTHETIC_ID)
    ids = [f"{source}-{index:06d}" for index in range(count)]
    facts = {
        "id": ids,
        "source": source,
        "view": [VIEWS[index % len(VIEWS)] for index in range(count)],
        "group": [f"{index:06d}" for index in range(count)],
        "group_kind": "none" if synthetic else "file",
        "official_split": "",
        "moment": "",
        "frame": 0,
        "frames": 1,
        "width": side,
        "height": side,
        "synthetic": synthetic,
    }
    write_image_set(folder, images, pd.DataFrame(facts))
    return ids


def write_pngs(folder: Path, images: Images) -> None:
    """Write the same pictures for torchvision's ImageFolder: a folder a view."""
    for view in VIEWS:
        (folder / view).mkdir(parents=True)
    for index, picture in enumerate(images):
        assert cv2.imwrite(str(folder / VIEWS[index % len(VIEWS)] / f"{index:06d}.png"), picture)


@contextmanager
def cache_in(folder: Path) -> Iterator[None]:
    """Let packs be written below `folder` instead of the project's own cache."""
    before = os.environ.get("DVC_ROOT")
    os.environ["DVC_ROOT"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["DVC_ROOT"]
        else:
            os.environ["DVC_ROOT"] = before


def our_pass(images: Images, batch_size: int) -> float:
    """Seconds of a pass over the set in random order, as the trainers take their batches."""
    began = time.perf_counter()
    for step in range(len(images) // batch_size):
        batch = to_tensor(images[batch_indices(len(images), batch_size, SEED, step).numpy()])
    assert batch.shape == (batch_size, 1, *images.shape[1:]) and batch.dtype == torch.float32
    return time.perf_counter() - began


def image_folder(folder: Path, batch_size: int, workers: int) -> Any:
    """torchvision's loader of the same batches: grey, [-1, 1], in random order."""
    make_importable()
    from torchvision import datasets, transforms

    steps = [transforms.Grayscale(), transforms.ToTensor(), transforms.Normalize(0.5, 0.5)]
    data = datasets.ImageFolder(str(folder), transforms.Compose(steps))
    return torch.utils.data.DataLoader(
        data, batch_size, shuffle=True, drop_last=True, num_workers=workers, persistent_workers=workers > 0
    )


def their_pass(loader: Any) -> float:
    """Seconds of a pass over torchvision's loader."""
    began = time.perf_counter()
    for batch, _ in loader:
        assert batch.shape[1] == 1
    return time.perf_counter() - began


def measure_loading(sizes: Sizes) -> list[Result]:
    """Passes over a set, against torchvision in this process and with a worker a core; and the reading beforehand.

    torchvision's workers are started before the clock.
    """
    images = pictures(sizes.images, sizes.side)
    setting = f"{sizes.images} PNGs of {sizes.side} x {sizes.side}, batches of {sizes.batch_size}"
    results: list[Result] = []
    with TemporaryDirectory(prefix="echosynth-bench-") as temporary, cache_in(Path(temporary)):
        folder = Path(temporary)
        write_set(folder / "set", images)
        write_pngs(folder / "png", images)
        began = time.perf_counter()
        read_labelled([folder / "set"])
        first = time.perf_counter() - began
        ours = partial(our_pass, read_labelled([folder / "set"]).images, sizes.batch_size)
        for workers in (0, joblib.cpu_count()):
            loader = image_folder(folder / "png", sizes.batch_size, workers)
            theirs, other = partial(their_pass, loader), f"torchvision ImageFolder, {workers} workers"
            theirs()
            results.append(compare("batches for training", TARGET, ours, theirs, other, setting, sizes.repeats))
    count = sizes.images // sizes.batch_size * sizes.batch_size
    results.append(rate("batches for training", "images", count, setting, sizes.repeats, ours))
    results.append(rate("reading a set, first time (packing)", "images", sizes.images, setting, 1, lambda: first))
    return results
