"""Synthetic images on the command line, as a person or a script meets it."""

import json
import zipfile
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from echosynth import cli
from echosynth.cli import sample, shared
from echosynth.common.errors import EchosynthError
from echosynth.common.views import VIEWS
from echosynth.diffusion import synthetic_set
from echosynth.diffusion.model import DiffusionCard, save
from echosynth.diffusion.network import ViewDenoiser
from echosynth.imagesets.store import read_image_set


@pytest.fixture
def model(params, tmp_path):
    """The folder of an untrained model of two sources."""
    changes = {"channels": [16, 32], "attention": [4], "timesteps": 50, "view_dropout": 0.0}
    changes |= {"preconditioning": "none", "loss": "simple"}
    card = DiffusionCard(
        sources=("lvh", "tmed2"),
        size=16,
        diffusion=params.diffusion.model_copy(update=changes),
        training_images={"A2C": {"lvh": 1}, "A4C": {"lvh": 3, "tmed2": 3}, "PLAX": {"tmed2": 3}, "PSAX": {"lvh": 2}},
        training_hash="0" * 16,
        step=10,
        ema_decay=0.9,
        kernel=None,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = ViewDenoiser(card.diffusion, 16, 2)
    folder = tmp_path / "demo model"
    folder.mkdir()
    save(folder, network.state_dict(), card)
    return folder


def run(model, out, *options):
    return cli.main(["sample", str(model), "--out", str(out), "--evaluations", "2", *options])


def test_a_set_with_a_contact_sheet(model, tmp_path, capsys):
    out = tmp_path / "some/new folder"
    assert run(model, out, "--per-view", "5", "--precision", "fp32") == 0
    shown, warned = capsys.readouterr()
    assert "20 images (5 A2C, 5 A4C, 5 PLAX, 5 PSAX)" in shown and "images/s" in shown
    assert warned.splitlines()[-1] == shared.DISCLAIMER
    stored = read_image_set(out)
    assert Counter(stored.manifest["view"]) == dict.fromkeys(VIEWS, 5)
    assert stored.manifest["id"].iloc[7] == "synthetic-demo-model-000007"
    sheet = cv2.imread(str(out / "samples.png"), cv2.IMREAD_UNCHANGED)
    assert sheet.shape == (2 * 17 - 1, 16 * 17 - 1)
    assert np.array_equal(sheet[17:33, :16], stored.images[16])
    assert sorted(path.name for path in out.iterdir()) == ["images.zip", "manifest.csv", "metrics.json", "samples.png"]


def test_the_same_command_gives_the_same_bytes_and_longer_sets_begin_alike(model, tmp_path):
    for name, count in {"a": "6", "b": "6", "c": "23"}.items():
        assert run(model, tmp_path / name, "--count", count, "--source", "balanced") == 0
    for file in ("images.zip", "manifest.csv", "samples.png", "metrics.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    images = {name: read_image_set(tmp_path / name).images for name in "ac"}
    views = {name: read_image_set(tmp_path / name).manifest["view"].tolist() for name in "ac"}
    assert views["c"][:6] == views["a"]
    assert np.array_equal(images["a"][:3], images["c"][:3])  # the sources of the first three are alike too


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--counts", "a2c=3, PSAX=1"], {("A2C", "lvh"): 3, ("PSAX", "lvh"): 1}),
        (["--count", "12", "--views", "real"], {("A2C", "lvh"): 1, ("A4C", "lvh"): 3, ("A4C", "tmed2"): 3,
                                                ("PLAX", "tmed2"): 3, ("PSAX", "lvh"): 2}),
        (["--count", "4", "--source", "none"], {(view, ""): 1 for view in VIEWS}),
        (["--count", "8", "--source", "balanced"],
         {(view, source): 1 for view in VIEWS for source in ("lvh", "tmed2")}),
    ],
)  # fmt: skip
def test_who_is_in_the_set(model, tmp_path, options, expected):
    assert run(model, tmp_path / "out", *options) == 0
    manifest = read_image_set(tmp_path / "out").manifest
    sources = manifest["source"].str.removeprefix("synthetic").str.removeprefix("-")
    assert Counter(zip(manifest["view"], sources, strict=True)) == expected


