import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from echosynth.common.errors import EchosynthError
from echosynth.imagesets.schema import FILES, GROUPS, RECORDINGS, read_csv
from echosynth.screening.contact_sheet import Tile, page
from echosynth.screening.screen import screen_release
from echosynth.sources.base import read_salt, record_id
from echosynth.sources.registry import find_source

ROOT = Path(__file__).parents[2]
DYNAMIC = find_source("echonet-dynamic")


def grey(seed: int) -> np.ndarray:
    """A bright square of speckle on black, (112, 112, 3)."""
    frame = np.zeros((112, 112, 3), np.uint8)
    frame[20:100, 30:90] = np.random.default_rng(seed).integers(60, 200, (80, 60, 1))
    return frame


def doppler(seed: int) -> np.ndarray:
    frame = grey(seed)
    frame[40:70, 40:70] = (20, 20, 240)
    return frame


def pair(seed: int) -> np.ndarray:
    frame = np.zeros((112, 112, 3), np.uint8)
    frame[30:80, 5:50] = frame[30:80, 60:105] = np.random.default_rng(seed).integers(90, 160, (50, 45, 1))
    return frame


def write_cine(path: Path, picture: np.ndarray) -> Path:
    """With OpenCV's own encoder, which keeps grey exactly grey; FFmpeg's moves the channels by up to 3 levels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    video = cv2.VideoWriter(str(path), cv2.CAP_OPENCV_MJPEG, cv2.VideoWriter.fourcc(*"MJPG"), 50, (112, 112), True)
    for _ in range(3):
        video.write(picture)
    video.release()
    return path


@pytest.fixture(autouse=True)
def workspace(tmp_path_factory, monkeypatch):
    """Names in the clear lie in the test's own folder."""
    folder = tmp_path_factory.mktemp("workspace")
    monkeypatch.setenv("DVC_ROOT", str(folder))
    return folder


@pytest.fixture
def release(tmp_path, write_csv):
    """Eight cines: grey but for 2 and 5 (colour Doppler), 3 (split, grey), 6 (tinted) and 7 (torn)."""
    folder = tmp_path / "dynamic"
    pictures = [grey(0), grey(1), doppler(2), pair(3), grey(4), doppler(2), (grey(6) * [0.8, 0.9, 1]).astype(np.uint8)]
    for number, picture in enumerate(pictures):
        write_cine(folder / f"Videos/0X{number}.avi", picture)
    torn = write_cine(folder / "Videos/0X7.avi", grey(7))
    torn.write_bytes(torn.read_bytes()[:3000])
    write_csv(folder / "FileList.csv", "FileName,Split", *(f"0X{number},TRAIN" for number in range(8)))
    return folder


@pytest.fixture
def params(params_with):
    return params_with(ingest={"workers": 1}, data={"salt_file": str(ROOT / "data/salt.demo")})


def number_of(params) -> dict[str, int]:
    """Id -> number of the cine."""
    salt = read_salt(params.data.salt_file, params.data.salt_id)
    return {record_id(salt, DYNAMIC.name, f"Videos/0X{number}.avi"): number for number in range(8)}


def test_recordings_groups_sheet_and_metrics(release, tmp_path, params):
    metrics = screen_release(DYNAMIC, release, tmp_path / "out", params)
    numbers = number_of(params)
    recordings = read_csv(tmp_path / "out/recordings.csv", RECORDINGS)
    groups = read_csv(tmp_path / "out/groups.csv", GROUPS)
    founder = {numbers[row.id]: numbers[row.group] for row in recordings.itertuples()}
    assert founder == {0: 0, 1: 0, 2: 2, 3: 0, 4: 0, 5: 2, 6: 6}
    reasons = {numbers[row.id]: row.proposal for row in recordings.itertuples() if row.proposal}
    assert reasons == {2: "colour Doppler", 3: "split picture", 5: "colour Doppler"}
    found = [(numbers[r.group], r.size, r.flagged, r.proposal, r.reason) for r in groups.itertuples()]
    assert found == [(0, 4, 1, "keep", ""), (2, 2, 2, "drop", "colour Doppler"), (6, 1, 0, "keep", "usable tint")]
    assert groups["colourfulness"].is_unique and groups["colourfulness"][0] == 0
    founders = recordings[recordings["id"] == recordings["group"]]
    assert (founders["statistic"] == 0).all() and (founders["p_value"] == 1).all()
    assert (recordings["p_value"] >= params.review.alpha).all()
    assert metrics == json.loads((tmp_path / "out/metrics.json").read_text())
    assert metrics["recordings"] == 7 and metrics["unreadable"] == 1 and metrics["groups"] == 3
    assert metrics["groups_by_proposal"] == {"keep: grey": 1, "drop: colour Doppler": 1, "keep: usable tint": 1}
    assert metrics["recordings_by_proposal"] == {"usable": 4, "colour Doppler": 2, "split picture": 1}
    # Three groups, and the split picture that hides in the grey one.
    sheet = cv2.imread(str(tmp_path / "out/sheet.png"))
    assert sheet.shape[1] == 4 * page([Tile(grey(0), "keep", ())]).shape[1]


