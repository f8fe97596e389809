import struct
from pathlib import Path

import cv2
import data_store
import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image
from pydicom.data import get_testdata_file

from echosynth.common.errors import EchosynthError
from echosynth.media.decode import read_clip, read_frame, read_stream


def real(name: str) -> Path:
    """A picture that comes with pydicom or pydicom-data."""
    found = get_testdata_file(name, download=False)
    return Path(str(found)) if found else Path(data_store.__file__).parent / "data" / name


def last(total: int) -> int:
    return total - 1


def test_video_frames_come_by_number(tmp_path, write_avi):
    path = write_avi(tmp_path / "v.avi", 12)
    for index in (0, 5, 11):
        clip = read_frame(path, lambda total, index=index: index)
        assert (clip.first, clip.total) == (index, 12)
        assert clip.frames.shape == (1, 112, 112, 3)
        assert clip.frames.mean() == pytest.approx(20 + 10 * index, abs=2)
    assert read_clip(path).frames.mean(axis=(1, 2, 3)) == pytest.approx(20 + 10 * np.arange(12), abs=2)


def test_video_colours_are_red_green_blue(tmp_path, write_avi):
    frame = np.zeros((64, 64, 3), np.uint8)
    frame[:, 32:, 2] = 250  # OpenCV's red, beside black
    read = read_frame(write_avi(tmp_path / "v.avi", frames=[frame] * 3)).frames[0]
    red, green, blue = read[:, 32:].mean(axis=(0, 1))
    assert red > 200 and green < 50 and blue < 50


@pytest.mark.parametrize("promised", [0, 7, 200])
def test_the_header_may_lie_about_the_number_of_frames(tmp_path, write_avi, promised):
    path = write_avi(tmp_path / "v.avi", 12)
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.index(b"avih") + 8 + 16, promised)
    struct.pack_into("<I", data, data.index(b"strh") + 8 + 32, promised)
    path.write_bytes(data)
    clip = read_frame(path, last)
    assert (clip.first, clip.total) == (11, 12)
    assert clip.frames.mean() == pytest.approx(130, abs=2)


def test_pictures(tmp_path):
    rng = np.random.default_rng(0)
    grey, colour = rng.integers(0, 256, (20, 30), dtype=np.uint8), rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    (tmp_path / "g.png").write_bytes(cv2.imencode(".png", grey)[1].tobytes())
    (tmp_path / "c.PNG").write_bytes(cv2.imencode(".png", colour)[1].tobytes())
    (tmp_path / "d.png").write_bytes(cv2.imencode(".png", grey.astype(np.uint16) * 257)[1].tobytes())
    (tmp_path / "j.jpg").write_bytes(cv2.imencode(".jpg", np.full((16, 16), 90, np.uint8))[1].tobytes())
    assert np.array_equal(read_frame(tmp_path / "g.png").frames[0], grey)
    assert np.array_equal(read_frame(tmp_path / "c.PNG").frames[0], colour[..., ::-1])
    assert np.array_equal(read_frame(tmp_path / "d.png").frames[0], grey)
    assert np.all(read_frame(tmp_path / "j.jpg").frames == 90)


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.avi", "x.mp4", "x.dcm", "x.mhd", "x.nii.gz", "x"])
@pytest.mark.parametrize("content", [b"", b"this is a text, no picture\n" * 20])
def test_text_and_empty_files_are_named(tmp_path, name, content, capfd):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(EchosynthError) as error:
        read_frame(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.avi", "x.dcm", "x.nii.gz"])
def test_torn_files_are_named(tmp_path, name, write_avi, capfd):
    path = tmp_path / name
    picture = np.random.default_rng(0).integers(0, 256, (200, 200), dtype=np.uint8)
    if name == "x.avi":
        write_avi(path)
    elif name == "x.dcm":
        path.write_bytes(real("examples_jpeg2k.dcm").read_bytes())
    elif name == "x.nii.gz":
        sitk.WriteImage(sitk.GetImageFromArray(picture), str(path))
    else:
        path.write_bytes(cv2.imencode(path.suffix, picture)[1].tobytes())
    read_frame(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 3 // 5])
    with pytest.raises(EchosynthError) as error:
        read_frame(path)
    assert str(path) in str(error.value)
    assert capfd.readouterr().err == ""


def test_a_header_without_its_data_a_missing_file_and_a_missing_frame(tmp_path, write_avi):
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 4), np.uint8)), str(tmp_path / "s.mhd"))
    (tmp_path / "s.raw").unlink()
    with pytest.raises(EchosynthError, match=r"s\.mhd lacks its data file s\.raw"):
        read_frame(tmp_path / "s.mhd")
    with pytest.raises(EchosynthError, match=r"gone\.png is missing"):
        read_frame(tmp_path / "gone.png")
    with pytest.raises(EchosynthError, match=r"v\.avi has 3 frames; there is no frame 3"):
        read_frame(write_avi(tmp_path / "v.avi", 3), lambda total: total)


def saved(path: Path, mode: str, picture: np.ndarray, kind: str = "PNG", **options: object) -> Path:
    Image.fromarray(picture).convert(mode).save(path, kind, **options)
    return path


