"""DICOM: any transfer syntax that pydicom and GDCM know, to 8-bit grey or RGB frames of the tissue picture."""

import io
import logging
import re
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.encaps import generate_frames, get_frame
from pydicom.filereader import read_file_meta_info
from pydicom.pixels import apply_color_lut, iter_pixels
from pydicom.pixels.processing import apply_modality_lut
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000TransferSyntaxes, RLELossless

from echosynth.common.arrays import Image
from echosynth.common.errors import EchosynthError
from echosynth.media.complaints import complaints
from echosynth.media.dicom_colour import HALF_CHROMA, RGB, by_sight, of_plain_pixels, of_stream, to_rgb
from echosynth.media.mjpeg import another_size, undecodable
from echosynth.media.probe import MAX_VALUES, j2k_size, jpeg_size, too_large

Box = tuple[int, int, int, int]
# Codes of PS3.3 C.8.5.5: spatial format "2D", data type "tissue", unit "cm".
CORNERS = ("RegionLocationMinX0", "RegionLocationMinY0", "RegionLocationMaxX1", "RegionLocationMaxY1")
FORMAT_2D, TYPE_TISSUE, UNIT_CM = 1, 1, 3
# Writers disagree whether the last column of a region is part of it, so regions may stick out by this share of the
# picture.
SLACK = 0.01
ADDRESS = re.compile(r"<[^<>]* at 0x[0-9a-f]+>")  # of an object, in words of Python
DEFERRED = 1 << 16  # bytes; what is longer, such as pixels, is not read with the header

# Decoders log every failed try with its trace; the errors raised here say which file it was.
logging.getLogger("pydicom").setLevel(logging.CRITICAL)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn whatever a decoder raises over a torn or odd file into one sentence."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom warns about every private oddity of a header
            yield
    except (EchosynthError, MemoryError):
        raise
    except Exception as error:  # decoders raise all sorts over broken bytes
        raise _broken(path, error) from None


def _broken(path: Path, error: Exception) -> EchosynthError:
    words = "".join(letter if letter.isprintable() else " " for letter in ADDRESS.sub("", str(error)))
    reason = " ".join(words.split())[:200]
    return EchosynthError(f"{path} cannot be decoded as DICOM ({reason}); export it again")


def _region(header: Any, path: Path) -> tuple[Box | None, tuple[float, float] | None, str]:
    """Box (left, top, right, bottom; the last two excluded) of the tissue picture, its spacing in mm, and a note.

    The largest 2-D tissue region counts. One that sticks out of the picture belongs to another size of it, as some
    servers shrink pictures and leave the header as it was: then neither box nor spacing can be trusted.
    """
    rows, columns = int(header.Rows), int(header.Columns)
    boxes: list[tuple[int, Box, Any]] = []
    for region in header.get("SequenceOfUltrasoundRegions") or ():
        if region.get("RegionSpatialFormat") != FORMAT_2D or region.get("RegionDataType") != TYPE_TISSUE:
            continue
        if missing := [name for name in CORNERS if region.get(name) is None]:
            return None, None, f"ultrasound region ignored: it lacks {missing[0]}"
        left, top, last_column, last_row = (int(region[name].value) for name in CORNERS)
        right, bottom = last_column + 1, last_row + 1
        if left < 0 or top < 0 or right > columns * (1 + SLACK) or bottom > rows * (1 + SLACK):
            return None, None, f"ultrasound region ignored: it is larger than the picture of {columns} x {rows}"
        box = (left, top, min(right, columns), min(bottom, rows))
        if box[0] < box[2] and box[1] < box[3]:
            boxes.append(((box[2] - left) * (box[3] - top), box, region))
    if not boxes:
        return None, None, ""
    _, box, region = max(boxes, key=lambda item: item[0])
    spacing = None
    in_cm = region.get("PhysicalUnitsXDirection") == region.get("PhysicalUnitsYDirection") == UNIT_CM
    deltas = [abs(float(region.get(name) or 0)) * 10 for name in ("PhysicalDeltaX", "PhysicalDeltaY")]
    if in_cm and all(0 < delta < np.inf for delta in deltas):
        spacing = (deltas[0], deltas[1])
    note = f"cropped to the ultrasound region {box[0]},{box[1]} to {box[2]},{box[3]}"
    return box, spacing, note if len(boxes) == 1 else f"{note}, the largest of {len(boxes)}"