def test_of_many_groups_the_small_ones_to_be_dropped_are_shown(release, tmp_path, params, monkeypatch):
    monkeypatch.setattr("echosynth.screening.screen.MOST_TILES", 1)
    screen_release(DYNAMIC, release, tmp_path / "out", params)
    # The largest group, the Doppler group and the split picture; not the tinted one.
    sheet = cv2.imread(str(tmp_path / "out/sheet.png"))
    assert sheet.shape[1] == 3 * page([Tile(grey(0), "keep", ())]).shape[1]


def test_the_shares_are_measured(release, tmp_path, params):
    screen_release(DYNAMIC, release, tmp_path / "out", params)
    table = read_csv(tmp_path / "out/recordings.csv", RECORDINGS).set_index("id").rename(index=number_of(params))
    assert table["grey_share"][0] == 1 and table["coloured_share"][0] == 0
    assert table["grey_share"][2] == pytest.approx(1 - 900 / 112**2, abs=0.01)
    assert table["coloured_share"][2] == pytest.approx(900 / 112**2, abs=0.01)


def test_the_bytes_do_not_depend_on_the_workers_or_the_place(release, tmp_path, params_with, monkeypatch):
    monkeypatch.setattr("echosynth.screening.screen.BATCH", 2)
    for workers in (1, 2):
        settings = params_with(ingest={"workers": workers}, data={"salt_file": str(ROOT / "data/salt.demo")})
        screen_release(DYNAMIC, release, tmp_path / f"out-{workers}", settings)
        release = release.rename(tmp_path / f"moved-{workers}")
    names = sorted(path.name for path in (tmp_path / "out-1").iterdir())
    assert names == ["files.csv", "groups.csv", "left_out.json", "metrics.json", "recordings.csv", "sheet.png"]
    for name in names:
        assert (tmp_path / "out-1" / name).read_bytes() == (tmp_path / "out-2" / name).read_bytes()


def test_no_name_of_a_file_is_written(release, tmp_path, params):
    screen_release(DYNAMIC, release, tmp_path / "out", params)
    for name in ("recordings.csv", "groups.csv", "metrics.json", "files.csv", "left_out.json"):
        text = (tmp_path / "out" / name).read_text()
        assert "0X" not in text and str(tmp_path) not in text


@pytest.mark.parametrize("method", ["grey", "none"])
def test_other_methods_make_no_groups(release, tmp_path, params_with, method):
    salt = {"salt_file": str(ROOT / "data/salt.demo")}
    metrics = screen_release(DYNAMIC, release, tmp_path / "out", params_with(review={"method": method}, data=salt))
    recordings = read_csv(tmp_path / "out/recordings.csv", RECORDINGS)
    assert len(recordings) == 7 and recordings["grey_share"].min() < 0.95 and metrics["groups"] == 0
    assert read_csv(tmp_path / "out/groups.csv", GROUPS).empty
    assert not (tmp_path / "out/sheet.png").exists()


def test_alpha_changes_the_groups(release, tmp_path, params_with):
    numbers = []
    for alpha in (1e-9, 0.05):
        settings = params_with(review={"alpha": alpha}, data={"salt_file": str(ROOT / "data/salt.demo")})
        numbers.append(screen_release(DYNAMIC, release, tmp_path / "out", settings)["groups"])
    assert numbers[0] <= numbers[1] == 3


def test_a_source_of_stills_has_files_but_no_recordings(tmp_path, params, write_png, write_csv):
    folder = tmp_path / "tmed2"
    write_png(folder / "view_labeled_set/1s1_1.png", seed=1)
    write_png(folder / "view_labeled_set/1s1_2.png", seed=2).write_bytes(b"")
    rows = ("1s1_1.png,A2C", "1s1_2.png,PLAX", "2s1_1.png,PSAX")
    write_csv(folder / "labels_per_image.csv", "query_key,view_label", *rows)
    metrics = screen_release(find_source("tmed2"), folder, tmp_path / "out", params)
    assert metrics["recordings"] == metrics["unreadable"] == 0
    assert read_csv(tmp_path / "out/recordings.csv", RECORDINGS).empty
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "files.csv",
        "groups.csv",
        "left_out.json",
        "metrics.json",
        "recordings.csv",
    ]
    files = read_csv(tmp_path / "out/files.csv", FILES)
    assert files[["view", "frames", "width", "height"]].to_numpy().tolist() == [["A2C", 1, 112, 112], ["PLAX", 0, 0, 0]]


def test_a_missing_release_leaves_nothing(tmp_path, params):
    with pytest.raises(EchosynthError, match="dynamic is missing"):
        screen_release(DYNAMIC, tmp_path / "dynamic", tmp_path / "out", params)
    assert not list(tmp_path.iterdir())