def test_pictures_of_every_depth_give_their_grey_levels(tmp_path):
    ramp = np.arange(256, dtype=np.uint8).reshape(8, 32)
    assert np.array_equal(read_frame(saved(tmp_path / "l.png", "L", ramp)).frames[0], ramp)
    for mode in ("P", "RGB", "LA", "RGBA"):
        frame = read_frame(saved(tmp_path / f"{mode}.png", mode, ramp)).frames[0]
        assert np.array_equal(frame, np.repeat(ramp[..., None], 3, 2)), mode
    bits = read_frame(saved(tmp_path / "1.png", "1", np.where(ramp > 127, 255, 0).astype(np.uint8))).frames[0]
    assert np.array_equal(bits, np.where(ramp > 127, 255, 0))
    deep = np.array([[0, 128, 257, 32896, 65535]], np.uint16)
    Image.fromarray(deep).save(tmp_path / "16.png")
    assert read_frame(tmp_path / "16.png").frames[0].tolist() == [[0, 0, 1, 128, 255]]
    colours = np.array([[[0, 0, 0], [200, 100, 50]]], np.uint8).repeat(16, 0).repeat(8, 1)
    cmyk = read_frame(saved(tmp_path / "c.jpg", "CMYK", colours, "JPEG")).frames[0]
    assert np.abs(cmyk.astype(int) - colours).max() <= 3
    palette = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "P")
    palette.putpalette([0, 0, 0, 10, 20, 30, 250, 240, 230])
    palette.save(tmp_path / "p.png")
    assert read_frame(tmp_path / "p.png").frames[0].tolist() == [[[0, 0, 0], [10, 20, 30], [250, 240, 230]]]


def test_what_is_transparent_is_black(tmp_path):
    picture = np.full((2, 2, 4), 200, np.uint8)
    picture[..., 3] = [[255, 0], [128, 255]]
    Image.fromarray(picture).save(tmp_path / "t.png")
    assert read_frame(tmp_path / "t.png").frames[0, ..., 0].tolist() == [[200, 0], [100, 200]]


def test_a_jpeg_is_turned_as_its_camera_says(tmp_path):
    picture = np.zeros((16, 32), np.uint8)
    picture[:, 16:] = 200
    exif = Image.Exif()
    exif[274] = 6  # to be turned by 90 degrees to the right
    frame = read_frame(saved(tmp_path / "r.jpg", "L", picture, "JPEG", exif=exif)).frames[0]
    assert frame.shape == (32, 16) and frame[:16].mean() < 10 and frame[16:].mean() > 190


def test_chosen_frames_come_one_at_a_time(tmp_path, write_avi):
    path = write_avi(tmp_path / "v.avi", 20)
    stream = read_stream(path, lambda total: [0, 3, total - 1])
    assert (stream.numbers, stream.total) == ([0, 3, 19], 20)
    assert next(stream.frames).mean() == pytest.approx(20, abs=2)
    assert [frame.mean() for frame in stream.frames] == pytest.approx([50, 210], abs=2)


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    saved(tmp_path / "x.png", "L", np.zeros((4, 4), np.uint8))

    def refused(*args: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(EchosynthError, match=r"x\.png cannot be read \(Permission denied\)"):
        read_frame(tmp_path / "x.png")


@pytest.mark.parametrize(
    ("wrong", "dark"),
    [
        (cv2.COLOR_RGB2YCrCb, "0, 128, 128"),  # luma and chroma that were taken for red, green and blue
        (cv2.COLOR_YCrCb2RGB, r"0, 13\d, 0"),  # the reverse
    ],
)
def test_a_wrong_colour_space_is_refused(tmp_path: Path, wrong: int, dark: str) -> None:
    y, x = np.mgrid[:60, :80]
    sector = np.where(np.abs(x - 40) < 0.8 * y, 60 + 2 * y, 0).astype(np.uint8)
    grey = np.repeat(sector[..., None], 3, axis=2)
    for name, picture in {"right.png": grey, "wrong.png": cv2.cvtColor(grey, wrong)}.items():
        cv2.imwrite(str(tmp_path / name), picture[..., ::-1])
    assert np.array_equal(read_frame(tmp_path / "right.png").frames[0], grey)
    with pytest.raises(EchosynthError, match=rf"wrong\.png has red, green and blue of {dark} where it is darkest"):
        read_frame(tmp_path / "wrong.png")


def test_tints_and_flow_are_colours_that_a_picture_may_have(tmp_path: Path) -> None:
    y, x = np.mgrid[:60, :80]
    sector = np.where(np.abs(x - 40) < 0.8 * y, 60 + 2 * y, 0)
    tinted = (sector[..., None] * [1.0, 0.8, 0.4]).astype(np.uint8)
    flow = tinted.copy()
    flow[30:50, 30:50] = (0, 40, 220)
    for name, picture in {"tinted.png": tinted, "flow.png": flow}.items():
        cv2.imwrite(str(tmp_path / name), picture[..., ::-1])
        assert np.array_equal(read_frame(tmp_path / name).frames[0], picture)