def test_options_reach_the_sampler(model, tmp_path):
    options = {
        "plain": [],
        "seed": ["--seed", "1"],
        "solver": ["--solver", "ancestral"],
        "evaluations": ["--evaluations", "5"],
        "precision": ["--precision", "bf16"],
        "batch": ["--batch-size", "3"],
    }
    images = {}
    for name, words in options.items():
        assert run(model, tmp_path / name, "--count", "4", "--precision", "fp32", *words) == 0
        images[name] = np.array(read_image_set(tmp_path / name).images)
    assert np.array_equal(images["plain"], images.pop("batch"))
    assert len({picture.tobytes() for picture in images.values()}) == len(images)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--count", "0"], "--count is 0; give 1 or more"),
        (["--per-view", "0"], "--per-view is 0"),
        (["--batch-size", "0"], "--batch-size is 0"),
        (["--evaluations", "0"], "--evaluations is 0"),
        (["--seed", "-1"], "--seed is -1"),
        (["--guidance", "-1"], "--guidance is -1.0"),
        (["--counts", "A2C"], "write it as A2C=5,PSAX=3"),
        (["--counts", "A2C=1,a2c=2"], "write it as A2C=5,PSAX=3"),
        (["--counts", "A2C=0"], "at least one image"),
        (["--counts", "A5C=1"], "A5C is no view"),
        (["--counts", "A2C=1", "--views", "real"], "leave --views out"),
        (["--source", "nowhere"], "--source = nowhere, but this model knows lvh, tmed2 alone"),
        (["--source", "camus"], "--source = camus, but this model knows lvh, tmed2 alone"),
        (["--guidance", "2"], "--guidance = 2.0 needs a model that also knows images without a view"),
        (["--precision", "fp16"], "fp16 needs a CUDA GPU"),
    ],
)
def test_wrong_options_get_one_sentence(model, tmp_path, capsys, options, words):
    assert run(model, tmp_path / "out", *options) == 1
    shown, warned = capsys.readouterr()
    assert not shown
    assert words in warned
    assert len(warned.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_wrong_folders_get_one_sentence(model, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years of work")
    (tmp_path / "file").write_text("")
    for folder, out, words in [
        (tmp_path / "nothing", "out", "nothing holds no model"),
        (model, "mine", "holds thesis.txt, which this command did not write"),
        (model, "file", "file is a file"),
    ]:
        assert run(folder, tmp_path / out) == 1
        warned = capsys.readouterr().err
        assert words in warned and len(warned.splitlines()) == 1
    assert (tmp_path / "mine/thesis.txt").read_text() == "years of work"
    (model / "model.safetensors").write_bytes(b"torn")
    assert run(model, tmp_path / "out") == 1
    assert "does not fit its card or is damaged" in capsys.readouterr().err


def test_an_older_set_is_replaced(model, tmp_path):
    for count in ("4", "6"):
        assert run(model, tmp_path / "out", "--count", count) == 0
    with zipfile.ZipFile(tmp_path / "out/images.zip") as archive:
        assert len(archive.namelist()) == 6


def test_out_of_memory_names_a_batch_size(model, tmp_path, capsys, monkeypatch):
    def draw(*args):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr(synthetic_set, "sample_batch", draw)
    assert run(model, tmp_path / "out") == 1
    warned = capsys.readouterr().err
    assert "out of memory" in warned and "try --batch-size = 10" in warned and len(warned.splitlines()) == 1


SECTION = {
    "seed": 7, "per_view": 2, "views": "real", "sources": "balanced", "solver": "ddim", "evaluations": 3, "eta": 0.5,
    "guidance": 1.0, "guidance_interval": [0.0, 1.0], "autoguidance": 0.0, "batch_size": 5,
}  # fmt: skip


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A working directory with a params.yaml that has section `sample` alone, with changes."""
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")

    def write(**changes):
        (tmp_path / "project/params.yaml").write_text(json.dumps({"sample": SECTION | changes}))

    return write


def test_what_is_not_said_is_as_params_yaml_says(project):
    project()
    assert sample.chosen({}).model_dump() == SECTION
    said = {"solver": "ddim", "evaluations": 9, "seed": 0}
    assert sample.chosen(said).model_dump() == SECTION | said


def test_a_section_that_lacks_a_parameter_is_named(project):
    Path("params.yaml").write_text(json.dumps({"sample": {key: SECTION[key] for key in SECTION if key != "eta"}}))
    with pytest.raises(EchosynthError, match=r"^params\.yaml: sample\.eta is missing$"):
        sample.chosen({})


def test_params_yaml_reaches_the_images(model, project, tmp_path):
    project()
    assert cli.main(["sample", str(model), "--out", "a"]) == 0
    metrics = json.loads(Path("a/metrics.json").read_text())
    assert (metrics["images"], metrics["solver"], metrics["evaluations"]) == (8, "ddim", 3)
    project(eta=0.0)
    assert cli.main(["sample", str(model), "--out", "b"]) == 0
    assert cli.main(["sample", str(model), "--out", "c", "--seed", "8"]) == 0
    images = [read_image_set(Path(name)).images for name in "abc"]
    assert not np.array_equal(images[0], images[1]) and not np.array_equal(images[1], images[2])


def test_without_a_section_there_are_defaults(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    alone = sample.chosen({})
    assert (alone.solver, alone.per_view, alone.sources) == ("unipc", 25, "real")
    (tmp_path / "params.yaml").write_text("other: 1\n")
    assert sample.chosen({}) == alone


@pytest.mark.parametrize(
    ("changes", "options", "words"),
    [
        ({"evaluations": 0}, [], "params.yaml: sample.evaluations is 0"),
        ({"evaluations": 0}, ["--evaluations", "0"], "error: --evaluations is 0"),
        ({}, ["--solver", "unipc"], "sample.eta = 0.5 has a meaning for --solver = ddim only"),
    ],
)
def test_what_is_wrong_is_named_where_it_was_said(model, project, capsys, changes, options, words):
    project(**changes)
    assert cli.main(["sample", str(model), "--out", "out", *options]) == 1
    assert words in capsys.readouterr().err
    assert not Path("out").exists()
