"""YAML as DVC understands it."""

from pathlib import Path
from typing import Any

import pytest

from echosynth.common.errors import EchosynthError
from echosynth.common.yaml12 import read_yaml

# Examples of the specification (YAML 1.2.2, section 10.3.2) and words that version 1.1 takes for something else.
CORE: dict[str, Any] = {
    **{"null": None, "Null": None, "~": None, "": None},
    **{"true": True, "FALSE": False, "yes": "yes", "off": "off", "n": "n"},
    **{"0": 0, "0o7": 7, "0x3A": 58, "-19": -19, "+12": 12, "010": 10, "1:30": "1:30", "0b1": "0b1", "1_000": "1_000"},
    **{"0.": 0.0, "-0.0": 0.0, ".5": 0.5, "+12e03": 12000.0, "-2E+05": -2e5, "2e-05": 2e-5, "1.5:0": "1.5:0"},
    **{".inf": float("inf"), "-.Inf": float("-inf"), "2026-01-01": "2026-01-01", "=": "="},
}


@pytest.mark.parametrize("word", CORE)
def test_a_word_is_what_version_1_2_says(tmp_path: Path, word: str) -> None:
    (tmp_path / "a.yaml").write_text(f"a: {word}\n")
    found = read_yaml(tmp_path / "a.yaml")["a"]
    assert found == CORE[word] and type(found) is type(CORE[word])


def test_dvc_reads_the_same(tmp_path: Path) -> None:
    from dvc.utils.serialize import load_yaml

    for word, value in CORE.items():
        if word not in ("0b1", "1_000", "2026-01-01", "="):  # ruamel.yaml keeps these of version 1.1
            (tmp_path / "a.yaml").write_text(f"a: {word}\n")
            assert load_yaml(tmp_path / "a.yaml") == {"a": value}, word


def test_quoted_words_and_anchors(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: &a {x: '1'}\nb: {<<: *a, y: [.nan, \"~\"]}\n")
    found = read_yaml(tmp_path / "a.yaml")
    assert found["b"]["x"] == "1" and found["b"]["y"][0] != found["b"]["y"][0] and found["b"]["y"][1] == "~"


def test_a_key_that_stands_twice_is_an_error_and_one_that_is_merged_in_gives_way(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    for text in ("a: 1\nb: 2\na: 3\n", "x: {a: 1, b: 2, a: 1}\n", "[{a: 1, 'a': 2}]\n"):
        path.write_text(text)
        with pytest.raises(EchosynthError, match=r"a\.yaml is no valid YAML: a stands there twice.*line"):
            read_yaml(path)
    path.write_text("a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}\n")
    assert read_yaml(path)["b"] == {"x": 3, "y": 2}


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(EchosynthError, match=r"none\.yaml is missing"):
        read_yaml(tmp_path / "none.yaml")
    (tmp_path / "a.yaml").write_text("a: [1\n")
    with pytest.raises(EchosynthError, match=r"a\.yaml is no valid YAML"):
        read_yaml(tmp_path / "a.yaml")
    (tmp_path / "a.yaml").write_text("a: !!python/object/apply:os.system [ls]\n")
    with pytest.raises(EchosynthError, match=r"a\.yaml is no valid YAML"):
        read_yaml(tmp_path / "a.yaml")
