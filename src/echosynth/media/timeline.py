"""Which packet of a video shows which frame, told without decoding from presentation times and key frames."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

# For a packet of a few bytes, which says "as before", MPEG-4's decoders give no frame.
AS_BEFORE = 16
# A packet may be half of an interlaced frame; in MP4 (ISO/IEC 14496-15) it is whole.
BY_FIELDS = ("h264", "hevc", "mpeg2video", "vc1", "wmv3")
WHOLE_IN_MP4 = ("h264", "hevc", "vp9", "av1")


# Of a packet what its container says: when its frame is shown (in the stream's own unit; None when it does not say),
# whether decoding can begin here, whether an edit list cuts the frame away, and its size in bytes.
Packet = tuple[int | None, bool, bool, int]


@dataclass(frozen=True)
class Timeline:
    """The packets of a video, and the frames that they show.

    Attributes:
        times: presentation time of each packet, in the order in which they are decoded; all are different.
        starts: for each packet the number of the one with which decoding has to begin.
        shown: times of the frames, ascending: frame n is shown at shown[n].
    """

    times: tuple[int, ...]
    starts: tuple[int, ...]
    shown: tuple[int, ...]

    @cached_property
    def numbers(self) -> dict[int, int]:
        """Time -> number of the frame."""
        return {time: number for number, time in enumerate(self.shown)}

    @cached_property
    def packets(self) -> dict[int, int]:
        """Time -> number of the packet."""
        return {time: packet for packet, time in enumerate(self.times)}

    @cached_property
    def needed(self) -> tuple[int, ...]:
        """For each packet the latest time of a frame that it may need, back to its start: once that one was shown, all
        that it needs is known."""
        found, last, before, since = [], 0, self.times[0], self.times[0]
        for packet, (time, start) in enumerate(zip(self.times, self.starts, strict=True)):
            if start == packet:
                last, before, since = packet, since, time
            since = max(since, time)
            found.append(since if start == last else max(before, since))
        return tuple(found)

    def start(self, number: int) -> int:
        """The packet with which decoding has to begin for frame `number`."""
        return self.starts[self.packets[self.shown[number]]]

    def is_sound(self, packet: int, broken: Sequence[int]) -> bool:
        """Whether the frame of a packet can be right although others are broken.

        Every packet may need those before it, back to its start; only what is shown before the key frame that it
        follows (in open groups of pictures) is needed by nothing that is shown after it.
        """
        start = self.starts[packet]
        return not any(start <= other <= packet and self.starts[other] >= start for other in broken)


def _starts(times: Sequence[int], keys: Sequence[bool]) -> list[int]:
    """The last key frame before each packet. What is shown before that key frame needs the key frame before it, too."""
    starts, before, last = [], 0, 0
    for packet, (time, key) in enumerate(zip(times, keys, strict=True)):
        if key:
            before, last = last, packet
        starts.append(last if time >= times[last] else before)
    return starts


def timeline(packets: Sequence[Packet], codec: str, container: str) -> Timeline | None:
    """The timeline of a video.

    Args:
        packets: all of the stream, in the order of decoding.
        codec: FFmpeg's name.
        container: "mp4" or "avi".

    Returns:
        None when the list does not tell the frames: there is none, a time is missing or stands twice, the first packet
        is no key frame or not the first to be shown, or a packet may not give exactly one frame.
    """
    if not packets:
        return None
    stated, keys, hidden, sizes = zip(*packets, strict=True)
    times = [time for time in stated if time is not None]
    if len(set(times)) < len(packets) or not keys[0] or min(times) < times[0] or all(hidden):
        return None
    if not (container == "mp4" and codec in WHOLE_IN_MP4) and (codec in BY_FIELDS or min(sizes) <= AS_BEFORE):
        return None
    shown = sorted(time for time, cut in zip(times, hidden, strict=True) if not cut)
    return Timeline(tuple(times), tuple(_starts(times, keys)), tuple(shown))
