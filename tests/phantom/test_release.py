"""The layouts, checked against the description of the releases, not against this package's own readers."""

import hashlib
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from echosynth.common.errors import EchosynthError
from echosynth.phantom.options import PhantomParams
from echosynth.phantom.release import write_all, write_release


def _first_frame(path: Path) -> np.ndarray:
    done, frame = cv2.VideoCapture(str(path)).read()
    assert done
    return np.asarray(frame)


def _truth(releases: Path, source: str) -> pd.DataFrame:
    truth = pd.read_csv(releases / "phantom-truth.csv")
    return truth[truth["source"] == source].reset_index(drop=True)


def test_truth_names_every_file_and_nothing_else(releases: Path) -> None:
    truth = pd.read_csv(releases / "phantom-truth.csv")
    assert list(truth) == ["source", "file", "view", "kind", "patient"]
    named = {f"{source}/{file}" for source, file in zip(truth["source"], truth["file"], strict=True)}
    found = {str(path.relative_to(releases)) for path in releases.rglob("*") if path.suffix in (".avi", ".png", ".mhd")}
    assert named == {path for path in found if not path.endswith("_gt.mhd")}
    assert {path.name for path in releases.iterdir()} - {"phantom-truth.csv"} == set(truth["source"])


def test_echonet_dynamic(releases: Path) -> None:
    root = releases / "echonet-dynamic"
    listed = pd.read_csv(root / "FileList.csv")
    assert list(listed) == [
        "FileName",
        "EF",
        "ESV",
        "EDV",
        "FrameHeight",
        "FrameWidth",
        "FPS",
        "NumberOfFrames",
        "Split",
    ]
    assert set(listed["Split"]) == {"TRAIN", "VAL", "TEST"}
    assert listed["FileName"].str.fullmatch(r"0X[0-9A-F]{14,16}").all()
    assert {f"{name}.avi" for name in listed["FileName"]} == {path.name for path in (root / "Videos").iterdir()}
    assert ((listed["EDV"] - listed["ESV"]) / listed["EDV"] * 100).to_numpy() == pytest.approx(listed["EF"], abs=0.01)
    for row in listed.itertuples():
        video = cv2.VideoCapture(str(root / "Videos" / f"{row.FileName}.avi"))
        assert int(video.get(cv2.CAP_PROP_FRAME_COUNT)) == row.NumberOfFrames
        assert int(video.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little") == b"MJPG"
        assert video.read()[1].shape == (112, 112, 3)
    lines = pd.read_csv(root / "VolumeTracings.csv")
    assert list(lines) == ["FileName", "X1", "Y1", "X2", "Y2", "Frame"]
    assert lines["FileName"].str.endswith(".avi").all() and lines["Frame"].min() >= 0
    assert lines[["X1", "Y1", "X2", "Y2"]].to_numpy().max() < 112


def test_kinds_of_video_show_in_the_first_frame(releases: Path) -> None:
    for source in ("echonet-dynamic", "echonet-lvh"):
        truth = _truth(releases, source)
        assert {"usable", "tinted"} < set(truth["kind"])
        for row in truth.itertuples():
            frame = _first_frame(releases / source / row.file).astype(int)
            spread = (frame.max(axis=2) - frame.min(axis=2)).max()
            # Some split screens are grey, in others one half shows colour Doppler.
            low, high = {"usable": (0, 3), "split": (0, 255), "tinted": (4, 45)}.get(row.kind, (60, 255))
            assert low <= spread <= high, (row.file, row.kind)


def test_echonet_lvh(releases: Path) -> None:
    root = releases / "echonet-lvh"
    listed = pd.read_csv(root / "MeasurementsList.csv")
    names = [
        "HashedFileName",
        "Calc",
        "CalcValue",
        "Frame",
        "X1",
        "X2",
        "Y1",
        "Y2",
        "Frames",
        "FPS",
        "Width",
        "Height",
        "split",
    ]
    assert list(listed)[1:] == names and next(iter(listed)).startswith("Unnamed")
    assert set(listed["Calc"]) <= {"IVSd", "LVIDd", "LVPWd", "LVIDs", "IVSs", "LVPWs"}
    assert set(listed["split"]) <= {"train", "val", "test"}
    files = {path.stem: path for path in root.glob("Batch[1-4]/*.avi")}
    rows = set(listed["HashedFileName"])
    assert files.keys() - rows and rows - files.keys()  # strays in both directions
    assert len(files.keys() & rows) > 10 * len(files.keys() ^ rows)
    assert {_first_frame(path).shape for path in files.values()} == {(768, 1024, 3), (600, 800, 3)}
    for row in listed[listed["HashedFileName"].isin(files)].drop_duplicates("HashedFileName").itertuples():
        assert _first_frame(files[row.HashedFileName]).shape == (row.Height, row.Width, 3)
    assert listed.groupby("HashedFileName")["split"].nunique().max() == 1


def test_lvh_walls_lie_between_their_calipers(releases: Path) -> None:
    listed = pd.read_csv(releases / "echonet-lvh" / "MeasurementsList.csv")
    listed = listed[listed["HashedFileName"].isin({path.stem for path in (releases / "echonet-lvh").rglob("*.avi")})]
    across = listed.pivot_table(index="HashedFileName", columns="Calc", values="CalcValue")
    assert across["LVIDd"].between(2, 7).all() and across["IVSd"].between(0.5, 2).all()
    assert (across["LVIDs"].dropna() < across["LVIDd"].loc[across["LVIDs"].dropna().index]).all()


def test_tmed2(releases: Path) -> None:
    root = releases / "tmed2"
    labels = pd.read_csv(root / "labels_per_image.csv")
    assert list(labels) == ["query_key", "view_label", "diagnosis_label"]
    assert set(labels["view_label"]) == {"PLAX", "PSAX", "A4C", "A2C", "A4CorA2CorOther", "Not_Provided"}
    files = {path.name: path for path in root.rglob("*.png")}
    assert set(labels["query_key"]) < files.keys()  # some images are in no table
    assert all(re.fullmatch(r"\d+s\d+_\d+\.png", name) for name in files)
    truth = _truth(releases, "tmed2").set_index(_truth(releases, "tmed2")["file"].str.split("/").str[-1])
    for row in labels.itertuples():
        picture = cv2.imread(str(files[row.query_key]), cv2.IMREAD_UNCHANGED)
        assert picture.shape == (112, 112) and picture.dtype == np.uint8
        assert picture[0].any() or picture[:20].any()  # padding is at the bottom or at the right
        if row.view_label in ("A2C", "A4C", "PLAX", "PSAX"):
            assert truth.loc[row.query_key, "view"] == row.view_label
    patients = truth.groupby(truth.index.str.split("s").str[0])["patient"].nunique()
    assert (patients == 1).all() and truth["patient"].nunique() == len(patients)


def test_tmed2_folds_part_patients(releases: Path) -> None:
    root = releases / "tmed2"
    for name in ("DEV479", "DEV165", "DEV56"):
        for fold in range(3):
            tables = [
                pd.read_csv(root / name / f"TMED2_fold{fold}_{part}part.csv") for part in ("labeled", "unlabeled")
            ]
            table = pd.concat(tables)
            splits = {"view_classifier_split", "diagnosis_classifier_split"}
            assert set(table) == {"query_key", "view_label", "diagnosis_label", "SourceFolder"} | splits
            assert all((root / row.SourceFolder / row.query_key).is_file() for row in table.itertuples())
            assert not table["query_key"].duplicated().any()
            used = tables[0][tables[0]["view_classifier_split"] != "Not_Used"]
            of_patient = used.groupby(used["query_key"].str.split("s").str[0])["view_classifier_split"].nunique()
            assert of_patient.max() == 1 and set(used["view_classifier_split"]) == {"train", "val", "test"}


def test_camus(releases: Path) -> None:
    root = releases / "camus"
    training, testing = sorted((root / "training").iterdir()), sorted((root / "testing").iterdir())
    assert training[0].name == testing[0].name == "patient0001"
    for folder in [*training, *testing]:
        for code in ("2CH", "4CH"):
            info = dict(line.split(": ") for line in (folder / f"Info_{code}.cfg").read_text().splitlines())
            assert {"ED", "ES", "NbFrame", "Sex", "Age", "ImageQuality"} <= info.keys()
            sequence = sitk.ReadImage(str(folder / f"{folder.name}_{code}_sequence.mhd"))
            frames = sitk.GetArrayFromImage(sequence)
            assert frames.shape[0] == int(info["NbFrame"]) and frames.dtype == np.uint8
            assert sequence.GetSpacing()[0] == pytest.approx(2 * sequence.GetSpacing()[1])
            for moment in ("ED", "ES"):
                stem = f"{folder.name}_{code}_{moment}"
                still = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / f"{stem}.mhd")))
                assert still.shape == (1, *frames.shape[1:])
                assert np.array_equal(still[0], frames[int(info[moment]) - 1])
                assert (folder / f"{stem}.raw").is_file()
                assert (folder / f"{stem}_gt.mhd").is_file() == (folder.parent.name == "training")


