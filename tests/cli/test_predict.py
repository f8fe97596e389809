"""The view of files on the command line, as a person or a script meets it."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from echosynth import cli
from echosynth.cli import shared
from echosynth.cli.predict import resolve_model
from echosynth.common.errors import EchosynthError
from echosynth.common.files import file_hash
from echosynth.common.views import VIEWS
from echosynth.registry.copies import load_registered
from echosynth.registry.versions import NAME, SHA
from echosynth.serving.packaging import ARTIFACT
from echosynth.tracking import store


@pytest.fixture
def still(tmp_path: Path) -> Path:
    path = tmp_path / "still.png"
    assert cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (40, 50), dtype=np.uint8))
    return path


def test_json_for_machines(
    classifier_folder: Path, still: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "missing.dcm"
    status = cli.main(["predict", str(still), str(missing), "--json", "--model", str(classifier_folder)])
    out, err = capsys.readouterr()
    content = json.loads(out)
    assert status == 1
    assert set(content) == {"model", "files", "left_out"}
    assert content["model"] == {
        "name": str(classifier_folder),
        "folder": classifier_folder.name,
        "md5": file_hash(classifier_folder / "model.safetensors"),
        "architecture": "resnet18",
        "arm": "mixed",
        "subset": "150",
        "seed": 0,
        "size": 32,
    }
    first, second = content["files"]
    assert list(first) == ["file", "view", "frames", "chosen", "total", "probabilities"]
    assert first["file"] == str(still)
    assert list(first["probabilities"]) == list(VIEWS)
    assert first["view"] == max(first["probabilities"], key=first["probabilities"].get)
    assert second == {"file": str(missing), "error": f"{missing} is missing"}
    assert shared.DISCLAIMER in err


def test_table_for_people(
    classifier_folder: Path, still: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # A file of the model names it as well as its folder.
    model = str(classifier_folder / "model.safetensors")
    assert cli.main(["predict", str(still), "--model", model]) == 0
    out, err = capsys.readouterr()
    said, heading, row = out.splitlines()
    assert "resnet18" in said and "mixed" in said and classifier_folder.name in said
    assert heading.split() == ["file", "view", "frames", *VIEWS]
    file, view, frames, *shares = row.split()
    assert (file, frames) == (str(still), "1")
    assert VIEWS[int(np.argmax([float(share) for share in shares]))] == view
    assert err.splitlines()[-1] == "Research software, no medical device."

    (tmp_path / "notes.txt").write_text("no picture")
    assert cli.main(["predict", str(tmp_path), "--model", model]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[2].split()[:2] == ["still.png", view]
    assert err.splitlines() == ["1 files in folders are no pictures and were left out", shared.DISCLAIMER]


def test_a_table_of_a_folder(
    classifier_folder: Path, still: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (still.parent / "torn.avi").write_bytes(b"RIFF")
    (still.parent / "notes.txt").write_text("no picture")
    table = tmp_path / "views.csv"
    words = ["predict", str(still.parent), "--model", str(classifier_folder), "--out", str(table)]
    assert cli.main(words) == 1
    out, _ = capsys.readouterr()
    assert out == f"{table}: 2 files, 1 with an error, 0 from an earlier run\n"
    first = table.read_bytes()
    assert cli.main([*words, "--json"]) == 1
    content = json.loads(capsys.readouterr().out)
    assert content["model"]["md5"] == file_hash(classifier_folder / "model.safetensors")
    assert content["table"] == {"path": str(table), "files": 2, "errors": 1, "resumed": 0}
    assert content["left_out"] == 2  # the text, and the table of the first call
    assert table.read_bytes() == first
    assert [line.split(",")[0] for line in first.decode().splitlines()] == ["file", "still.png", "torn.avi"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--max-frames", "0"], "--max-frames is 0; give 1 or more"),
        (["--model", "no/such/folder"], "there is no no/such/folder"),
    ],
)
def test_wrong_options_get_one_sentence(
    still: Path, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    assert cli.main(["predict", str(still), *options]) == 1
    out, err = capsys.readouterr()
    assert not out
    assert words in err
    assert len(err.splitlines()) == 1


def test_other_names_are_asked_of_the_registry(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, classifier_folder: Path
) -> None:
    def load_registered(name: str) -> Path:
        if name != "challenger":
            raise EchosynthError(f"the registry holds no {name}")
        return classifier_folder

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("echosynth.registry.copies.load_registered", load_registered)
    assert resolve_model("challenger") == classifier_folder
    with pytest.raises(EchosynthError, match="the registry holds no 7"):
        resolve_model("7")


# Each takes a tenth of a second to two seconds of processor time to import, and predict needs none of them.
NOT_NEEDED = {
    *("mlflow", "sqlalchemy", "alembic", "dvc", "pandas", "pandera", "sklearn", "scipy", "matplotlib", "requests"),
    *("timm", "torchvision", "huggingface_hub", "diffusers", "accelerate"),
    *("torch._dynamo", "torch._inductor", "torch.onnx", "sympy", "pydicom", "SimpleITK", "onnxruntime"),
}
CHILD = """
import sys
from echosynth import cli
status = cli.main(sys.argv[1:])
print(*sys.modules)
sys.exit(status)
"""


@pytest.mark.parametrize("where", ["folder", "registry"])
def test_a_cine_is_named_without_libraries_that_are_not_needed(
    where: str, workspace: Path, classifier_folder: Path, write_avi: Callable[..., Path]
) -> None:
    cine, model = write_avi(workspace / "cine.avi"), str(classifier_folder)
    if where == "registry":
        client, folder = store.client(), workspace / "logged" / "artifacts" / ARTIFACT
        shutil.copytree(classifier_folder, folder)
        client.create_registered_model(NAME)
        tags = {SHA: file_hash(folder / "model.safetensors")}
        client.create_model_version(NAME, (workspace / "logged").as_uri(), tags=tags)
        client.set_registered_model_alias(NAME, "champion", "1")
        model = "champion"
        load_registered(model)  # the first time MLflow fetches it
    words = ["predict", str(cine), "--model", model]
    done = subprocess.run([sys.executable, "-c", CHILD, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *_, row, modules = done.stdout.splitlines()
    assert row.split()[:1] == [str(cine)]
    assert "torch" in modules.split() and not NOT_NEEDED & set(modules.split())


def test_the_limits_are_those_of_params_yaml(
    classifier_folder: Path,
    still: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["predict", str(still), "--model", str(classifier_folder)]
    assert cli.main(words) == 0
    limits = "decoding: {{memory: 2048, seconds: 60, pixels: {}, usable: 0.8}}\n"
    Path("params.yaml").write_text(limits.format(1999))
    assert cli.main(words) == 1
    assert "claims pictures of 50 x 40 pixels, more than decoding.pixels = 1999 allows" in capsys.readouterr().out
    Path("params.yaml").write_text(limits.format(2000))
    assert cli.main(words) == 0
    Path("params.yaml").write_text(limits.format("many"))
    assert cli.main(words) == 1
    assert "params.yaml: decoding.pixels = 'many' is not allowed" in capsys.readouterr().err
    Path("params.yaml").write_text("data: {root: elsewhere}\n")  # of another program, or an older one
    assert cli.main(words) == 0


def test_frames_that_are_damaged_are_counted(
    classifier_folder: Path, write_avi: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_avi(tmp_path / "v.avi", 12)
    content = bytearray(path.read_bytes())
    second = content.find(b"\xff\xd8\xff", content.find(b"\xff\xd8\xff") + 1)
    content[second : second + 2] = bytes(2)
    path.write_bytes(content)
    assert cli.main(["predict", str(path), "--model", str(classifier_folder)]) == 0
    assert capsys.readouterr().out.splitlines()[2].split()[2] == "11/12"
