"""Views of whole files, real DICOM files among them."""

import os
import shutil
from pathlib import Path

import cv2
import data_store
import numpy as np
import pytest
import SimpleITK as sitk
from pydicom.data import get_testdata_file

from echosynth.common.errors import EchosynthError
from echosynth.common.views import VIEWS
from echosynth.media.decode import read_clip
from echosynth.media.options import LIMITS
from echosynth.serving.clips import Named, listed, predict_clip, predict_clips
from echosynth.serving.view_classifier import ViewClassifier

REAL_DICOM = {  # file -> frames in it
    "examples_ybr_color.dcm": 30,
    "examples_palette.dcm": 1,
    "examples_rgb_color.dcm": 1,
    "examples_jpeg2k.dcm": 1,
    "color3d_jpeg_baseline.dcm": 120,
    "JPGLosslessP14SV1_1s_1f_8b.dcm": 1,
    "color-px.dcm": 1,
    "color-pl.dcm": 1,
}


def real(name: str) -> Path:
    """A picture that comes with pydicom or pydicom-data."""
    found = get_testdata_file(name, download=False)
    return Path(str(found)) if found else next(Path(data_store.__file__).parent.rglob(name))


@pytest.fixture(scope="module")
def classifier(classifier_folder: Path) -> ViewClassifier:
    return ViewClassifier(classifier_folder)


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    """(7, 48, 64) uint8: every frame another picture, smooth enough for JPEG."""
    coarse = np.random.default_rng(5).integers(0, 256, (7, 6, 8), dtype=np.uint8)
    return np.stack([cv2.resize(frame, (64, 48), interpolation=cv2.INTER_CUBIC) for frame in coarse])


def write(path: Path, frames: np.ndarray) -> Path:
    """Write frames in the format that the suffix says."""
    if path.suffix in (".avi", ".mp4"):
        code = cv2.VideoWriter.fourcc(*("MJPG" if path.suffix == ".avi" else "mp4v"))
        video = cv2.VideoWriter(str(path), code, 25.0, (frames.shape[2], frames.shape[1]))
        assert video.isOpened()
        for frame in frames:
            video.write(cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR))
        video.release()
    elif path.suffix in (".png", ".jpg"):
        assert cv2.imwrite(str(path), frames[0])
    else:
        sitk.WriteImage(sitk.GetImageFromArray(frames), str(path))
    return path


@pytest.mark.parametrize("name", REAL_DICOM)
def test_real_dicom_files_are_read_whole(classifier: ViewClassifier, name: str) -> None:
    path = real(name)
    result = predict_clip(classifier, path, 200)
    assert result["frames"] == REAL_DICOM[name]
    assert list(result["probabilities"]) == list(VIEWS)
    assert sum(result["probabilities"].values()) == pytest.approx(1, abs=1e-5)


def test_a_cine_gets_the_mean_of_its_frames(classifier: ViewClassifier) -> None:
    path = real("examples_ybr_color.dcm")
    clip = read_clip(path)
    alone = [classifier.probabilities([frame], clip.spacing)[0].astype(float) for frame in clip.frames]
    expected = sum(alone) / len(alone)
    result = predict_clip(classifier, path, 30)
    np.testing.assert_allclose(list(result["probabilities"].values()), expected, atol=1e-5)
    assert result["view"] == VIEWS[int(np.argmax(expected))]
    assert np.abs(alone[0] - expected).max() > 1e-4  # one frame would not do


@pytest.mark.parametrize("name", ["c.avi", "c.mp4", "c.png", "c.jpg", "c.mhd", "c.nii.gz"])
def test_every_format_gives_the_same_view(
    classifier: ViewClassifier, frames: np.ndarray, tmp_path: Path, name: str
) -> None:
    result = predict_clip(classifier, write(tmp_path / name, frames), 10)
    count = 1 if name in ("c.png", "c.jpg") else len(frames)
    expected = classifier.probabilities(list(frames[:count])).mean(0)
    assert result["frames"] == count
    lossless = name in ("c.png", "c.mhd", "c.nii.gz")
    np.testing.assert_allclose(
        list(result["probabilities"].values()), expected, atol=1e-5 if lossless else 0.1 * expected.max()
    )


@pytest.mark.parametrize(("most", "taken"), [(1, [3]), (2, [1, 5]), (3, [0, 3, 6]), (6, [0, 2, 4, 6]), (7, range(7))])
@pytest.mark.parametrize("name", ["c.avi", "c.mhd"])
def test_frames_are_evenly_spaced_over_the_whole_clip(
    classifier: ViewClassifier, frames: np.ndarray, tmp_path: Path, name: str, most: int, taken: list[int]
) -> None:
    path = write(tmp_path / name, frames)
    result = predict_clip(classifier, path, most)
    expected = classifier.probabilities(list(read_clip(path).frames[list(taken)])).mean(0)
    assert result["frames"] == len(taken)
    np.testing.assert_allclose(list(result["probabilities"].values()), expected, atol=1e-5)


