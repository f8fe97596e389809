import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from echosynth.common.errors import EchosynthError
from echosynth.common.views import VIEWS
from echosynth.imagesets.prepare import prepare
from echosynth.imagesets.store import read_image_set
from echosynth.ingest.image_set import ingest
from echosynth.media.decode import read_frame
from echosynth.screening.decisions import start_decisions
from echosynth.screening.screen import screen_release
from echosynth.sources.base import read_salt, record_id, salt_id
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
        params = params_with(
            data={"salt_file": str(tmp_path / f"{salt}.txt"), "salt_id": salt_id(salt)}, ingest={"workers": 1}
        )
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
        assert report["omitted"]["not taken: at most 2 of one patient and view"]["count"] == 3
        chosen.append(frozenset(manifest["id"]))
    assert len(set(chosen)) > 1


def test_at_most_so_many_images_of_a_patient(tmp_path, tmed2, params_with):
    params = params_with(ingest={"max_per_patient_view": 2, "max_per_patient": 3, "workers": 1})
    report = ingest(TMED2, tmed2, tmp_path / "out", params)
    manifest = read_image_set(tmp_path / "out").manifest
    patients = manifest.groupby("group").size()
    assert patients.max() == 3 and manifest.groupby(["group", "view"]).size().max() <= 2
    (reason,) = (name for name in report["omitted"] if name.startswith("not taken"))
    assert reason == "not taken: at most 2 of one patient and view and 3 of one patient"
    assert report["omitted"][reason]["count"] == 13 - len(manifest)


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


@pytest.fixture
def review(tmp_path):
    """The folder of a screening, and decisions of nobody."""
    start_decisions(tmp_path / "decisions.yaml")
    return tmp_path / "screening", tmp_path / "decisions.yaml"


def fake_verdicts(monkeypatch, reasons):
    """What a screening and a person say, as the ingest sees it."""
    asked = []

    def verdicts(screening, decisions, params):
        asked.append((screening, decisions))
        return reasons

    monkeypatch.setattr("echosynth.ingest.image_set.verdicts", verdicts)
    return asked


def test_cines_that_the_screening_drops_are_left_out_with_its_reason(
    tmp_path, dynamic, params_with, monkeypatch, review
):
    params = params_with(ingest={"workers": 1})
    salt = read_salt(params.data.salt_file, params.data.salt_id)
    names = [record_id(salt, DYNAMIC.name, f"Videos/0X{index}.avi") for index in (1, 4, 6)]
    every = [record_id(salt, DYNAMIC.name, f"Videos/0X{index}.avi") for index in range(8)]
    reasons = dict.fromkeys(every, "") | {names[0]: "colour", names[1]: "colour", names[2]: "split picture"}
    reasons["echonet-dynamic-0"] = "colour"
    asked = fake_verdicts(monkeypatch, reasons)
    screen_release(DYNAMIC, dynamic, review[0], params)
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
    # Without a screening all are kept.
    report = ingest(DYNAMIC, dynamic, tmp_path / "all", params)
    assert report["images"] == 8 and report["validation"]["method"] == "none"


def test_what_was_not_screened_is_left_out_and_counts_as_bad(tmp_path, dynamic, params_with, review):
    params = params_with(ingest={"workers": 1})
    # The screening cannot read 0X3, which was half copied then, and 0X5 comes after it.
    whole, late = ((dynamic / f"Videos/0X{index}.avi") for index in (3, 5))
    content = whole.read_bytes()
    whole.write_bytes(content[:2000])
    hidden = late.rename(tmp_path / "late.avi")
    screen_release(DYNAMIC, dynamic, review[0], params)
    whole.write_bytes(content)
    hidden.rename(late)
    with pytest.raises(EchosynthError, match=r"2 of 8 files.*0X3\.avi was not there when .* screened"):
        ingest(DYNAMIC, dynamic, tmp_path / "out", params, review)
    report = ingest(DYNAMIC, dynamic, tmp_path / "out", params_with(data={"max_bad_share": 0.3}), review)
    assert report["images"] == 6 and report["omitted"]["unreadable"]["count"] == 2


def test_a_recording_without_a_verdict_is_named(tmp_path, dynamic, params_with, monkeypatch, review):
    params = params_with(ingest={"workers": 1})
    screen_release(DYNAMIC, dynamic, review[0], params)
    fake_verdicts(monkeypatch, {})
    with pytest.raises(EchosynthError, match=r"files\.csv: image echonet-dynamic-\w+ is not in .*recordings\.csv"):
        ingest(DYNAMIC, dynamic, tmp_path / "out", params, review)


def test_stills_pass_no_verdict(tmp_path, tmed2, params_with, monkeypatch, review):
    params = params_with(ingest={"workers": 1})
    asked = fake_verdicts(monkeypatch, {})
    screen_release(TMED2, tmed2, review[0], params)
    report = ingest(TMED2, tmed2, tmp_path / "out", params, review)
    assert not asked
    assert report["validation"] == {"method": "none", "kept": 13, "dropped": 0, "by_reason": {}}


@pytest.fixture
def odd_releases(tmp_path, tmed2, dynamic):
    """Stills and cines of which some are torn, empty, gone or without a row."""
    (tmed2 / "view_labeled_set/labeled/100s1_3.png").write_bytes(b"")
    torn = dynamic / "Videos/0X3.avi"
    torn.write_bytes(torn.read_bytes()[:2000])
    (dynamic / "Videos/0X9.avi").write_bytes(torn.read_bytes())
    return (TMED2, tmed2), (DYNAMIC, dynamic)