def _coloured(pixels: npt.NDArray[Any], header: Any) -> Image:
    """Numbers of colours as colours by the header's table (PS3.3 C.7.6.3.1.5), uint8."""
    coloured = apply_color_lut(pixels, header)
    if coloured.dtype != np.uint16:
        return np.asarray(coloured, np.uint8)
    table = np.frombuffer(header.get("RedPaletteColorLookupTableData", b""), "<u2")
    if table.size and not header.file_meta.TransferSyntaxUID.is_little_endian:
        # pydicom takes the bytes of a plain table in the order of this machine.
        coloured, table = coloured.byteswap(), table.byteswap()
    # Entries of 16 bits have their value in the upper byte; some writers put it into the lower one.
    return np.asarray(coloured if table.size and table.max() < 256 else coloured >> 8).astype(np.uint8)


def _to_8_bit(pixels: npt.NDArray[Any], header: Any) -> Image:
    """Grey levels or colours of any depth as uint8: by the colour table, the window, or the stored bits.

    8-bit pictures are display values already and stay as they are. Deeper grey ones pass the modality transform (PS3.3
    C.11.1) and the linear window (C.11.2.1.2.1) of the header.
    """
    photometric = str(header.PhotometricInterpretation)
    if photometric == "PALETTE COLOR":
        return _coloured(pixels, header)
    bits = int(header.BitsStored)
    if photometric.startswith("MONOCHROME") and bits > 8 and header.get("WindowWidth"):
        values = apply_modality_lut(pixels, header).astype(np.float64)
        centre, width = (float(np.ravel(header[name].value)[0]) for name in ("WindowCenter", "WindowWidth"))
        scaled = (values - (centre - 0.5)) / max(width - 1, 1) + 0.5
    elif bits == 8 and pixels.dtype == np.uint8:
        return 255 - pixels if photometric == "MONOCHROME1" else pixels
    else:
        low = -(2 ** (bits - 1)) if int(header.get("PixelRepresentation", 0)) else 0
        scaled = (pixels.astype(np.float64) - low) / (2**bits - 1)
    grey = np.rint(np.clip(scaled, 0, 1) * 255).astype(np.uint8)
    return np.asarray(255 - grey if photometric == "MONOCHROME1" else grey, np.uint8)


def _spacing(header: Any) -> tuple[float, float] | None:
    """Width and height of a pixel by the plain tags: in mm, or relative to each other."""
    for name in ("PixelSpacing", "PixelAspectRatio"):  # both: from row to row first, then from column to column
        if header.get(name):
            row, column = (float(value) for value in header[name].value)
            return (column, row) if 0 < row < np.inf and 0 < column < np.inf else None
    return None


def _check_deflated(path: Path) -> None:
    """Refuse a deflated file that unpacks to absurdly much, before pydicom unpacks it in one piece."""
    packed = path.read_bytes()
    left, unpack = MAX_VALUES, zlib.decompressobj(-zlib.MAX_WBITS)
    start = 132 + 12 + read_file_meta_info(path).FileMetaInformationGroupLength
    packed = packed[start:]
    while packed and not unpack.eof:
        left -= len(unpack.decompress(packed, 1 << 20))
        if left < 0:
            raise EchosynthError(f"{path} unpacks to more than any recording holds; leave it out")
        packed = unpack.unconsumed_tail


def _open(path: Path) -> Any:
    """The header, with the pixels left in the file and a transfer syntax in each case.

    Files without preamble and group 2, as older scanners and archives write them, are in one of the two plain little
    endian forms, which pydicom tells apart.
    """
    with path.open("rb") as stream:
        whole = stream.read(132)[128:] == b"DICM"
    if whole and read_file_meta_info(path).TransferSyntaxUID.is_deflated:
        _check_deflated(path)
    header = pydicom.dcmread(path, defer_size=DEFERRED, force=not whole)
    if not whole:
        implicit, _ = header.original_encoding
        header.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    return header


