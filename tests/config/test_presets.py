"""Presets: valid, applied with the comments left alone, and as large as they say."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from echosynth.common.errors import EchosynthError
from echosynth.common.views import VIEWS
from echosynth.common.yaml12 import read_yaml
from echosynth.config.parameters import Params, load_params
from echosynth.config.presets import apply_preset, overlay, preset_names, with_preset
from echosynth.diffusion.network import ViewDenoiser
from echosynth.phantom.plan import STUDY

ROOT = Path(__file__).parents[2]
PARAMS = ROOT / "params.yaml"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """params.yaml and the presets in a folder of their own."""
    shutil.copytree(ROOT / "params", tmp_path / "params")
    shutil.copy(PARAMS, tmp_path)
    return tmp_path / "params.yaml"


def comments(path: Path) -> list[str]:
    return [line.strip() for line in path.read_text().splitlines() if line.strip().startswith("#")]


@pytest.mark.parametrize("name", preset_names(PARAMS))
def test_a_preset_changes_what_it_says_and_nothing_else(project: Path, name: str) -> None:
    before, said = read_yaml(project), comments(project)
    changed = apply_preset(name, project)
    after = read_yaml(project)
    assert changed
    assert comments(project) == said
    assert load_params(project) == with_preset(name, PARAMS)
    wanted = overlay(name, PARAMS)
    for section, values in before.items():
        for key, value in values.items():
            new = wanted.get(section, {}).get(key, value)
            expected = value | new if isinstance(value, dict) else new
            assert after[section][key] == expected, f"{section}.{key}"
    assert apply_preset(name, project) == {}


@pytest.mark.parametrize("name", preset_names(PARAMS))
@pytest.mark.parametrize("before", preset_names(PARAMS))
def test_a_preset_follows_any_other(project: Path, before: str, name: str) -> None:
    apply_preset(before, project)
    apply_preset(name, project)
    load_params(project)


def test_every_line_that_is_not_changed_keeps_its_bytes(project: Path) -> None:
    before = project.read_text().splitlines()
    changed = apply_preset("efficient", project)
    after = project.read_text().splitlines()
    assert len(before) == len(after)
    assert sum(a != b for a, b in zip(before, after, strict=True)) == len(changed)


@pytest.mark.slow
def test_dvc_shows_what_a_preset_changed(project: Path) -> None:
    folder = project.parent
    identity = {f"GIT_{who}_{what}": "toy" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {key: value for key, value in os.environ.items() if not key.startswith("DVC_")} | identity

    def call(*words: str) -> str:
        return subprocess.run(words, cwd=folder, env=environment, check=True, capture_output=True, text=True).stdout

    for command in ("git init -q", "git add -A", "git commit -qm before"):
        call(*command.split())
    call(sys.executable, "-m", "dvc", "init", "-q")
    changed = apply_preset("gpu-small", project)
    shown = json.loads(call(sys.executable, "-m", "dvc", "params", "diff", "--json"))["params.yaml"]
    found = {key: (values["old"], values["new"]) for key, values in shown.items()}
    assert found == {
        key: tuple(str(value) if isinstance(value, list) else value for value in values)  # DVC shows lists as text
        for key, values in changed.items()
    }


def macs(params: Params) -> tuple[float, float]:
    """Parameters in millions, and multiply-accumulates of one image at 112 pixels in units of 10^9."""
    one = torch.zeros(1, dtype=torch.long)
    with torch.device("meta"):
        network = ViewDenoiser(params.diffusion, 112, 3)
        with FlopCounterMode(display=False) as counter:
            network(torch.empty(1, 1, 112, 112), one.to("meta"), one.to("meta"), one.to("meta"))
    return sum(p.numel() for p in network.parameters()) / 1e6, counter.get_total_flops() / 2e9


@pytest.mark.parametrize(("name", "millions", "giga"), [("improved", 92.0, 94.5), ("efficient", 96.3, 53.4)])
def test_networks_have_the_known_size(name: str, millions: float, giga: float) -> None:
    """Counted by others on Improved Diffusion's own code: 92 M and 94.5 GMAC, 96 M and 53.4 GMAC."""
    found = macs(with_preset(name, PARAMS))
    assert found == pytest.approx((millions, giga), rel=0.005)


def test_the_thesis_preset_holds_the_numbers_of_the_study() -> None:
    params = with_preset("thesis", PARAMS)
    assert params.ingest.size == 112
    assert params.split.subsets == [1000, 2000, 4000, 8000, 16000, "all"]
    model = params.diffusion
    assert (model.schedule, model.variance, model.loss, model.steps) == ("linear", "learned", "hybrid", 72000)
    assert params.sample.per_view * 4 == 32000
    training = params.classifier
    assert (training.budget, training.epochs, training.learning_rate, training.batch_size) == ("epochs", 25, 0.001, 32)
    assert training.epochs * training.decay_every == 5
    assert params.explore.curve[-1] == 50000


def test_sources_of_shared_views_tell_no_view_by_themselves() -> None:
    """By the thesis's tables: the training sources show two views or more, those of the shift one each."""
    data = with_preset("shared-views", PARAMS).data
    assert all(len(STUDY[source]) > 1 for source in data.train_sources)
    assert set().union(*(STUDY[source] for source in data.train_sources)) == set(VIEWS)
    assert [len(STUDY[source]) for source in data.shift_sources] == [1, 1]
    assert all((ROOT / f"data/review/{source}.yaml").is_file() for source in [*data.train_sources, *data.shift_sources])


def test_unknown_presets_and_forbidden_results_leave_the_file_alone(project: Path) -> None:
    before = project.read_bytes()
    with pytest.raises(EchosynthError, match="no preset 'huge'; known are cpu-64, efficient, explore, gpu-small"):
        apply_preset("huge", project)
    assert project.read_bytes() == before
    file = project.parent / "params" / "improved.yaml"
    file.write_text(file.read_text().replace("size: 112", "size: 64"))
    with pytest.raises(EchosynthError, match=r"diffusion\.attention = 28 is the side of no level"):
        apply_preset("improved", project)
    assert project.read_bytes() == before