def test_after_a_screening_no_table_is_read_and_no_first_frame_decoded_again(
    tmp_path, odd_releases, params_with, review, monkeypatch, workspace
):
    params = params_with(data={"max_bad_share": 0.5}, ingest={"workers": 1, "max_per_patient_view": 4})
    for source, folder in odd_releases:
        plain = ingest(source, folder, tmp_path / "plain", params)
        screen_release(source, folder, review[0], params)
        names = (workspace / f".cache/left-out/{source.name}.csv").read_bytes()
        with monkeypatch.context() as patch:
            patch.setattr("echosynth.screening.listing.read_frame", lambda path: pytest.fail("decoded again"))
            unlisted = replace(source, list_records=lambda folder: pytest.fail("listed again"))
            screened = ingest(unlisted, folder, tmp_path / "screened", params, review)
        # The same bytes as without a screening, but for the counts of the screening itself.
        for name in ("images.zip", "manifest.csv"):
            assert (tmp_path / "screened" / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()
        assert {**screened, "validation": 0} == {**plain, "validation": 0}
        assert screened["omitted"]["unreadable"]["count"] == 1
        assert (workspace / f".cache/left-out/{source.name}.csv").read_bytes() == names
        # On another machine, where the names in the clear are not, they are found anew.
        (workspace / f".cache/listings/{source.name}.json").unlink()
        assert ingest(source, folder, tmp_path / "elsewhere", params, review) == screened
        assert (workspace / f".cache/left-out/{source.name}.csv").read_bytes() == names


@pytest.mark.parametrize("content", ["", "[]", '{"key": 1}', '{"key": "x", "records": 7}'])
def test_damaged_names_are_found_anew(tmp_path, dynamic, params_with, review, workspace, content):
    params = params_with(ingest={"workers": 1})
    screen_release(DYNAMIC, dynamic, review[0], params)
    (workspace / ".cache/listings/echonet-dynamic.json").write_text(content)
    assert ingest(DYNAMIC, dynamic, tmp_path / "out", params, review)["images"] == 8


def test_another_table_is_read_again(tmp_path, tmed2, params_with, review):
    params = params_with(ingest={"workers": 1})
    screen_release(TMED2, tmed2, review[0], params)
    table = tmed2 / "labels_per_image.csv"
    table.write_text(table.read_text().replace("9s1_1.png", "9s1_2.png") + "9s1_3.png,A4C\n")
    report = ingest(TMED2, tmed2, tmp_path / "out", params, review)
    assert report["omitted"]["row without a file"]["count"] == 2


def test_a_missing_table_of_files_is_named(tmp_path, dynamic, params_with, review):
    with pytest.raises(EchosynthError, match=r"files\.csv is missing; run `dvc repro`"):
        ingest(DYNAMIC, dynamic, tmp_path / "out", params_with(ingest={"workers": 1}), review)


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


def test_a_release_of_flat_pictures_stops(tmp_path, dynamic, params_with, write_avi):
    flat = [np.full((112, 112, 3), 40, np.uint8)] * 8
    videos = sorted((dynamic / "Videos").glob("*.avi"))
    write_avi(videos[0], frames=flat)
    settings = params_with(ingest={"workers": 1, "size": 32})
    report = ingest(DYNAMIC, dynamic, tmp_path / "few", settings)
    assert report["notes"][-1] == "1 images are of one grey level"
    for path in videos[: len(videos) // 2]:
        write_avi(path, frames=flat)
    with pytest.raises(EchosynthError, match=r"of one grey level, more than data\.max_bad_share = 0\.2 allows"):
        ingest(DYNAMIC, dynamic, tmp_path / "many", settings)
    assert not (tmp_path / "many").exists()


def test_damaged_frames_are_passed_over_and_noted(tmp_path, dynamic, params_with, write_avi):
    path = dynamic / "Videos/0X3.avi"
    content = bytearray(path.read_bytes())
    starts = [at for at in range(len(content)) if content[at : at + 3] == b"\xff\xd8\xff"]
    content[starts[2] : starts[2] + 2] = bytes(2)  # of 12 frames
    path.write_bytes(content)
    params = params_with(ingest={"size": 32, "workers": 1, "frames": "spaced", "frames_per_cine": 12})
    report = ingest(DYNAMIC, dynamic, tmp_path / "out", params)
    assert report["images"] == 8 * 12 - 1 and report["left_out"] == 0
    assert "1 damaged frames of otherwise usable files were passed over" in report["notes"]
    table = read_image_set(tmp_path / "out").manifest
    damaged = table[table.groupby("group")["id"].transform("size") == 11]
    assert list(damaged["frame"]) == [0, 1, *range(3, 12)]
    strict = params_with(ingest=params.ingest.model_dump() | {"workers": 1}, decoding={"usable": 1.0})
    report = ingest(DYNAMIC, dynamic, tmp_path / "out", strict)
    assert report["images"] == 7 * 12 and report["omitted"]["unreadable"]["count"] == 1


def test_the_limits_are_those_of_the_section(tmp_path, dynamic, params_with):
    few = params_with(ingest={"size": 32, "workers": 1}, decoding={"pixels": 100})
    with pytest.raises(EchosynthError, match=r"claims pictures of 112 x 112 pixels, more than decoding\.pixels = 100 "):
        ingest(DYNAMIC, dynamic, tmp_path / "out", few)
    assert screen_release(DYNAMIC, dynamic, tmp_path / "screening", few)["unreadable"] == 8
    assert screen_release(DYNAMIC, dynamic, tmp_path / "screening", params_with())["unreadable"] == 0
