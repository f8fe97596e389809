import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from echosynth.common.errors import EchosynthError
from echosynth.common.views import VIEWS
from echosynth.imagesets.prepare import prepare
from echosynth.imagesets.store import read_image_set
from echosynth.ingest.image_set import ingest
from echosynth.media.decode import read_frame
from echosynth.sources.base import read_salt, record_id
from echosynth.sources.registry import all_sources, find_source

DYNAMIC, TMED2 = find_source("echonet-dynamic"), find_source("tmed2")


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    """The state of killed ingests lies in the test's own folder."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "workspace"))
    return tmp_path / "workspace"


@pytest.fixture
def tmed2(tmp_path, write_png, write_csv):
    """Three patients: the first with five PLAX images, the others with one of each view."""
    folder = tmp_path / "tmed2"
    names = [(f"100s1_{index}.png", "PLAX") for index in range(5)]
    names += [(f"{patient}s1_{index}.png", view) for patient in (200, 300) for index, view in enumerate(VIEWS)]
    for index, (name, _) in enumerate(names):
        write_png(folder / "view_labeled_set/labeled" / name, seed=index)
    write_csv(folder / "labels_per_image.csv", "query_key,view_label", *(f"{n},{v}" for n, v in names), "9s1_1.png,A4C")
    return folder


@pytest.fixture
def dynamic(tmp_path, write_avi, write_csv):
    folder = tmp_path / "dynamic"
    for index in range(8):
        write_avi(folder / f"Videos/0X{index}.avi", 12)
    write_csv(folder / "FileList.csv", "FileName,Split", *(f"0X{index},TRAIN" for index in range(8)))
    return folder


def test_stills(tmp_path, tmed2, params_with):
    params = params_with(ingest={"size": 32, "workers": 1})
    report = ingest(TMED2, tmed2, tmp_path / "out", params)
    found = read_image_set(tmp_path / "out")
    assert found.images.shape == (13, 32, 32)
    frames = [read_frame(path).frames[0] for path in sorted((tmed2 / "view_labeled_set/labeled").iterdir())]
    assert np.array_equal(found.images, [prepare(frame, 32) for frame in frames])
    assert report == json.loads((tmp_path / "out/report.json").read_text())
    assert report["images"] == 13 and report["left_out"] == 1 and report["enlarged"] == 0
    assert report["views"] == {"A2C": 2, "A4C": 2, "PLAX": 7, "PSAX": 2}
    assert report["native_sizes"] == {"112x112": 13}
    assert report["frames"] == {"fewest": 1, "median": 1.0, "most": 1}
    assert found.manifest.groupby("group").size().tolist() in ([4, 4, 5], [4, 5, 4], [5, 4, 4])
    assert set(found.manifest["group_kind"]) == {"patient"} and set(found.manifest["width"]) == {112}


def test_outputs_hold_no_file_name_or_patient_and_the_salt_matters(tmp_path, tmed2, params_with, capsys):
    ids = []
    for salt in ("one", "two"):
        (tmp_path / f"{salt}.txt").write_text(salt)
        params = params_with(data={"salt_file": str(tmp_path / f"{salt}.txt")}, ingest={"workers": 1})
        ingest(TMED2, tmed2, tmp_path / salt, params)
        text = (tmp_path / salt / "manifest.csv").read_text()
        assert "s1_" not in text and ".png" not in text and str(tmp_path) not in text
        ids.append(set(read_image_set(tmp_path / salt).manifest["id"]))
        assert "s1_" not in (tmp_path / salt / "report.json").read_text()
    assert not ids[0] & ids[1]
    assert "s1_" not in capsys.readouterr().err  # logs keep it
    names = (tmp_path / "workspace/.cache/left-out/tmed2.csv").read_text()
    assert "row without a file,9s1_1.png," in names
    report = json.loads((tmp_path / "one/report.json").read_text())
    assert report["omitted"]["row without a file"]["names"] == [record_id("one", "tmed2", "9s1_1.png")]


def test_at_most_so_many_images_of_a_patient_and_view(tmp_path, tmed2, params_with):
    chosen = []
    for seed in range(6):
        params = params_with(ingest={"max_per_patient_view": 2, "workers": 1, "seed": seed})
        report = ingest(TMED2, tmed2, tmp_path / "out", params)
        manifest = read_image_set(tmp_path / "out").manifest
        assert manifest.groupby(["group", "view"]).size().max() == 2 and len(manifest) == 10
        assert report["omitted"]["more than 2 of one patient and view"]["count"] == 3
        chosen.append(frozenset(manifest["id"]))
    assert len(set(chosen)) > 1


def test_one_random_frame_of_each_video(tmp_path, dynamic, params_with):
    params = params_with(ingest={"workers": 1, "size": 32})
    report = ingest(DYNAMIC, dynamic, tmp_path / "out", params)
    found = read_image_set(tmp_path / "out")
    # The grey level of the fixture's frames tells their number.
    numbers = (found.images.mean(axis=(1, 2)) - 20) / 10
    assert found.manifest["frame"].to_numpy() == pytest.approx(numbers, abs=0.2)
    assert found.manifest["frame"].nunique() > 2 and set(found.manifest["frames"]) == {12}
    assert set(found.manifest["official_split"]) == {"train"} and report["frames"]["most"] == 12
    # Another video coming or going changes no other choice.
    (dynamic / "Videos/0X0.avi").unlink()
    ingest(DYNAMIC, dynamic, tmp_path / "fewer", params)
    fewer = read_image_set(tmp_path / "fewer").manifest.set_index("id")["frame"]
    assert len(fewer) == 7 and fewer.equals(found.manifest.set_index("id")["frame"].loc[fewer.index])
    ingest(DYNAMIC, dynamic, tmp_path / "seed", params_with(ingest={"workers": 1, "size": 32, "seed": 99}))
    assert not read_image_set(tmp_path / "seed").manifest.set_index("id")["frame"].equals(fewer)


def test_the_bytes_do_not_depend_on_the_workers_or_the_place(tmp_path, dynamic, params_with):
    ingest(DYNAMIC, dynamic, tmp_path / "one", params_with(ingest={"workers": 1}))
    moved = dynamic.rename(tmp_path / "elsewhere")
    ingest(DYNAMIC, moved, tmp_path / "two", params_with(ingest={"workers": 2}))
    for name in ("images.zip", "manifest.csv", "report.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def fake_review(monkeypatch, reasons):
    """The video validation as the ingest sees it."""
    asked = []

    def verdicts(validation, decisions, params):
        asked.append((validation, decisions))
        return reasons

    monkeypatch.setattr("echosynth.ingest.image_set.verdicts", verdicts)
    return asked


def test_cines_that_the_validation_drops_are_left_out_with_its_reason(tmp_path, dynamic, params_with, monkeypatch):
    params = params_with(ingest={"workers": 1})
    salt = read_salt(Path(params.data.salt_file))
    names = [record_id(salt, DYNAMIC.name, f"Videos/0X{index}.avi") for index in (1, 4, 6)]
    every = [record_id(salt, DYNAMIC.name, f"Videos/0X{index}.avi") for index in range(8)]
    reasons = dict.fromkeys(every, "") | {names[0]: "colour", names[1]: "colour", names[2]: "split picture"}
    reasons["echonet-dynamic-0"] = "colour"
    asked = fake_review(monkeypatch, reasons)
    review = (tmp_path / "validation", tmp_path / "decisions.yaml")
    report = ingest(DYNAMIC, dynamic, tmp_path / "out", params, review)
    assert asked == [review]
    assert report["omitted"]["colour"] == {"count": 2, "names": sorted(names[:2])}
    assert report["validation"] == {
        "method": params.review.method,
        "kept": 5,
        "dropped": 3,
        "by_reason": {"colour": 2, "split picture": 1},
    }
    assert not set(names) & set(read_image_set(tmp_path / "out").manifest["id"]) and report["images"] == 5
    # Without a validation all are kept.
    report = ingest(DYNAMIC, dynamic, tmp_path / "all", params)
    assert report["images"] == 8 and report["validation"]["method"] == "none"


def test_what_was_not_validated_is_left_out_and_counts_as_bad(tmp_path, dynamic, params_with, monkeypatch):
    params = params_with(ingest={"workers": 1})
    salt = read_salt(Path(params.data.salt_file))
    # The validation could not read 0X3, of which other frames may be fine, and 0X5 has come since.
    reasons = {record_id(salt, DYNAMIC.name, f"Videos/0X{index}.avi"): "" for index in range(8) if index not in (3, 5)}
    fake_review(monkeypatch, reasons)
    review = (tmp_path / "validation", tmp_path / "decisions.yaml")
    with pytest.raises(EchosynthError, match=r"2 of 8 files.*0X3\.avi was not there when .* validated"):
        ingest(DYNAMIC, dynamic, tmp_path / "out", params, review)
    report = ingest(DYNAMIC, dynamic, tmp_path / "out", params_with(data={"max_bad_share": 0.3}), review)
    assert report["images"] == 6 and report["omitted"]["unreadable"]["count"] == 2


def test_stills_are_not_validated(tmp_path, tmed2, params_with, monkeypatch):
    asked = fake_review(monkeypatch, {})
    report = ingest(TMED2, tmed2, tmp_path / "out", params_with(ingest={"workers": 1}), (tmp_path, tmp_path / "x"))
    assert not asked
    assert report["validation"] == {"method": "none", "kept": 13, "dropped": 0, "by_reason": {}}


def marking(source, marks):
    """The source with marks in each of its cines."""

    def list_records(folder):
        listing = source.list_records(folder)
        listing.records = [replace(record, marked=marks) for record in listing.records]
        return listing

    return replace(source, list_records=list_records)


def test_several_frames_of_a_cine(tmp_path, dynamic, params_with):
    single = ingest(DYNAMIC, dynamic, tmp_path / "single", params_with(ingest={"workers": 1}))
    ids = set(read_image_set(tmp_path / "single").manifest["id"])
    params = params_with(ingest={"workers": 1, "frames": "spaced", "frames_per_cine": 3})
    report = ingest(DYNAMIC, dynamic, tmp_path / "spaced", params)
    manifest = read_image_set(tmp_path / "spaced").manifest
    assert set(manifest["id"]) == {f"{name}-{frame:04d}" for name in ids for frame in (2, 6, 10)}
    assert report["images"] == 24 and manifest["group"].nunique() == report["groups"] == single["groups"] == 8
    assert report["frame_counts"] == single["frame_counts"] == {"12": 8}
    assert report["selection"] == "3 evenly spaced frames of each cine"
    assert single["selection"] == "one random frame of each cine"
    report = ingest(DYNAMIC, dynamic, tmp_path / "odd", params_with(ingest={"workers": 1, "frames": "dissimilar"}))
    assert report["images"] == 8 * 2 and "0.25 quantile" in report["selection"]


def test_marked_frames_bear_their_moment(tmp_path, dynamic, params_with, capsys):
    params = params_with(ingest={"workers": 1, "frames": "marked"})
    report = ingest(marking(DYNAMIC, (("ES", 8), ("ED", 3), ("ED", 12))), dynamic, tmp_path / "out", params)
    found = read_image_set(tmp_path / "out")
    assert set(zip(found.manifest["moment"], found.manifest["frame"], strict=True)) == {("ED", 3), ("ES", 8)}
    assert (found.images.mean(axis=(1, 2)) - 20) / 10 == pytest.approx(found.manifest["frame"].to_numpy(), abs=0.2)
    assert report["images"] == 16 and report["left_out"] == 0
    assert "8 marks of end diastole or end systole were passed over" in report["notes"][-1]
    assert report["notes"][-1] in capsys.readouterr().err


def test_the_report_tells_groups_kinds_and_notes(tmp_path, tmed2, params_with):
    source = replace(TMED2, list_records=lambda folder: noted(TMED2.list_records(folder)))

    def noted(listing):
        listing.notes.append("a note")
        return listing

    report = ingest(source, tmed2, tmp_path / "out", params_with(ingest={"workers": 1}))
    assert report["notes"][-1] == "a note"
    assert report["group_kinds"] == {"patient": 13} and report["groups"] == 3 and report["frame_counts"] == {"1": 13}
    assert report["selection"].startswith("stills, at most 15 of one patient and view")


def test_enlarged_pictures_are_counted_and_told(tmp_path, dynamic, params_with, capsys):
    params = params_with(ingest={"workers": 1, "size": 128}, diffusion={"attention": []})
    report = ingest(DYNAMIC, dynamic, tmp_path / "out", params)
    assert report["enlarged"] == 8
    line = "echonet-dynamic: 8 of 8 images are smaller than ingest.size = 128 and were enlarged"
    assert capsys.readouterr().err.count(line) == 1


def test_a_few_unreadable_files_are_left_out_and_many_stop(tmp_path, dynamic, params_with):
    torn = dynamic / "Videos/0X3.avi"
    torn.write_bytes(torn.read_bytes()[:2000])
    lenient, strict = ({"max_bad_share": share} for share in (0.2, 0.1))
    report = ingest(DYNAMIC, dynamic, tmp_path / "out", params_with(data=lenient, ingest={"workers": 1}))
    assert report["omitted"]["unreadable"]["count"] == 1 and report["images"] == 7
    with pytest.raises(EchosynthError, match=r"1 of 8 files \(12\.5%\).*data\.max_bad_share = 0\.1.*0X3\.avi is torn"):
        ingest(DYNAMIC, dynamic, tmp_path / "other", params_with(data=strict, ingest={"workers": 1}))
    assert not (tmp_path / "other").exists() and not (tmp_path / "other.part").exists()


def test_every_kind_of_broken_still_is_counted(tmp_path, tmed2, params_with):
    folder = tmed2 / "view_labeled_set/labeled"
    (folder / "100s1_0.png").write_text("not a picture")
    (folder / "100s1_1.png").write_bytes(b"")
    picture = np.zeros((9, 9), np.float32)
    (folder / "100s1_2.png").write_bytes(cv2.imencode(".tiff", picture)[1].tobytes())
    report = ingest(TMED2, tmed2, tmp_path / "out", params_with(data={"max_bad_share": 0.5}, ingest={"workers": 1}))
    assert report["omitted"]["unreadable"]["count"] == 3


def test_a_view_without_images_is_named(tmp_path, tmed2, params_with):
    table = tmed2 / "labels_per_image.csv"
    table.write_text("".join(line + "\n" for line in table.read_text().splitlines() if "PSAX" not in line))
    with pytest.raises(EchosynthError, match="tmed2: no image of PSAX is left"):
        ingest(TMED2, tmed2, tmp_path / "out", params_with(ingest={"workers": 1}))


def test_a_source_that_need_not_be_complete_needs_one_image(tmp_path, tmed2, params_with):
    table = tmed2 / "labels_per_image.csv"
    table.write_text("".join(line + "\n" for line in table.read_text().splitlines() if "PSAX" not in line))
    params = params_with(data={"max_bad_share": 1.0}, ingest={"workers": 1})
    source = replace(TMED2, complete=False)
    assert ingest(source, tmed2, tmp_path / "out", params)["views"]["PSAX"] == 0
    for path in (tmed2 / "view_labeled_set/labeled").iterdir():
        path.write_bytes(b"")
    with pytest.raises(EchosynthError, match="tmed2: no image of A2C, A4C, PLAX, PSAX is left"):
        ingest(source, tmed2, tmp_path / "none", params)


def test_a_missing_folder_is_named(tmp_path, params):
    for source in all_sources():
        with pytest.raises(EchosynthError, match=f"{source.name} is missing; put"):
            ingest(source, tmp_path / source.name, tmp_path / "out", params)
