"""Against pydicom, which writes the files and knows which syntaxes it decodes."""

import io

import pydicom
import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.pixels import get_decoder
from pydicom.uid import (
    HTJ2K,
    MPEG4HP41,
    BasicTextSRStorage,
    EncapsulatedPDFStorage,
    ExplicitVRLittleEndian,
    GrayscaleSoftcopyPresentationStateStorage,
    ImplicitVRLittleEndian,
    KeyObjectSelectionDocumentStorage,
    MediaStorageDirectoryStorage,
    RawDataStorage,
    SecondaryCaptureImageStorage,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
)

from echosynth.common.dicom import DECODABLE, HEAD, is_dicom, unusable


def head(kind: str, syntax: str = ExplicitVRLittleEndian, *, meta: bool = True, implicit: bool = False) -> bytes:
    """The first bytes of an object of that storage class."""
    header = pydicom.Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = syntax
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID = kind
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID = "1.2.3"
    header.PatientName = "Invented^One"
    stream = io.BytesIO()
    if meta:
        header.save_as(stream, enforce_file_format=True)
    else:
        bare = pydicom.Dataset(header)
        bare.save_as(stream, implicit_vr=implicit, little_endian=True, enforce_file_format=False)
    return stream.getvalue()[:HEAD]


@pytest.mark.parametrize(
    "kind",
    [
        BasicTextSRStorage,
        EncapsulatedPDFStorage,
        GrayscaleSoftcopyPresentationStateStorage,
        KeyObjectSelectionDocumentStorage,
        MediaStorageDirectoryStorage,
        RawDataStorage,
    ],
)
def test_objects_without_a_picture_are_known_by_their_class(kind: str) -> None:
    assert unusable(head(kind)) == "a DICOM object without a picture"


@pytest.mark.parametrize(
    "kind", [UltrasoundImageStorage, UltrasoundMultiFrameImageStorage, SecondaryCaptureImageStorage, "1.2.3.4"]
)
def test_pictures_and_what_nobody_knows_may_be_decoded(kind: str) -> None:
    assert unusable(head(kind)) == ""


def test_syntaxes_are_those_that_are_decoded_here() -> None:
    for syntax in sorted(DECODABLE):
        assert get_decoder(syntax).is_available, syntax
        assert unusable(head(UltrasoundImageStorage, syntax)) == ""
    for syntax in (HTJ2K, MPEG4HP41):
        said = unusable(head(UltrasoundImageStorage, syntax))
        assert said == f"DICOM in a transfer syntax that cannot be decoded ({syntax})"


@pytest.mark.parametrize("implicit", [False, True])
def test_without_preamble_and_meta_header(implicit: bool) -> None:
    found = head(UltrasoundImageStorage, ImplicitVRLittleEndian, meta=False, implicit=implicit)
    assert found[128:132] != b"DICM" and is_dicom(found) and unusable(found) == ""


@pytest.mark.parametrize(
    "other", [b"", b"\x08", b"DICM", b"RIFF\0\0\0\0AVI ", b"\x89PNG\r\n\x1a\n", b"file,view\n", b"\x08\0\x10\0\0\0\0\0"]
)
def test_other_files_are_none(other: bytes) -> None:
    assert not is_dicom(other) and unusable(other) == ""


def test_a_torn_meta_header_says_nothing() -> None:
    whole = head(BasicTextSRStorage)
    assert [unusable(whole[:length]) for length in (0, 131, 140, 150)] == [""] * 4


def test_a_damaged_syntax_is_not_quoted() -> None:
    whole = bytearray(head(UltrasoundImageStorage, ImplicitVRLittleEndian))
    at = whole.index(ImplicitVRLittleEndian.encode())
    whole[at : at + 17] = b"MEIER^ANNA\x01.2.840."
    said = unusable(bytes(whole))
    assert said == "DICOM in a transfer syntax that cannot be decoded (damaged)"
