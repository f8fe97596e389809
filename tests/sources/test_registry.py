import sys
from importlib import import_module
from pathlib import Path
from typing import get_args

import pytest

from echosynth.common.errors import EchosynthError
from echosynth.common.views import VIEWS
from echosynth.common.yaml12 import read_yaml
from echosynth.config.parameters import parse_params
from echosynth.sources.base import GroupKind, Unit
from echosynth.sources.options import source_names
from echosynth.sources.registry import all_sources, find_source

ROOT = Path(__file__).parents[2]
STUDY = {"camus", "echonet-dynamic", "echonet-lvh", "tmed2", "unity"}


def test_every_module_of_releases_is_a_source_of_that_name():
    names = source_names()
    assert list(names) == sorted(names)
    assert STUDY | {"echonet-pediatric", "ev9v", "own"} <= set(names)
    assert [source.name for source in all_sources()] == list(names)


@pytest.mark.parametrize("name", source_names())
def test_a_source_says_all_that_people_need(name):
    source = find_source(name)
    assert source is find_source(name)
    assert set(source.views) <= set(VIEWS)
    assert source.views and len(set(source.views)) == len(source.views)
    assert source.unit in get_args(Unit)
    assert source.group_kind in get_args(GroupKind)
    assert source.has_cines == ("cine" in source.unit)
    assert source.layout and all(0 < len(line.strip()) <= 120 and "\n" not in line for line in source.layout)
    assert source.title and source.licence and source.citation


@pytest.mark.parametrize("name", source_names())
def test_every_source_refuses_folders_that_hold_no_release(tmp_path, name):
    read = find_source(name).list_records
    (tmp_path / "file").touch()
    (tmp_path / "other").mkdir()
    (tmp_path / "other/notes.txt").write_text("nothing here")
    (tmp_path / "empty").mkdir()
    for folder in ("nowhere", "file", "empty", "other"):
        with pytest.raises(EchosynthError, match=str(tmp_path)) as error:
            read(tmp_path / folder)
        assert "\n" not in str(error.value)


def test_views_and_kinds_that_the_study_relies_on():
    found = {source.name: (set(source.views), source.unit, source.group_kind) for source in all_sources()}
    assert found["echonet-dynamic"] == ({"A4C"}, "cine", "patient")
    assert found["echonet-lvh"] == ({"PLAX"}, "cine", "file")
    assert found["echonet-pediatric"] == ({"A4C", "PSAX"}, "cine", "study")
    assert found["ev9v"] == ({"A4C", "PLAX", "PSAX"}, "cine", "cine")


def test_a_team_can_hold_several_hospitals_apart():
    own, riverside = find_source("own"), find_source("own-riverside")
    assert (riverside.name, riverside.title) == ("own-riverside", f"{own.title} (riverside)")
    assert riverside.list_records is own.list_records
    assert riverside not in all_sources()


@pytest.mark.parametrize(
    "name", ["nowhere", "", "releases", "__init__", "echonet_dynamic", "../own", "own-", "own-A", "own-../x"]
)
def test_an_unknown_source_is_named_with_those_that_are_known(name):
    with pytest.raises(EchosynthError, match=r"known are camus, echonet-dynamic.*own-<name>"):
        find_source(name)


@pytest.mark.parametrize("name", ["ev9v", "echonet-pediatric", "own-riverside-2"])
def test_parameters_may_name_every_source(params_with, name):
    params = params_with(data={"train_sources": [name]})
    assert params.data.train_sources == [name]


@pytest.mark.parametrize("name", ["ev9", "own-", "own-Riverside", "own/x", "EV9V"])
def test_parameters_refuse_other_names(name):
    content = read_yaml(ROOT / "params.yaml")
    content["data"]["train_sources"] = [name]
    with pytest.raises(EchosynthError, match=r"is no source; known are camus"):
        parse_params(content)


def test_names_are_known_without_importing_an_adapter():
    module = "echosynth.sources.releases.camus"
    import_module(module)
    kept = sys.modules.pop(module)
    try:
        source_names.cache_clear()
        assert "camus" in source_names()
        assert module not in sys.modules
    finally:
        sys.modules[module] = kept