def test_camus_outlines_shrink_in_systole(releases: Path) -> None:
    for folder in (releases / "camus" / "training").iterdir():
        paths = [folder / f"{folder.name}_4CH_{moment}_gt.mhd" for moment in ("ED", "ES")]
        outlines = [sitk.GetArrayFromImage(sitk.ReadImage(str(path))) for path in paths]
        assert (outlines[0] == 1).sum() > (outlines[1] == 1).sum()
        assert set(np.unique(outlines[0])) <= {0, 1, 2, 3}


def test_unity(releases: Path) -> None:
    root = releases / "unity"
    files = {path.name: path for path in (root / "png-cache").rglob("*.png")}
    for name, path in files.items():
        found = re.fullmatch(r"(0[12])-([0-9a-f]{64})-\d{4}\.png", name)
        assert found and path.parent == root / "png-cache" / found[1] / found[2][:2] / found[2][2:4]
        assert cv2.imread(str(path), cv2.IMREAD_UNCHANGED).shape in {(422, 636, 3), (434, 636, 3), (600, 800, 3)}
    views = pd.read_csv(root / "view_index.csv")
    assert list(views) == ["file", "view"] and set(views["view"]) == {"plax", "a4c", "a2c", "other"}
    assert set(views["file"]) < files.keys()  # some images have no view
    labels = {
        split: json.loads((root / "labels" / f"labels-{split}.json").read_text())
        for split in ("all", "train", "tune", "ival")
    }
    assert labels["all"].keys() == files.keys()
    assert sum(len(labels[split]) for split in ("train", "tune", "ival")) == len(files)
    hashes = [{name[3:67] for name in labels[split]} for split in ("train", "tune", "ival")]
    assert not (hashes[0] & hashes[1] or hashes[0] & hashes[2] or hashes[1] & hashes[2])
    for entry in labels["all"].values():
        for point in entry["labels"].values():
            assert point.keys() == {"type", "x", "y"} and isinstance(point["x"], str)
            assert (point["type"] == "off") == (point["x"] == "")
    assert (root / "labels" / "keys.json").is_file()


def _bytes(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_bytes_do_not_depend_on_the_workers(tmp_path: Path, small_params: PhantomParams, releases: Path) -> None:
    write_all(small_params, tmp_path / "raw", workers=1)
    assert _bytes(tmp_path / "raw") == _bytes(releases)


def test_unknown_source_is_refused_and_leaves_nothing(tmp_path: Path, small_params: PhantomParams) -> None:
    with pytest.raises(EchosynthError, match="choose one of echonet-dynamic"):
        write_release(small_params, "echonet", tmp_path)
    assert not list(tmp_path.iterdir())
