import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from echosynth.common.errors import EchosynthError
from echosynth.common.yaml12 import read_yaml
from echosynth.config import parameters
from echosynth.config.parameters import Params, flat_tree, load_params, parse_params

ROOT = Path(__file__).parents[2]


def changed(section: str, **values: object) -> dict:
    content = read_yaml(ROOT / "params.yaml")
    content[section] |= values
    return content


def test_the_projects_own_parameters_are_allowed_and_do_not_change():
    params = load_params(ROOT / "params.yaml")
    assert params.model_dump() == yaml.safe_load(yaml.safe_dump(params.model_dump()))
    with pytest.raises(ValidationError, match="frozen"):
        params.ingest.size = 64


@pytest.mark.parametrize("text", ["2e-05", "1E-3", "1.0e-3", ".5", "0.5", "-3e2"])
def test_floats_are_those_of_yaml_1_2(tmp_path, text):
    (tmp_path / "p.yaml").write_text(f"x: {text}\n")
    value = read_yaml(tmp_path / "p.yaml")["x"]
    assert isinstance(value, float) and value == float(text)


@pytest.mark.parametrize("text", ["e5", "1e", "0X1E5", "12-05", "1.2.3"])
def test_what_only_looks_like_a_float_is_not(tmp_path, text):
    (tmp_path / "p.yaml").write_text(f"x: {text}\n")
    assert not isinstance(read_yaml(tmp_path / "p.yaml")["x"], float)


@pytest.mark.parametrize(
    ("section", "values", "words"),
    [
        ("ingest", {"size": "abc"}, r"ingest\.size = 'abc' is not allowed"),
        ("ingest", {"size": 33}, r"ingest\.size = 33 .*multiple of 8"),
        ("ingest", {"sise": 32}, r"ingest\.sise is no parameter; allowed here: .*size"),
        ("split", {"validation": 1.5}, r"split\.validation = 1\.5 .*less than 1"),
        ("split", {"validation": 0.5, "test": 0.5}, r"split\.validation \+ split\.test"),
        ("split", {"subsets": [150, "many"]}, r"split\.subsets\.1 = 'many'"),
        ("split", {"subsets": [150, 150]}, "names a size twice"),
        ("data", {"train_sources": ["tmed2"], "shift_sources": ["tmed2"]}, "may be named once only"),
        ("data", {"root": "data/raw/real"}, r"data\.salt_file = data/salt\.demo is public"),
        ("data", {"train_sources": ["own-../x"]}, r"data\.train_sources\.0: 'own-\.\./x' is no source"),
        ("data", {"train_sources": ["tmed3"]}, r"data\.train_sources\.0: 'tmed3' is no source"),
        ("baselines", {"generators": ["mixup", "mixup"]}, r"baselines\.generators .*once only"),
        ("baselines", {"generators": ["mixup"]}, "arms.baseline: gaussian needs gaussian among .*, which are mixup"),
        ("baselines", {"mixup_alpha": 0.0}, r"baselines\.mixup_alpha = 0\.0 .*greater than 0"),
        ("diffusion", {"channels": [16] * 5}, r"with ingest\.size = 32 the last of 5 diffusion\.channels .* 1 pixel"),
        ("arms", {"real": [], "synthetic": []}, r"arms\.real and arms\.synthetic are both empty"),
        ("classifier", {"batch_size": 1}, r"classifier\.batch_size = 1 is too few for resnet18.*below 33 \(it is 32\)"),
    ],
)
def test_what_is_not_allowed_is_named(section, values, words):
    with pytest.raises(EchosynthError, match=f"params.yaml: .*{words}"):
        parse_params(changed(section, **values))


@pytest.mark.parametrize(
    ("former", "today", "section", "values"),
    [
        ("ingest.sise", "ingest.size", "ingest", {"sise": 32}),
        ("split.subsets = whole", "split.subsets = all", "split", {"subsets": [100, "whole"]}),
        ("sample.solver = unipcc", "sample.solver = unipc", "sample", {"solver": "unipcc"}),
    ],
)
def test_a_former_name_is_refused_with_the_one_of_today(monkeypatch, former, today, section, values):
    monkeypatch.setitem(parameters.FORMER, former, today)
    with pytest.raises(EchosynthError) as refused:
        parse_params(changed(section, **values), "old.yaml")
    assert str(refused.value) == f"old.yaml: {former} is called {today} today; rename it"


def test_what_is_missing_under_its_new_name_alone_is_no_second_error(monkeypatch):
    monkeypatch.setitem(parameters.FORMER, "ingest.side", "ingest.size")
    content = changed("ingest")
    content["ingest"]["side"] = content["ingest"].pop("size")
    with pytest.raises(EchosynthError, match=r"^params.yaml: ingest.side is called ingest.size today; rename it$"):
        parse_params(content)
    del content["ingest"]["side"]
    with pytest.raises(EchosynthError, match=r"^params.yaml: ingest.size is missing$"):
        parse_params(content)


