"""Chosen frames of AVI and MP4 files of any codec, by FFmpeg through PyAV.

Frame n is the n-th in the order of presentation, whatever the container says of times and rates. Where the packets tell
the frames (`echosynth.media.timeline`), decoding begins at the key frame before a wanted one; else at the beginning.
"""

from collections import deque
from collections.abc import Container, Iterator, Sequence
from contextlib import closing
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.video.frame import PictureType
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream

from echosynth.common.arrays import Image
from echosynth.common.errors import EchosynthError
from echosynth.media.mjpeg import another_size, undecodable
from echosynth.media.probe import most_pixels, too_large
from echosynth.media.timeline import Packet, Timeline, timeline

FORMATS = {".avi": "avi", ".mp4": "mov"}  # suffix -> FFmpeg's reader; none other is ever asked
# The decoders of these mark the frames that they had to make up. Others are told to fail over a broken packet, which
# these do where a video begins in the middle of a longer one, too.
MARKS_DAMAGE = ("h264",)
STRICT = {"err_detect": "crccheck+explode"}
# These check every slice, and only log what they find.
TELLS_BY_LOG = ("ffv1",)
# Frames that may be shown between one and another that it needs, where no times tell.
REORDERED = 4
EIGHT_BITS = ("yuv420p", "yuvj420p")  # among others: those of nearly all videos
BICUBIC = Interpolation.BICUBIC
# Degrees counterclockwise -> quarter turns.
TURNS = {90: 1, 180: 2, -180: 2, -90: 3}
Output = tuple[float, Any, bool]  # number of a frame, the frame, whether it is sound
NOTHING: Output = (-1, None, False)
END: Output = (float("inf"), None, False)


def _limits() -> dict[str, str]:
    """What FFmpeg refuses by itself, inside of streams, too."""
    return {"max_pixels": str(most_pixels())}


