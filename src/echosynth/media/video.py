"""Chosen frames of AVI and MP4 files, without decoding more of the others than the container makes necessary."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from echosynth.common.arrays import Image
from echosynth.common.errors import EchosynthError
from echosynth.media.avi import avi_size
from echosynth.media.mjpeg import Place, mjpeg_places, mjpeg_spacing, read_by_index
from echosynth.media.probe import HEAD

Reader = Callable[[Sequence[int]], Iterator[Image | EchosynthError]]


@dataclass(frozen=True)
class Video:
    """A video that was looked over.

    Attributes:
        total: number of frames.
        size: width and height of a frame in pixels, as the file's header states them (before it is turned upright).
        spacing: relative width and height of a pixel; None: square, or the file does not say.
        read: function of ascending frame numbers from 0 that yields them as (H, W, 3) RGB uint8, one at a time, or an
            error where one is damaged or has another size than the first.
    """

    total: int
    size: tuple[int, int]
    spacing: tuple[float, float] | None
    read: Reader


def open_video(path: Path) -> Video:
    """Look a video over. Of Motion JPEG with an index, which EchoNet's videos are, only the wanted frames are read;
    FFmpeg reads the others.

    Args:
        path: an AVI or MP4 that `echosynth.media.probe` found whole.

    Raises:
        EchosynthError: the file is no video or holds no frame.
    """
    if places := _places(path):
        spacing = mjpeg_spacing(path, places)
        return Video(len(places), _size(path), spacing, lambda numbers: read_by_index(path, places, numbers))
    # Here and below: who reads EchoNet's videos does not wait for PyAV.
    from echosynth.media.ffmpeg import FFmpegVideo

    video = FFmpegVideo(path)
    if not video.total:
        raise EchosynthError(f"{path} holds no frame that can be decoded; copy it again")
    return Video(video.total, video.size, video.spacing, video.read)


def video_size(path: Path) -> tuple[int, int]:
    """Width and height of a video in pixels as its headers state them, before all else is read.

    Raises:
        EchosynthError: the file is no video.
    """
    if _places(path):
        return _size(path)
    from echosynth.media.ffmpeg import stated_size

    return stated_size(path)


def _places(path: Path) -> list[Place] | None:
    return mjpeg_places(path) if path.name.lower().endswith(".avi") else None


def _size(path: Path) -> tuple[int, int]:
    with path.open("rb") as stream:
        return avi_size(stream.read(HEAD)) or (0, 0)
