"""Image sets are written whole, checked, and read as they were."""

import hashlib
import zipfile

import cv2
import numpy as np
import pandas as pd
import pytest

from echosynth.common.errors import EchosynthError
from echosynth.imagesets.schema import MANIFEST, check
from echosynth.imagesets.store import (
    encode,
    pixel_hash,
    read_image_set,
    read_images,
    read_manifest,
    write_image_set,
    write_image_stream,
)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "workspace"))


def manifest(count: int = 5) -> pd.DataFrame:
    views = ["A2C", "A4C", "PLAX", "PSAX"]
    rows = {
        "id": [f"tmed2-{index:04x}" for index in range(count)],
        "source": "tmed2",
        "view": [views[index % 4] for index in range(count)],
        # A hash may look like a number and must not become one.
        "group": [f"00123{index}e05" for index in range(count)],
        "group_kind": "patient",
        "official_split": ["train", ""] * (count // 2) + [""] * (count % 2),
        "moment": "",
        "frame": 0,
        "frames": 1,
        "width": 112,
        "height": 96,
        "synthetic": False,
    }
    return pd.DataFrame(rows)


def images(count: int = 5) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 16, 16), dtype=np.uint8)


def test_what_is_written_is_read(tmp_path):
    write_image_set(tmp_path / "set", iter(images()), manifest())
    again = read_image_set(tmp_path / "set")
    assert np.array_equal(again.images, images())
    hashes = [hashlib.blake2b(image.tobytes(), digest_size=8).hexdigest() for image in images()]
    pd.testing.assert_frame_equal(again.manifest, check(MANIFEST, manifest().assign(pixels=hashes), "here"))
    assert again.manifest["group"].tolist()[0] == "001230e05"


def test_the_zip_holds_plain_pngs(tmp_path):
    write_image_set(tmp_path / "set", images(), manifest())
    with zipfile.ZipFile(tmp_path / "set/images.zip") as archive:
        assert archive.namelist() == [f"{name}.png" for name in manifest()["id"]]
        picture = cv2.imdecode(np.frombuffer(archive.read("tmed2-0003.png"), np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(picture, images()[3])


def test_the_same_pictures_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        write_image_set(tmp_path / name, images(), manifest())
    for file in ("images.zip", "manifest.csv"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_some_pictures_by_id(tmp_path):
    write_image_set(tmp_path / "set", images(), manifest())
    assert np.array_equal(read_images(tmp_path / "set", ["tmed2-0004", "tmed2-0001"]), images()[[4, 1]])
    part = read_image_set(tmp_path / "set", ["tmed2-0004", "tmed2-0001", "other"])
    assert part.manifest["id"].tolist() == ["tmed2-0001", "tmed2-0004"]
    assert np.array_equal(part.images, images()[[1, 4]])


def test_a_stream_writes_extra_files_and_nothing_when_it_breaks(tmp_path):
    rows = [{str(k): v for k, v in row.items()} for row in manifest().to_dict("records")]
    write_image_stream(tmp_path / "set", zip(rows, images(), strict=True), lambda: {"report.json": {"b": 1, "a": 2}})
    assert (tmp_path / "set/report.json").read_text() == '{\n  "a": 2,\n  "b": 1\n}\n'
    before = {path.name: path.read_bytes() for path in (tmp_path / "set").iterdir()}

    def broken():
        yield rows[0], images()[0]
        raise EchosynthError("the release is no good")

    with pytest.raises(EchosynthError, match="no good"):
        write_image_stream(tmp_path / "set", broken())
    assert {path.name: path.read_bytes() for path in (tmp_path / "set").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_more_or_fewer_pictures_than_rows_write_nothing(tmp_path):
    with pytest.raises(ValueError, match="shorter"):
        write_image_set(tmp_path / "set", images(4), manifest())
    assert not list(tmp_path.iterdir())


def test_pngs_that_are_encoded_already_give_the_same_set(tmp_path):
    rows = [{str(k): v for k, v in row.items()} for row in manifest().to_dict("records")]
    write_image_stream(tmp_path / "a", zip(rows, images(), strict=True))
    ready = [(row | {"pixels": pixel_hash(image)}, encode(image)) for row, image in zip(rows, images(), strict=True)]
    write_image_stream(tmp_path / "b", ready)
    for file in ("images.zip", "manifest.csv"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    with pytest.raises(EchosynthError, match=r"missing: pixels"):
        write_image_stream(tmp_path / "c", [(row, encode(image)) for row, image in zip(rows, images(), strict=True)])
    assert not (tmp_path / "c").exists()


def test_the_hash_is_that_of_the_pixels_in_rows():
    picture = images()[0]
    assert pixel_hash(picture) == pixel_hash(np.asfortranarray(picture)) != pixel_hash(picture.T)
    assert len(pixel_hash(picture)) == 16


def test_a_wrong_manifest_is_refused_before_the_first_picture(tmp_path):
    def never():
        raise AssertionError("asked for a picture")
        yield

    with pytest.raises(EchosynthError, match=r"manifest for .*set: view holds 'PLAXX'"):
        write_image_set(tmp_path / "set", never(), manifest().assign(view="PLAXX"))
    assert not list(tmp_path.iterdir())


def test_an_empty_set(tmp_path):
    write_image_set(tmp_path / "set", [], manifest(0))
    assert len(read_image_set(tmp_path / "set").images) == 0


def test_missing_and_damaged_sets_are_named(tmp_path):
    with pytest.raises(EchosynthError, match=r"manifest\.csv is missing"):
        read_manifest(tmp_path / "set")
    write_image_set(tmp_path / "set", images(), manifest())
    with pytest.raises(EchosynthError, match=r"image tmed2-9999 is not in .*manifest\.csv"):
        read_images(tmp_path / "set", ["tmed2-9999"])
    archive = tmp_path / "set/images.zip"
    whole = archive.read_bytes()
    archive.unlink()
    with pytest.raises(EchosynthError, match=r"images\.zip is missing"):
        read_images(tmp_path / "set", ["tmed2-0000"])
    archive.write_bytes(whole[:300])
    with pytest.raises(EchosynthError, match=r"images\.zip is damaged"):
        read_images(tmp_path / "set", ["tmed2-0000"])
