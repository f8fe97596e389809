"""What many tests need: the demo's parameters, and small media files written by hand."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from echosynth.config import Params, load_params, parse_params, read_yaml

ROOT = Path(__file__).parents[1]


@pytest.fixture
def params() -> Params:
    """params.yaml as it is."""
    return load_params(ROOT / "params.yaml")


@pytest.fixture
def params_with() -> Callable[..., Params]:
    """params.yaml with changes: params_with(ingest={"size": 16})."""

    def changed(**sections: dict[str, Any]) -> Params:
        content = read_yaml(ROOT / "params.yaml")
        for section, values in sections.items():
            content[section] |= values
        return parse_params(content)

    return changed


@pytest.fixture
def write_png() -> Callable[..., Path]:
    """Write a grey PNG of random speckle, or the given picture."""

    def write(path: Path, picture: np.ndarray | None = None, size: tuple[int, int] = (112, 112), seed: int = 0) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        if picture is None:
            picture = np.random.default_rng(seed).integers(0, 256, (size[1], size[0]), dtype=np.uint8)
        path.write_bytes(cv2.imencode(".png", picture)[1].tobytes())
        return path

    return write


@pytest.fixture
def write_avi() -> Callable[..., Path]:
    """Write an MJPG video of flat frames whose grey level is 20 + 10 times the frame's number, or of the given BGR frames."""

    def write(path: Path, count: int = 8, frames: Sequence[np.ndarray] | None = None, side: int = 112) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        frames = frames or [np.full((side, side, 3), 20 + 10 * index, np.uint8) for index in range(count)]
        height, width = frames[0].shape[:2]
        video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 50, (width, height))
        for frame in frames:
            video.write(frame)
        video.release()
        return path

    return write


@pytest.fixture
def write_csv() -> Callable[..., Path]:
    """Write lines of text as a table."""

    def write(path: Path, *lines: str, start: str = "", end: str = "\n") -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((start + end.join(lines) + end).encode())
        return path

    return write
