"""DICOM: any transfer syntax that pydicom and GDCM know, to 8-bit grey or RGB frames of the tissue picture."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.pixels import apply_color_lut, pixel_array
from pydicom.pixels.processing import apply_modality_lut

from echosynth.errors import EchosynthError

Frames = npt.NDArray[np.uint8]
Box = tuple[int, int, int, int]
# Codes of PS3.3 C.8.5.5: spatial format "2D", data type "tissue", unit "cm".
FORMAT_2D, TYPE_TISSUE, UNIT_CM = 1, 1, 3
# Writers disagree whether the last column of a region is part of it, so regions may stick out by this share of the
# picture.
SLACK = 0.01


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn whatever a decoder raises over a torn or odd file into one sentence."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom warns about every private oddity of a header
            yield
    except EchosynthError:
        raise
    except Exception as error:  # decoders raise all sorts over broken bytes
        reason = " ".join(str(error).split())[:200]
        raise EchosynthError(f"{path} cannot be decoded as DICOM ({reason}); export it again") from None


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
        left, top = int(region.RegionLocationMinX0), int(region.RegionLocationMinY0)
        right, bottom = int(region.RegionLocationMaxX1) + 1, int(region.RegionLocationMaxY1) + 1
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


def _to_8_bit(pixels: npt.NDArray[Any], header: Any) -> Frames:
    """Grey levels or colours of any depth as uint8: by the colour table, the window, or the stored bits.

    8-bit pictures are display values already and stay as they are. Deeper grey ones pass the modality transform (PS3.3
    C.11.1) and the linear window (C.11.2.1.2.1) of the header.
    """
    photometric = str(header.PhotometricInterpretation)
    if photometric == "PALETTE COLOR":
        coloured = apply_color_lut(pixels, header)
        return (coloured >> 8).astype(np.uint8) if coloured.dtype == np.uint16 else np.asarray(coloured, np.uint8)
    bits = int(header.BitsStored)
    if photometric.startswith("MONOCHROME") and bits > 8 and header.get("WindowWidth"):
        values = apply_modality_lut(pixels, header).astype(np.float64)
        centre, width = (float(np.ravel(header[name].value)[0]) for name in ("WindowCenter", "WindowWidth"))
        scaled = (values - (centre - 0.5)) / max(width - 1, 1) + 0.5
    elif bits == 8 and pixels.dtype == np.uint8:
        scaled = pixels / 255.0
    else:
        low = -(2 ** (bits - 1)) if int(header.get("PixelRepresentation", 0)) else 0
        scaled = (pixels.astype(np.float64) - low) / (2**bits - 1)
    grey = np.rint(np.clip(scaled, 0, 1) * 255).astype(np.uint8)
    return np.asarray(255 - grey if photometric == "MONOCHROME1" else grey, np.uint8)


def read_dicom(
    path: Path, choose: Callable[[int], range]
) -> tuple[Frames, tuple[float, float] | None, range, int, str]:
    """Decode some frames of a DICOM file; the others are not decoded.

    Args:
        path: the file.
        choose: gets the number of frames and returns which to decode.

    Returns:
        frames (T, H, W) grey or (T, H, W, 3) RGB uint8; spacing (x, y) in mm or None; the chosen frames; all frames;
        a note.

    Raises:
        EchosynthError: the file is no DICOM picture or is damaged.
    """
    with _explained(path):
        header = pydicom.dcmread(path)
        if "PixelData" not in header:
            raise EchosynthError(f"{path} is a DICOM file without a picture; leave it out")
        total = int(header.get("NumberOfFrames") or 1)
        chosen = choose(total)
        box, spacing, note = _region(header, path)
        frames = []
        for index in chosen:
            frame = _to_8_bit(pixel_array(header, index=index), header)
            frames.append(frame if box is None else frame[box[1] : box[3], box[0] : box[2]])
        if spacing is None and not box and header.get("PixelSpacing"):
            row, column = (float(value) for value in header.PixelSpacing)
            spacing = (column, row)
        return np.stack(frames), spacing, chosen, total, note