def test_lists_of_arms_of_an_earlier_file_are_named_and_their_missing_section_is_no_second_error():
    content = changed("classifier", real_arms=["real"], architectures=["resnet18"])
    del content["arms"]
    with pytest.raises(EchosynthError) as refused:
        parse_params(content)
    assert str(refused.value) == (
        "params.yaml: classifier.real_arms is called arms.real today; rename it; "
        "params.yaml: classifier.architectures is called arms.architectures today; rename it"
    )
    with pytest.raises(EchosynthError, match=r"^params.yaml: arms is missing$"):
        parse_params({key: value for key, value in changed("ingest").items() if key != "arms"})


def test_every_former_name_has_one_of_today():
    for today in parameters.FORMER.values():
        name, _, value = today.partition(" = ")
        assert name in flat_tree(read_yaml(ROOT / "params.yaml")), today
        assert today not in parameters.FORMER and (value or " = " not in today)


def test_every_mistake_is_named_at_once():
    content = changed("ingest", size=33, seed=-1)
    del content["split"]["test"]
    with pytest.raises(EchosynthError) as error:
        parse_params(content, "overlay.yaml")
    said = str(error.value)
    assert all(f"overlay.yaml: {key}" in said for key in ("ingest.size", "ingest.seed", "split.test is missing"))


@pytest.mark.parametrize("content", [None, [], "text"])
def test_a_file_that_is_no_mapping(content):
    with pytest.raises(EchosynthError, match="the file"):
        parse_params(content)


def test_missing_and_broken_files_are_named(tmp_path):
    with pytest.raises(EchosynthError, match=r"p\.yaml is missing"):
        read_yaml(tmp_path / "p.yaml")
    (tmp_path / "p.yaml").write_text("a: [1,\nb: }")
    with pytest.raises(EchosynthError, match=r"p\.yaml is no valid YAML") as error:
        read_yaml(tmp_path / "p.yaml")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"sample": {"guidance": 2.0}, "diffusion": {"view_dropout": 0.0}}, "sample.guidance = 2.0 needs a model"),
        ({"sample": {"guidance": 2.0, "autoguidance": 0.5}}, "needs diffusion.keep_snapshots = true"),
        ({"sample": {"autoguidance": 0.5}}, "does nothing with sample.guidance = 1"),
        ({"sample": {"eta": 0.5}}, "has a meaning for sample.solver = ddim only"),
        ({"sample": {"sources": "camus"}}, "sample.sources = camus, but this model knows"),
        ({"sample": {"sources": "cameras"}}, "sample.sources = cameras, but this model knows"),
        ({"sample": {"sources": "tmed2"}, "diffusion": {"source_conditioning": False}}, "source_conditioning = true"),
        ({"sample": {"sources": "none"}, "diffusion": {"source_dropout": 0.0}}, "diffusion.source_dropout above 0"),
        ({"sample": {"guidance_interval": [0.8, 0.2]}}, "must rise"),
        ({"diffusion": {"variance": "learned"}}, "diffusion.loss = edm does not go with"),
        ({"diffusion": {"loss": "hybrid"}}, "hybrid needs one"),
        ({"diffusion": {"zero_terminal_snr": True, "prediction": "epsilon"}}, "use v, x0, flow or edm"),
        ({"diffusion": {"attention": [], "head_channels": 1000}}, "diffusion.head_channels = 1000 does not divide"),
        ({"diffusion": {"attention": [5]}}, "diffusion.attention = 5 is the side of no level"),
        ({"diffusion": {"space": "latent"}}, "diffusion.preconditioning = gaussian knows pixels alone"),
        (
            {"diffusion": {"space": "latent", "preconditioning": "none", "loss": "simple"}},
            "diffusion.unshuffle = 2 must be 1",
        ),
        ({"diffusion": {"ema_decays": [0.9, 0.9]}}, "names a decay twice"),
        ({"diffusion": {"snapshot_images": 1}}, "diffusion.snapshot_images = 1 gives no distance"),
        ({"diffusion": {"augment_told": True}}, "set diffusion.augment and diffusion.augment_share above 0"),
        ({"diffusion": {"patience": 2, "snapshot_images": 0}}, "diffusion.patience needs scores"),
        (
            {"study": {"run": ["all"], "rebalance_subsets": [64]}},
            "study.rebalance_subsets: 64 is none of split.subsets",
        ),
    ],
)
def test_what_could_not_be_trained_or_sampled_is_refused_at_once(
    params_with: Callable[..., Params], changes: dict[str, dict[str, object]], sentence: str
) -> None:
    with pytest.raises(EchosynthError, match=re.escape(sentence)):
        params_with(**changes)


def test_nested_values_get_names_by_section():
    assert flat_tree({"a": {"b": 1, "c": {"d": [2]}}, "e": None}) == {"a.b": 1, "a.c.d": [2], "e": None}
