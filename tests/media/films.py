"""Small cines whose frames carry their numbers, in the containers and codecs in which programs write them."""

import struct
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

HEIGHT, WIDTH = 48, 64
BITS = 7
X264 = {"g": "10", "keyint_min": "10", "sc_threshold": "0", "bf": "3", "crf": "8"}
Picture = npt.NDArray[np.uint8]


def frame(number: int, height: int = HEIGHT, width: int = WIDTH) -> Picture:
    """A smooth moving scene (H, W) with the number as black and white squares in its lowest rows."""
    y, x = np.mgrid[:height, :width]
    grey = np.rint(120 + 50 * np.sin(x / 9 + number / 3) + 40 * np.cos(y / 7 - number / 5)).astype(np.uint8)
    for bit in range(BITS):
        grey[-8:, 8 * bit : 8 * bit + 8] = 250 if number >> bit & 1 else 5
    return grey


def number_of(picture: Picture) -> int:
    """The number that a decoded frame shows."""
    squares = picture[-6:-2].reshape(4, picture.shape[1], -1).mean(axis=(0, 2))
    return sum(int(squares[8 * bit + 2 : 8 * bit + 6].mean() > 125) << bit for bit in range(BITS))


def numbers_of(pictures: Iterable[Picture]) -> list[int]:
    return [number_of(picture) for picture in pictures]


def film(
    path: Path,
    codec: str = "libx264",
    *,
    frames: Sequence[Picture] | int = 40,
    times: Sequence[int] | None = None,
    options: dict[str, str] | None = None,
    container: dict[str, str] | None = None,
    pixels: str = "yuv420p",
    aspect: Fraction | None = None,
    turned: int = 0,
    **tags: Any,
) -> Path:
    """Write frames, (H, W) or (H, W, 3) RGB, as a video.

    Args:
        path: its suffix tells the container.
        codec: FFmpeg's name of the encoder.
        frames: the frames or how many of `frame`.
        times: of each frame, in thousandths of a second; 25 frames a second unless given.
        options: of the encoder.
        container: options of the container.
        pixels: FFmpeg's name of the format.
        aspect: width over height of a pixel.
        turned: degrees counterclockwise by which a player turns the picture.
        tags: colorspace and color_range of the stream, as FFmpeg numbers them.
    """
    pictures = [frame(number) for number in range(frames)] if isinstance(frames, int) else frames
    with av.open(str(path), "w", options=container or {}) as target:
        stream: Any = target.add_stream(codec, rate=25, options=options or {})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = pixels
        stream.codec_context.time_base = Fraction(1, 25 if times is None else 1000)
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        if turned:
            stream.set_display_rotation(turned)
        for name, value in tags.items():
            setattr(stream.codec_context, name, value)
        for number, grey in enumerate(pictures):
            rgb = np.repeat(grey[..., None], 3, 2) if grey.ndim == 2 else grey
            picture = av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(
                format=pixels, dst_colorspace=tags.get("colorspace"), dst_color_range=tags.get("color_range")
            )
            picture.pts, picture.time_base = times[number] if times else number, stream.codec_context.time_base
            target.mux(stream.encode(picture))
        target.mux(stream.encode())
    return path


def packets(path: Path) -> list[Any]:
    """All packets of a video."""
    with av.open(str(path)) as source:
        return [packet for packet in source.demux(video=0) if packet.size]


def copied(path: Path, target: Path, begin: int = 0, shift: int = 0) -> Path:
    """A video without its first packets, or with all of it so much earlier that an edit list cuts the start off."""
    with av.open(str(path)) as source, av.open(str(target), "w", options={"avoid_negative_ts": "disabled"}) as result:
        stream = result.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(source.demux(video=0)):
            if packet.size and number >= begin and packet.pts is not None and packet.dts is not None:
                packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, stream
                result.mux(packet)
    return target


def broken(path: Path, number: int) -> Path:
    """Overwrite the middle of packet `number`, in the order of decoding, with noise."""
    packet = packets(path)[number]
    start, end = packet.pos + 8 + packet.size // 3, packet.pos + packet.size - packet.size // 8
    data = bytearray(path.read_bytes())
    data[start:end] = np.random.default_rng(0).integers(0, 256, end - start, dtype=np.uint8).tobytes()
    path.write_bytes(data)
    return path


def jpeg(picture: Picture) -> bytes:
    """A JPEG as FFmpeg writes it into a video, with the standard Huffman tables."""
    codec: Any = av.CodecContext.create("mjpeg", "w")
    codec.height, codec.width = picture.shape
    codec.pix_fmt, codec.time_base = "yuvj420p", Fraction(1, 25)
    codec.options = {"qmin": "2", "qmax": "2", "huffman": "default"}
    coded = av.VideoFrame.from_ndarray(np.repeat(picture[..., None], 3, 2), "rgb24").reformat(format="yuvj420p")
    coded.pts = 0
    return b"".join(bytes(packet) for packet in [*codec.encode(coded), *codec.encode()])


def without_tables(data: bytes) -> bytes:
    """A JPEG without its Huffman tables, as frame grabbers leave them out."""
    at, kept = 2, data[:2]
    while data[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        kept += b"" if data[at + 1] == 0xC4 else data[at:end]
        at = end
    return kept + data[at:]


def _chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def mjpeg_avi(
    path: Path,
    pictures: Sequence[bytes],
    *,
    riff: int = 0,
    padding: bytes = b"",
    index: bool = True,
    tag: bytes = b"00dc",
    shape: tuple[int, int] | None = None,
) -> Path:
    """A Motion JPEG AVI, byte by byte.

    Args:
        path: where it goes.
        pictures: JPEGs of HEIGHT x WIDTH pixels.
        riff: by how many bytes the length in its first header is wrong.
        padding: bytes between the chunks at the top.
        index: whether it has one, as its header then says.
        tag: name of the chunks.
        shape: width and height of the picture as it is shown, in any unit, for the header `vprp`.
    """
    main = struct.pack("<14I", 40000, 0, 0, 0x10 * index, len(pictures), 0, 1, 0, WIDTH, HEIGHT, 0, 0, 0, 0)
    head = b"vidsMJPG" + struct.pack("<10I4h", 0, 0, 0, 1, 25, 0, len(pictures), 0, 0, 0, 0, 0, WIDTH, HEIGHT)
    form = struct.pack("<IiiHH4sIiiII", 40, WIDTH, HEIGHT, 1, 24, b"MJPG", WIDTH * HEIGHT * 3, 0, 0, 0, 0)
    stream = b"strl" + _chunk(b"strh", head) + _chunk(b"strf", form)
    if shape:
        properties = struct.pack("<5I2H3I", 0, 0, 25, WIDTH, HEIGHT, shape[1], shape[0], WIDTH, HEIGHT, 1)
        stream += _chunk(b"vprp", properties + bytes(32))
    body, entries = b"movi", b""
    for picture in pictures:
        entries += tag + struct.pack("<III", 0x10, len(body), len(picture))
        body += _chunk(tag, picture)
    top = _chunk(b"LIST", b"hdrl" + _chunk(b"avih", main) + _chunk(b"LIST", stream))
    rest = top + padding + _chunk(b"LIST", body) + padding + (_chunk(b"idx1", entries) if index else b"")
    path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(rest) + riff) + b"AVI " + rest)
    return path