def test_frames_of_dicom_are_evenly_spaced_too(classifier: ViewClassifier) -> None:
    path = real("examples_ybr_color.dcm")
    clip = read_clip(path)
    expected = classifier.probabilities(list(clip.frames[2::5]), clip.spacing).mean(0)  # of 30: 2, 7, ... 27
    result = predict_clip(classifier, path, 7)
    np.testing.assert_allclose(list(result["probabilities"].values()), expected, atol=1e-5)


def test_one_bad_file_does_not_stop_the_others(classifier: ViewClassifier, frames: np.ndarray, tmp_path: Path) -> None:
    good = write(tmp_path / "good.png", frames)
    torn = tmp_path / "torn.avi"
    whole = write(tmp_path / "whole.avi", frames).read_bytes()
    torn.write_bytes(whole[: len(whole) // 2])
    text = tmp_path / "notes.txt"
    text.write_text("no picture")
    files = [Named(path, path.stem) for path in (torn, text, tmp_path / "missing.dcm", good)]
    results = predict_clips(classifier, files, 4)
    assert [result["file"] for result in results] == ["torn", "notes", "missing", "good"]
    for result, words in zip(results, ["is torn", "no known kind", "is missing"], strict=False):
        assert words in result["error"]
        assert set(result) == {"file", "error"}
    assert set(results[-1]) == {"file", "view", "frames", "chosen", "total", "probabilities"}


def test_a_frame_of_another_size_is_passed_over_where_enough_are_left(
    classifier: ViewClassifier, frames: np.ndarray, tmp_path: Path
) -> None:
    path = write(tmp_path / "damaged.avi", frames)
    whole_path = write(tmp_path / "whole.avi", frames)
    content = bytearray(path.read_bytes())
    second = content.find(b"\xff\xc0", content.find(b"\xff\xc0") + 1)  # the header of its second JPEG
    content[second + 5 : second + 7] = (24).to_bytes(2, "big")
    path.write_bytes(content)
    whole = LIMITS.model_copy(update={"usable": 1.0})
    with pytest.raises(EchosynthError, match=r"damaged\.avi: frame 1 of 7 has 64 x 24 pixels and not 64 x 48"):
        predict_clip(classifier, path, 7, whole)
    result = predict_clip(classifier, path, 7)
    assert (result["frames"], result["chosen"], result["total"]) == (6, 7, 7)
    good = [frame for number, frame in enumerate(read_clip(whole_path).frames) if number != 1]
    np.testing.assert_allclose(
        list(result["probabilities"].values()), classifier.probabilities(good).mean(0), atol=1e-5
    )


@pytest.fixture
def tree(frames: np.ndarray, tmp_path: Path) -> Path:
    """A folder with pictures, and with much that is none."""
    folder = tmp_path / "scans"
    (folder / "b" / "c").mkdir(parents=True)
    for name in ("b/c/1.png", "b/2.jpg", "a.mhd", "z.png", ".hidden.png"):
        write(folder / name, frames)
    (folder / "report").write_bytes(bytes(128) + b"DICM")  # DICOM has no suffix in many archives
    shutil.copy(real("rtplan.dcm"), folder / "plan.dcm")  # DICOM of another kind
    (folder / "notes.txt").write_text("no picture")
    (folder / "empty").touch()
    (folder / "gone.png").symlink_to(folder / "nowhere")
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe")
    return folder


def test_a_folder_gives_all_its_pictures_in_order(tree: Path) -> None:
    files, left_out = listed([tree])
    assert [file.name for file in files] == ["a.mhd", "report", "z.png", "b/2.jpg", "b/c/1.png"]
    assert [file.path for file in files] == [tree / file.name for file in files]
    assert left_out == 7  # .hidden.png, a.raw, empty, gone.png, notes.txt, pipe, plan.dcm


def test_files_are_taken_as_they_are_named(tree: Path) -> None:
    text = tree / "notes.txt"
    files, left_out = listed([text, tree / "b", tree / "b" / "c"])
    expected = [text, tree / "b/2.jpg", tree / "b/c/1.png", tree / "b/c/1.png"]
    assert [(file.path, file.name) for file in files] == [(path, str(path)) for path in expected]
    assert left_out == 0


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(EchosynthError, match="holds no file that can be read as a picture"):
        listed([tmp_path])