def _places(header: Any) -> dict[str, Any]:
    """What says where the compressed frames are."""
    tables = [header.get(name) for name in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")]
    return {
        "number_of_frames": int(header.get("NumberOfFrames") or 1),
        "extended_offsets": (tables[0], tables[1]) if all(tables) else None,
    }


def _wrong_sizes(path: Path, header: Any, numbers: Sequence[int]) -> dict[int, EchosynthError]:
    """Frames whose stream claims another size than the header: a decoder would take memory for it."""
    syntax, expected = header.file_meta.TransferSyntaxUID, (int(header.Columns), int(header.Rows))
    if not syntax.is_encapsulated or syntax == RLELossless:  # whose frames claim nothing
        return {}
    size_of, wanted, wrong = j2k_size if syntax in JPEG2000TransferSyntaxes else jpeg_size, set(numbers), {}
    places = _places(header)
    for number, data in enumerate(generate_frames(header.PixelData, **places)):
        found = size_of(io.BytesIO(data)) if number in wanted else None
        if found and 0 not in found and found != expected:  # a JPEG may say its height at its end
            wrong[number] = another_size(path, number, places["number_of_frames"], found, expected)
        if number == numbers[-1]:
            break
    return wrong


def _stored(path: Path, header: Any, numbers: Sequence[int]) -> Iterator[npt.NDArray[Any] | EchosynthError]:
    """The frames as they are stored, but RGB where they have three colours; or why one cannot be decoded."""
    wrong = _wrong_sizes(path, header, numbers)
    pixels = _sound(path, header, [number for number in numbers if number not in wrong])
    for number in numbers:
        yield wrong[number] if number in wrong else next(pixels)


def _sound(path: Path, header: Any, numbers: Sequence[int]) -> Iterator[npt.NDArray[Any] | EchosynthError]:
    """See `_stored`: of frames whose size is right."""
    if not numbers:
        return
    syntax, label = header.file_meta.TransferSyntaxUID, str(header.PhotometricInterpretation)
    if syntax.is_encapsulated:
        stream = get_frame(header.PixelData, numbers[0], **_places(header))
        colours = of_stream(bytes(stream), syntax, label) if header.SamplesPerPixel == 3 else label
    else:
        colours = of_plain_pixels(header, header.get_item("PixelData", keep_deferred=True).length, path)
    # Plain pixels are read from where the wanted frames are. Packed ones are small, and reading all of them shows
    # whether the file is torn before a decoder in C complains on stderr.
    source = header if syntax.is_encapsulated or syntax.is_deflated or not header.preamble else path
    # Several frames at once of YBR_FULL_422 are too much for pydicom 3.0.2, which halves their length twice.
    at_once = 1 if colours == HALF_CHROMA and source is path else len(numbers)
    done, total = 0, int(header.get("NumberOfFrames") or 1)
    while done < len(numbers):
        turn = numbers[done : done + at_once]
        try:
            decoded = iter_pixels(source, indices=turn, raw=True, photometric_interpretation=colours or RGB)
            for number in turn:
                with complaints() as heard:
                    pixels = next(decoded)
                colours = colours or by_sight(pixels, path)
                done += 1
                yield undecodable(path, number, total) if heard.damage else to_rgb(pixels, colours)
        except (EchosynthError, MemoryError):
            raise
        except Exception as error:  # decoders raise all sorts over broken bytes; the frames behind it may be whole
            done += 1
            yield _broken(path, error)


def _frames(path: Path, header: Any, numbers: Sequence[int], box: Box | None) -> Iterator[Image | EchosynthError]:
    with _explained(path):
        for pixels in _stored(path, header, numbers):
            if isinstance(pixels, EchosynthError):
                yield pixels
                continue
            frame = _to_8_bit(pixels, header)
            yield frame if box is None else frame[box[1] : box[3], box[0] : box[2]]


def read_dicom(
    path: Path, choose: Callable[[int], Sequence[int]]
) -> tuple[Iterator[Image | EchosynthError], tuple[float, float] | None, Sequence[int], int, str]:
    """Open a DICOM file for some of its frames; the others are not decoded.

    Args:
        path: the file.
        choose: gets the number of frames and returns the numbers of those to decode.

    Returns:
        frames (H, W) grey or (H, W, 3) RGB uint8, decoded one at a time, or why one cannot be;
        spacing (x, y) in mm, or in a common unit, or None; the chosen numbers; the number of all frames; a note.

    Raises:
        EchosynthError: the file is no DICOM picture or is damaged; the frames raise it, too.
    """
    with _explained(path):
        header = _open(path)
        if "Rows" not in header or "Columns" not in header:
            raise EchosynthError(f"{path} is a DICOM object without a picture; leave it out")
        if problem := too_large(int(header.Columns), int(header.Rows)):
            raise EchosynthError(f"{path} {problem}")
        total = int(header.get("NumberOfFrames") or 1)
        numbers = choose(total)
        box, spacing, note = _region(header, path)
        if spacing is None and (not box or "PixelAspectRatio" in header):
            spacing = _spacing(header)
        return _frames(path, header, numbers, box), spacing, numbers, total, note
