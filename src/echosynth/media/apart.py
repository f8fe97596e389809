"""Frames of files from outside, decoded in a child process with limits on memory, processor time and pixels.

This is how the project reads files; `echosynth.media.decode` does it in the same process and is the child's part.
"""

import atexit
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from echosynth.common.arrays import Image
from echosynth.common.child import Channel
from echosynth.common.children import Children, Job
from echosynth.media import decode
from echosynth.media.decode import Choose, ChooseMany, Clip, Stream, whole_clip
from echosynth.media.options import LIMITS, DecodingParams
from echosynth.media.probe import allow_pixels

DECODERS = Children(decode.__name__)
atexit.register(DECODERS.close)


def read_stream(path: Path | str, choose: ChooseMany, limits: DecodingParams = LIMITS) -> Stream:
    """Open a file for some of its frames as `echosynth.media.decode.read_stream` does, in a child process.

    Args:
        path: see there.
        choose: see there; it is called in this process.
        limits: what the child may use, and the share of the frames that must be usable.

    Raises:
        EchosynthError: see there; or the file takes more than the limits allow, or ends the child.
    """
    name, lost = str(path), list[int]()
    with ExitStack() as stack:
        job = DECODERS.job(f"{__name__}:serve", name, limits, path=name, pixels=limits.pixels, usable=limits.usable)
        talk = stack.enter_context(job)
        total = int(talk.next()[0]["total"])
        numbers = choose(total)
        talk.send({"numbers": list(numbers)})
        about = talk.next()[0]
        frames = _received(talk, stack.pop_all(), limits, lost)
    spacing = about["spacing"]
    return Stream(frames, numbers, spacing and (spacing[0], spacing[1]), total, about["note"], lost)


def _received(talk: Job, held: ExitStack, limits: DecodingParams, lost: list[int]) -> Iterator[Image]:
    """The frames as the child sends them. It decodes the next one meanwhile."""
    with held:
        while found := talk.receive(3 * limits.pixels):
            message, payload = found
            lost += message["lost"]
            if payload:
                yield np.frombuffer(payload, np.uint8).reshape(message["shape"])


def serve(channel: Channel, payload: bytearray, path: str, pixels: int, usable: float) -> None:
    """The child's part of `read_stream`."""
    allow_pixels(pixels)

    def choose(total: int) -> list[int]:
        channel.send({"total": total})
        numbers: list[int] = channel.receive(0)[0]["numbers"]
        return numbers

    stream, told = decode.read_stream(path, choose, usable), 0
    channel.send({"spacing": stream.spacing, "note": stream.note})
    for frame in stream.frames:
        news, told = stream.lost[told:], len(stream.lost)
        channel.send({"shape": frame.shape, "lost": news}, np.ascontiguousarray(frame).data)
    channel.send({"lost": stream.lost[told:]})


def read_frame(path: Path | str, limits: DecodingParams = LIMITS, choose: Choose = lambda total: 0) -> Clip:
    """Read one frame of a file as `echosynth.media.decode.read_frame` does, in a child process.

    Raises:
        EchosynthError: see `read_stream`.
    """
    return whole_clip(read_stream(path, lambda total: [choose(total)], limits))
