"""`echosynth export` on the command line."""

import json
from pathlib import Path

import pytest

from echosynth import cli
from echosynth.cli.shared import DISCLAIMER


@pytest.mark.slow
def test_a_model_is_written_and_its_parity_said(
    classifier_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime", reason="needs requirements-extra.txt")
    out = tmp_path / "onnx"
    assert cli.main(["export", str(out), "--model", str(classifier_folder)]) == 0
    said, err = capsys.readouterr()
    first, second = said.splitlines()
    assert first == f"{out}: model.onnx and card.json of {classifier_folder.name}, 32 x 32 pixels"
    assert second.startswith("onnxruntime against PyTorch on noise, batches of 1, 2 and 7: largest difference")
    assert second.endswith("(allowed 1e-04)")
    assert err.splitlines() == [DISCLAIMER]
    assert json.loads((out / "card.json").read_text())["kind"] == "onnx classifier"


def test_a_model_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["export", str(tmp_path / "onnx"), "--model", "no/such/folder"]) == 1
    assert "there is no no/such/folder" in capsys.readouterr().err
    assert not (tmp_path / "onnx").exists()


def test_the_working_directory_is_no_place_for_it(
    classifier_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("echosynth.serving.onnx.PACKAGES", ())
    assert cli.main(["export", ".", "--model", str(classifier_folder)]) == 1
    assert capsys.readouterr().err == "error: . is the working directory or holds it; name a new folder\n"
