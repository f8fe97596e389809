"""MetaImage and NIfTI: pictures and sequences of pictures, read whole."""

import gzip
import math
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from echosynth.common.arrays import Image
from echosynth.common.errors import EchosynthError
from echosynth.media.probe import HEAD, TORN, meta_bytes, meta_header, nifti_header, too_large

# A gzip file may hold so many bytes more than its header says before it counts as hostile.
SLACK = 1 << 24
# Words of SimpleITK's errors over axes that are not at right angles, or none.
NO_ORIENTATION = ("orthonormal", "Bad direction")
# Where the codes of a NIfTI header stand that say which orientation holds, by the header's length: 0, 0 means none.
ORIENTATION_CODES = {348: (252, "hh"), 540: (344, "ii")}

sitk.ProcessObject.SetGlobalWarningDisplay(False)


def _check_gzip(path: Path) -> None:
    """Read through the check sums: SimpleITK fills the end of a torn file with zeros and says nothing."""
    try:
        with gzip.open(path) as stream:
            found = nifti_header(stream.read(1000))
            left = (found[1] if found else 0) + SLACK
            while chunk := stream.read(1 << 20):
                left -= len(chunk)
                if left < 0:
                    raise EchosynthError(f"{path} unpacks to more than its header says; leave it out")
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise EchosynthError(f"{path} is torn or no gzip file ({error}); copy it again") from None


def _check_meta(path: Path) -> None:
    """Unpack the compressed values of a MetaImage: SimpleITK takes no notice of their check sum."""
    with path.open("rb") as stream:
        head = stream.read(HEAD)
    header = meta_header(head)
    if header.get("CompressedData", "").lower() != "true":
        return
    name = header.get("ElementDataFile", "")
    begin = head.index(b"\n", head.index(b"ElementDataFile")) + 1 if name == "LOCAL" else 0
    left, unpack = meta_bytes(header), zlib.decompressobj()
    try:
        with (path if name == "LOCAL" else path.parent / name).open("rb") as stream:
            stream.seek(begin)
            while not unpack.eof and (chunk := unpack.unconsumed_tail or stream.read(1 << 20)):
                left -= len(unpack.decompress(chunk, 1 << 20))
                if left < 0:
                    raise EchosynthError(f"{path} unpacks to more than its header says; leave it out")
    except zlib.error as error:
        raise EchosynthError(f"{path} is damaged ({error}); copy it again") from None
    if left or not unpack.eof:
        raise EchosynthError(f"{path} {TORN}")


def _read(path: Path, name: Path) -> Any:
    """The image in `path`, which sentences call `name`.

    Raises:
        RuntimeError: SimpleITK cannot read it.
    """
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    if len(reader.GetSize()) < 2:
        raise EchosynthError(f"{name} holds a line of values, no picture; leave it out")
    width, height, *others = reader.GetSize()
    if problem := too_large(width, height, math.prod(others) * reader.GetNumberOfComponents()):
        raise EchosynthError(f"{name} {problem}")
    return reader.Execute()


def _without_orientation(path: Path) -> Any:
    """The image of a NIfTI file by a copy that says nothing of how its axes lie in the patient; its pixels are the
    same."""
    data = bytearray((gzip.decompress if path.suffix.lower() == ".gz" else bytes)(path.read_bytes()))
    order = "<" if struct.unpack_from("<i", data)[0] in ORIENTATION_CODES else ">"
    place, form = ORIENTATION_CODES[struct.unpack_from(f"{order}i", data)[0]]
    struct.pack_into(f"{order}{form}", data, place, 0, 0)
    with TemporaryDirectory(prefix="echosynth-") as folder:
        (Path(folder) / "volume.nii").write_bytes(data)
        return _read(Path(folder) / "volume.nii", path)


def _image(path: Path) -> tuple[Any, str]:
    """The image, and a note."""
    try:
        try:
            return _read(path, path), ""
        except RuntimeError as error:
            if not any(words in str(error) for words in NO_ORIENTATION):
                raise
        if ".nii" not in path.name.lower():
            raise EchosynthError(f"{path} has axes that are not at right angles; correct TransformMatrix in its header")
        return _without_orientation(path), "orientation ignored: its axes are not at right angles"
    except RuntimeError as error:
        reason = " ".join(str(error).split()).rsplit("ERROR: ", 1)[-1]
        raise EchosynthError(f"{path} cannot be read ({reason}); copy it and its data file again") from None


def _pictures(path: Path, image: Any) -> npt.NDArray[Any]:
    """The values as (T, H, W) or (T, H, W, 3), wherever time stands among axes of length 1.

    Raises:
        EchosynthError: the shape is another, or the values are no grey levels.
    """
    array: npt.NDArray[Any] = sitk.GetArrayFromImage(image)
    colours = array.shape[array.ndim - 1 :] if image.GetNumberOfComponentsPerPixel() > 1 else ()
    *times, height, width = array.shape[: array.ndim - len(colours)]
    if sum(time > 1 for time in times) > 1 or colours not in ((), (3,)) or not array.size:
        raise EchosynthError(f"{path} has the shape {array.shape}; a picture or a sequence of pictures is expected")
    # "not (within)" also catches NaN. Half a grey level may come from somebody's resampling.
    low, high = array.min(), array.max()
    if not (low >= -0.5 and high <= 255.5):
        raise EchosynthError(f"{path} holds values from {low} to {high}; 0 to 255 are expected")
    if high <= 1:  # of such a file every picture would be black
        raise EchosynthError(
            f"{path} holds values from {low} to {high}, nothing but black where 0 to 255 are expected; "
            "multiply shares of white by 255, leave out what is empty"
        )
    return array.reshape(-1, height, width, *colours)


def _spacing(x: float, y: float) -> tuple[float, float] | None:
    """Spacing that makes sense, else None."""
    return (float(x), float(y)) if all(math.isfinite(v) and v > 0 for v in (x, y)) else None


def read_volume(
    path: Path, choose: Callable[[int], Sequence[int]]
) -> tuple[Iterator[Image], tuple[float, float] | None, Sequence[int], int, str]:
    """Read a MetaImage or NIfTI file; see `echosynth.media.dicom.read_dicom` for arguments and results.

    Raises:
        EchosynthError: the file is torn or hostile, holds no pictures, or no grey levels from 0 to 255.
    """
    if path.suffix.lower() == ".gz":
        _check_gzip(path)
    if path.suffix.lower() in (".mha", ".mhd"):
        _check_meta(path)
    image, note = _image(path)
    pictures = _pictures(path, image)
    numbers = choose(len(pictures))
    frames = (np.clip(np.rint(pictures[number]), 0, 255).astype(np.uint8) for number in numbers)
    return frames, _spacing(*image.GetSpacing()[:2]), numbers, len(pictures), note
