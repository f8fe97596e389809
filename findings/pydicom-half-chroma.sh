#!/usr/bin/env bash
# pydicom: iter_pixels cannot read an uncompressed YBR_FULL_422 cine of two frames; pixel_array reads it, also frame by frame.
#
# A good engineer's guess: both go the same way, and iter_pixels is the one for long cines, as it holds one frame at a
# time. It splits the pixels into frames of half their length: chroma of two neighbours in one takes two bytes a pixel,
# and that is counted twice. One frame alone is read, so a test on a single picture tells nothing.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check pydicom==3.0.2 numpy==2.4.6

venv/bin/python - 2> log <<'PY' || { cat log >&2; exit 1; }
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels import iter_pixels, pixel_array
from pydicom.uid import ExplicitVRLittleEndian, UltrasoundMultiFrameImageStorage


def write(frames: int) -> str:
    """A cine of 4 x 6 pixels in which frame n has the luma 50 n and no colour."""
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID = UltrasoundMultiFrameImageStorage
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID = "1.2.3"
    header.Rows, header.Columns, header.NumberOfFrames = 4, 6, frames
    header.SamplesPerPixel, header.PlanarConfiguration = 3, 0
    header.PhotometricInterpretation = "YBR_FULL_422"
    header.BitsAllocated = header.BitsStored = 8
    header.HighBit, header.PixelRepresentation = 7, 0
    quads = [[50 * n, 50 * n, 128, 128] for n in range(1, frames + 1)]  # luma of two pixels, then their chroma
    header.PixelData = np.repeat(np.array(quads, np.uint8)[:, None], 12, axis=1).tobytes()
    header.save_as(f"{frames}.dcm", enforce_file_format=True)
    return f"{frames}.dcm"


def grey(pictures) -> object:
    """The grey levels of the frames, or what was said instead."""
    try:
        return [int(picture.max()) for picture in pictures()]
    except ValueError as error:
        return f"ValueError: {error}"


one, two = write(1), write(2)
whole = pydicom.dcmread(two)
found = {
    "iter_pixels, one frame": grey(lambda: iter_pixels(one)),
    "iter_pixels, two frames": grey(lambda: iter_pixels(two)),
    "iter_pixels, two frames, of a data set": grey(lambda: iter_pixels(whole)),
    "iter_pixels, the second frame alone": grey(lambda: iter_pixels(two, indices=[1])),
    "pixel_array, two frames": grey(lambda: pixel_array(two)),
}
print("pydicom", pydicom.__version__)
for name, value in found.items():
    print(f"{name}: {value}")
assert list(found.values()) == [
    [50],
    "ValueError: cannot reshape array of size 24 into shape (4,6,3)",
    "ValueError: There is insufficient pixel data to contain 2 frames",
    [100],
    [50, 100],
]
PY
