"""Which colours the pixels of a DICOM file are: what the compressed stream and the length prove, before what the header
says, which archives and converters leave as it was."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydicom.pixels.processing import convert_color_space
from pydicom.uid import JPEG2000TransferSyntaxes, JPEGTransferSyntaxes

from echosynth.common.errors import EchosynthError

RGB, YBR = "RGB", "YBR_FULL"
HALF_CHROMA: Final = "YBR_FULL_422"  # uncompressed: two bytes a pixel
# Frame headers of lossy JPEG; its lossless kin (SOF3) hold what they were given.
LOSSY: Final = (0xC0, 0xC1, 0xC2)
NO_FRAME_HEADER: Final = (0xC4, 0xC8, 0xCC)
NEAR = 8  # grey levels; a grey pixel's colours differ by less after a good JPEG
MOST = 0.5  # an ultrasound picture is black and grey in more than this share of its pixels


def of_stream(data: bytes, syntax: str, header: str) -> str:
    """Say in which colours a decoder hands over a compressed frame of three components.

    JPEG, in this order: the transform flag of Adobe's marker (ITU-T T.872, 6.5.3); a JFIF marker, which allows YCbCr
    alone (ITU-T T.871); components that are named R, G, B; of lossy JPEG, components that are numbered as in JFIF, or
    sampled unlike each other, as red, green and blue never are. JPEG 2000: its own component transform, which decoders
    undo (ITU-T T.800, A.6.1). All other streams say nothing, and the header counts.

    Args:
        data: the stream of one frame.
        syntax: UID of the transfer syntax.
        header: the photometric interpretation of the header.
    """
    if syntax in JPEG2000TransferSyntaxes:
        at = data.find(b"\xff\x52", data.find(b"\xff\x4f"))  # COD, after SOC
        return RGB if 0 < at < len(data) - 8 and data[at + 8] == 1 else header
    return _of_jpeg(data) or header if syntax in JPEGTransferSyntaxes else header


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Marker and content of what stands before the first scan."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        if data[at + 1] == 0xFF:  # a fill byte
            at += 1
            continue
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        yield data[at + 1], data[at + 4 : at + 2 + length]
        at += 2 + max(length, 2)


def _of_jpeg(data: bytes) -> str | None:
    transform, jfif = None, False
    for marker, content in _segments(data):
        if marker == 0xEE and content.startswith(b"Adobe") and len(content) >= 12:
            transform = content[11]
        elif marker == 0xE0 and content.startswith(b"JFIF\0"):
            jfif = True
        elif 0xC0 <= marker <= 0xCF and marker not in NO_FRAME_HEADER:
            parts = [content[6 + 3 * number : 8 + 3 * number] for number in range(3)]
            if len(content) != 15:  # of three components
                return None
            if transform is not None:
                return YBR if transform else RGB
            if jfif:
                return YBR
            names = bytes(part[0] for part in parts)
            if names.upper() == b"RGB":
                return RGB
            subsampled = len({part[1] for part in parts}) > 1
            return YBR if marker in LOSSY and (names == b"\1\2\3" or subsampled) else None
    return None


def of_plain_pixels(header: Any, length: int, path: object) -> str:
    """Say which colours uncompressed pixels are by the length of their data, or "" where that takes a look at them.

    Args:
        header: the data set.
        length: of the pixel data in bytes.
        path: for the sentence.

    Raises:
        EchosynthError: there is room for at least one picture more than the header tells, so that its number of frames,
            samples or bits is wrong and any picture read by it could be another one.
    """
    label = str(header.PhotometricInterpretation)
    pixels = int(header.Rows) * int(header.Columns)
    bits = 16 if label == HALF_CHROMA else int(header.SamplesPerPixel) * int(header.BitsAllocated)
    frames = int(header.get("NumberOfFrames") or 1)
    if label == HALF_CHROMA and pixels * 3 * frames <= length < pixels * 3 * (frames + 1):
        return ""
    if length * 8 >= pixels * bits * (frames + 1):
        raise EchosynthError(
            f"{path} holds {length} bytes of pixels where its header tells of {pixels * bits * frames // 8} "
            f"({frames} frames of {header.Columns} x {header.Rows}, {bits} bits a pixel, {label}), so the header is "
            "wrong; export it again"
        )
    return label


def by_sight(pixels: npt.NDArray[np.uint8], path: object) -> str:
    """Say whether pixels (H, W, 3) of an ultrasound picture are RGB or YCbCr: most of them are black or grey.

    Raises:
        EchosynthError: they look like neither, or like both.
    """
    values = pixels.astype(np.int16)
    grey_rgb = float((np.ptp(values, axis=2) <= NEAR).mean()) > MOST
    grey_ybr = float((np.abs(values[..., 1:] - 128).max(axis=2) <= NEAR).mean()) > MOST
    if grey_rgb == grey_ybr:
        raise EchosynthError(f"{path} does not tell whether its pixels are RGB or YCbCr; export it again")
    return RGB if grey_rgb else YBR


def to_rgb(pixels: npt.NDArray[Any], colours: str) -> npt.NDArray[Any]:
    """Turn pixels (H, W, 3) in full-range YCbCr into RGB (PS3.3 C.7.6.3.1.2); others stay as they are.

    YBR_RCT and YBR_ICT are transforms of JPEG 2000, which decoders have undone.
    """
    if colours not in (YBR, HALF_CHROMA):
        return pixels
    return np.asarray(convert_color_space(pixels, YBR, RGB))
