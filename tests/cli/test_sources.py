"""The list of releases."""

import json

import pytest

from echosynth import cli
from echosynth.sources.options import source_names
from echosynth.sources.registry import find_source


def test_every_release_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sources"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["name", "title", "views", "files", "group", "licence"]
    assert [line.split()[0] for line in lines[1:] if line and not line.startswith("More")] == list(source_names())
    row = next(line for line in lines if line.startswith("tmed2"))
    for words in ("TMED-2", "A2C A4C PLAX PSAX", "still", "patient", find_source("tmed2").licence):
        assert words in row


def test_details_show_layout_and_citation(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sources", "tmed2"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("tmed2: TMED-2\n")
    assert "labels_per_image.csv" in out
    assert find_source("tmed2").citation in out


def test_json_holds_all_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sources", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert [item["name"] for item in content] == list(source_names())
    assert cli.main(["sources", "camus", "--json"]) == 0
    one = json.loads(capsys.readouterr().out)
    assert one in content
    assert one["views"] == ["A2C", "A4C"]
    assert {"title", "unit", "group_kind", "licence", "citation", "layout", "complete"} < set(one)


def test_an_unknown_name_lists_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sources", "nonsense"]) == 1
    out, err = capsys.readouterr()
    assert not out
    assert "'nonsense'" in err and "tmed2" in err
    assert len(err.splitlines()) == 1