class _Cine:
    """An open video, whose frames are asked for in ascending order."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open()
        self._begun = self._place = 0  # packets: with which decoding began, and the last that was decoded
        self._outputs: Iterator[Output] | None = None
        self._ahead = NOTHING  # the last frame that was decoded
        self.wanted: Container[int] = ()  # packets whose frames are asked for
        self._jumps = True  # whether key frames are where decoding can begin
        self.size = self.context.width, self.context.height
        if problem := too_large(*self.size):
            raise EchosynthError(f"{path} {problem}")

    def _open(self) -> None:
        # As a file and not by its name, in which FFmpeg takes a colon for a protocol.
        self._file = self.path.open("rb")
        try:
            self.container = av.open(
                self._file, "r", format=FORMATS[self.path.suffix.lower()], options=_limits(), metadata_errors="replace"
            )
        except av.FFmpegError as error:
            self._file.close()
            raise EchosynthError(f"{self.path} is no readable video ({error.strerror}); copy it again") from None
        stream = self.container.streams.best("video")
        if not isinstance(stream, VideoStream) or stream.codec_context is None:
            raise EchosynthError(f"{self.path} holds no video that can be decoded; convert it to MP4 with H.264")
        self.stream, self.context = stream, stream.codec_context
        # One thread: ingest runs as many processes as there are cores, and FFmpeg's threads delay the first frame.
        self.context.thread_type, self.context.thread_count = "NONE", 1
        self.context.options = _limits() | ({} if self.context.name in MARKS_DAMAGE else STRICT)
        self._at_start = True

    def close(self) -> None:
        self.container.close()
        self._file.close()

    def _packets(self) -> Iterator[Any]:
        """The packets from where the container stands; at the end what makes the decoder give its last frames."""
        self._at_start = False
        try:
            yield from self.container.demux(self.stream)
        except av.FFmpegError:  # a torn end
            yield None

    def listed(self) -> list[Packet]:
        """All packets of a video that was just opened."""
        self._at_start = False
        found: list[Packet] = []
        try:
            for packet in self.container.demux(self.stream):
                if packet.size:
                    found.append((packet.pts, packet.is_keyframe, packet.is_discard, packet.size))
        except av.FFmpegError:  # a torn end
            pass
        return found

    def decoded(self, table: Timeline | None, first: int = 0) -> Iterator[Output]:
        """All frames from packet `first` on; without a timeline from the beginning."""
        packets = self._packets_from(table, first)
        broken: list[int] = []
        number, clean, passing = -1, first == 0, False
        begun: int | None = None  # time of the first key frame
        waiting: deque[tuple[int, Any, bool]] = deque()
        self.context.skip_frame = "DEFAULT"
        for self._place, packet in enumerate(packets, first):
            # What is neither wanted nor needed by others is passed over.
            if passing != (table is not None and self._place not in self.wanted):
                passing = not passing
                self.context.skip_frame = "NONREF" if passing else "DEFAULT"
            if begun is None and packet is not None and packet.is_keyframe:
                begun = packet.pts or 0
            try:
                frames = self._decoded(packet)
            except av.FFmpegError:
                # A recording that was cut out of another begins with what nobody can decode.
                if begun is not None and (packet is None or packet.pts is None or packet.pts >= begun):
                    broken.append(self._place)
                continue
            for frame in frames:
                number += 1
                if table is None:
                    if frame.is_corrupt:
                        broken.append(number)
                    waiting.append((number, frame, True))
                    # A broken packet may have held a frame: from then on nobody can tell their numbers.
                    while number - waiting[0][0] >= REORDERED:
                        shown, picture, _ = waiting.popleft()
                        yield shown, picture, not broken
                elif (time := frame.pts) is not None and time in table.numbers:
                    if frame.is_corrupt:
                        broken.append(table.packets[time])
                    # A "key frame" that needs others refreshes the picture bit by bit: none of what follows is whole.
                    clean = clean or (time == table.times[first] and frame.pict_type == PictureType.I)
                    waiting.append((time, frame, clean))
                    # A frame may need another that is shown later, of which nothing is known before.
                    while waiting and table.needed[table.packets[waiting[0][0]]] <= time:
                        yield self._judged(table, waiting.popleft(), broken)
        for shown, picture, started in waiting:
            one = (shown, picture, started)
            yield self._judged(table, one, broken) if table else (shown, picture, not broken)

    def _decoded(self, packet: Any) -> list[Any]:
        """The frames that a packet brings forth.

        Raises:
            av.FFmpegError: it is damaged.
        """
        if self.context.name not in TELLS_BY_LOG:
            return self.context.decode(packet)
        before = av.logging.get_level()
        av.logging.set_level(av.logging.ERROR)
        try:
            with av.logging.Capture() as said:
                frames = self.context.decode(packet)
        finally:
            av.logging.set_level(before)
        if any(level <= av.logging.ERROR for level, _, _ in said):
            raise av.InvalidDataError(0, "damaged", None)
        return frames

    def _judged(self, table: Timeline, waiting: tuple[int, Any, bool], broken: Sequence[int]) -> Output:
        """A frame by its time, and whether it is sound, now that all that it may need is known."""
        time, frame, clean = waiting
        return table.numbers[time], frame, clean and (not broken or table.is_sound(table.packets[time], broken))

    def _packets_from(self, table: Timeline | None, first: int) -> Iterator[Any]:
        if self._at_start and not first:
            return self._packets()
        # A container may come to another place than was asked for: the first packet tells.
        if table and (packets := self._sought(table.times[first])):
            found = next(packets)
            place = table.packets.get(found.pts, len(table.times)) if found else len(table.times)
            if place <= first:
                return islice(chain([found], packets), first - place, None)
        self.close()
        self._open()
        return islice(self._packets(), first, None)

    def _sought(self, time: int) -> Iterator[Any] | None:
        """The packets from about that time on, None where the container cannot seek."""
        try:
            self.container.seek(time, stream=self.stream)
        except av.FFmpegError:
            return None
        return self._packets()

    def frame(self, table: Timeline | None, number: int) -> Any:
        """One frame, None when it is damaged."""
        start = table.start(number) if table and self._jumps else 0
        outputs = self._outputs
        if outputs is None or start > self._place + 1:
            outputs = self._begin(table, start)
        found = self._search(outputs, number)
        if found is None and self._begun:
            found = self._search(self._begin(table, 0), number)
            self._jumps = found is None
        return found

    def _begin(self, table: Timeline | None, start: int) -> Iterator[Output]:
        self._begun, self._place, self._ahead = start, start, NOTHING
        self._outputs = self.decoded(table, start)
        return self._outputs

    def _search(self, outputs: Iterator[Output], number: int) -> Any:
        while self._ahead[0] < number:
            self._ahead = next(outputs, END)
        found, frame, sound = self._ahead
        return frame if found == number and sound else None


def stated_size(path: Path) -> tuple[int, int]:
    """Width and height of a video in pixels by its headers; no frame is decoded beyond what FFmpeg needs to know them.

    Raises:
        EchosynthError: see `FFmpegVideo`.
    """
    with closing(_Cine(path)) as cine:
        return cine.size


class FFmpegVideo:
    """A video with its frames told apart.

    Args:
        path: an AVI or MP4 that `echosynth.media.probe` found whole.

    Attributes:
        size: width and height of the frames in pixels, as the file states them.
        total: number of frames.
        spacing: relative width and height of a pixel; None: square, or the file does not say.

    Raises:
        EchosynthError: the file is no video or states absurd sizes.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        cine = _Cine(path)
        self.size = cine.size
        container = "avi" if path.suffix.lower() == ".avi" else "mp4"
        self._table = timeline(cine.listed(), cine.context.name, container)
        self.total = len(self._table.shown) if self._table else sum(1 for _ in cine.decoded(None))
        # Kept open for the first reading: to open a file costs as much as to decode some frames.
        self._opened: _Cine | None = cine
        ratio = cine.stream.sample_aspect_ratio or Fraction(1)
        self.spacing = None if ratio == 1 else (float(ratio.numerator), float(ratio.denominator))
        if self.spacing and (first := self._first()) is not None and TURNS.get(first.rotation, 0) % 2:
            self.spacing = self.spacing[::-1]

    def __del__(self) -> None:
        if opened := getattr(self, "_opened", None):
            opened.close()

    def _first(self) -> Any:
        """The first frame that is sound; None when no frame is."""
        with closing(_Cine(self._path)) as cine:
            return next((frame for _, frame, sound in cine.decoded(self._table) if sound), None)

    def read(self, numbers: Sequence[int]) -> Iterator[Image | EchosynthError]:
        """Decode chosen frames.

        Colours are those of FFmpeg's converter, and the same as OpenCV's reader gives: by the matrix and range that the
        stream states, BT.601 and 16 to 235 where it states none; full range for "yuvj" formats; grey is copied to all
        channels; more than 8 bits are rounded. Frames are turned upright by quarter turns, as phones ask for.

        Args:
            numbers: of the frames, from 0, ascending.

        Returns:
            (H, W, 3) RGB uint8, one at a time, or why a frame cannot be used: it is damaged or has another size than
            the first.
        """
        convert = VideoReformatter().reformat
        first: tuple[int, int] | None = None
        cine, self._opened = self._opened or _Cine(self._path), None
        with closing(cine):
            if table := self._table:
                cine.wanted = {table.packets[table.shown[number]] for number in numbers}
            for number in numbers:
                frame = cine.frame(self._table, number)
                if frame is None:
                    yield undecodable(self._path, number, self.total)
                    continue
                size = frame.width, frame.height
                if size != (first or self.size):
                    # The header may be wrong about all of them.
                    first = first or ((one := self._first()).width, one.height)
                    if size != first:
                        yield another_size(self._path, number, self.total, size, first)
                        continue
                # Of more than 8 bits FFmpeg makes BGR more carefully than RGB.
                deep = frame.format.name not in EIGHT_BITS and max(part.bits for part in frame.format.components) > 8
                form = "bgr24" if deep else "rgb24"
                picture: Image = convert(frame, format=form, interpolation=BICUBIC, threads=1).to_ndarray()  # type: ignore[assignment]
                picture = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB) if deep else picture
                turns = TURNS.get(frame.rotation, 0)
                yield np.ascontiguousarray(np.rot90(picture, turns)) if turns else picture
