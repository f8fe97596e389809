"""Decisions on groups of recordings: who says what, and what wins."""

from pathlib import Path

import pytest
import yaml

from echosynth.common.errors import EchosynthError
from echosynth.screening.decisions import (
    BY_DECISION,
    LITTLE_GREY,
    group_decisions,
    read_decisions,
    read_tables,
    start_decisions,
    update_decisions,
    verdicts,
)

# Group a: three grey ones, one of them (c) a split picture. Group d: colour Doppler. Group e: a usable tint.
GROUPS = ("a,3,0.0,1,keep,", "d,2,9.5,2,drop,colour Doppler", "e,1,3.2,0,keep,usable tint")
RECORDINGS = (
    "a,a,1,0,,0,1",
    "b,a,0.99,0,,0,1",
    "c,a,1,0,split picture,0,1",
    "d,d,0.8,0.1,colour Doppler,0,1",
    "f,d,0.9,0.1,,0.01,0.2",
    "e,e,0.4,0,,0,1",
)


@pytest.fixture
def validation(tmp_path, write_csv) -> Path:
    folder = tmp_path / "validation"
    write_csv(folder / "groups.csv", "group,size,colourfulness,flagged,proposal,reason", *GROUPS)
    header = "id,group,grey_share,coloured_share,proposal,statistic,p_value"
    write_csv(folder / "recordings.csv", header, *RECORDINGS)
    return folder


@pytest.fixture
def decide(tmp_path):
    def write(**sections) -> Path:
        path = tmp_path / "echonet-lvh.yaml"
        path.write_text(yaml.safe_dump(sections))
        return path

    return write


@pytest.fixture
def review(params_with):
    return lambda **changes: params_with(review={"method": "ks", "undecided": "proposal", **changes}).review


def dropped(*arguments):
    """What is left out of what there is."""
    found = verdicts(*arguments)
    assert set(found) == set("abcdef")
    return {name: reason for name, reason in found.items() if reason}


PROPOSED = {"c": "split picture", "d": "colour Doppler", "f": "colour Doppler"}


@pytest.mark.parametrize(
    ("undecided", "expected"),
    [
        ("proposal", PROPOSED),
        ("keep", {}),
        (
            "drop",
            dict.fromkeys("abe", BY_DECISION) | PROPOSED,
        ),
    ],
)
def test_what_nobody_decided_follows_the_parameter(validation, decide, review, undecided, expected):
    assert dropped(validation, decide(), review(undecided=undecided)) == expected


def test_a_recording_s_decision_wins_over_its_group_s_and_that_over_the_parameter(validation, decide, review):
    path = decide(groups={"d": "keep", "e": "drop"}, recordings={"d": "drop", "c": "keep"})
    assert dropped(validation, path, review()) == {"d": "colour Doppler", "e": BY_DECISION}
    # A person who keeps a whole group keeps what the rule flags in it too.
    assert dropped(validation, decide(groups={"a": "keep", "d": "keep", "e": "keep"}), review()) == {}


def test_stop_asks_a_person_first(validation, decide, review):
    with pytest.raises(
        EchosynthError, match=r"2 groups of echonet-lvh have no decision; .*sheet\.png.*echonet-lvh\.yaml"
    ):
        dropped(validation, decide(groups={"a": "keep"}), review(undecided="stop"))
    decided = decide(groups={"a": "keep", "d": "drop", "e": "keep"})
    assert dropped(validation, decided, review(undecided="stop")) == {"d": "colour Doppler", "f": "colour Doppler"}


def test_a_decision_survives_a_new_founder_and_a_contradiction_leaves_it_undecided(validation, decide, review):
    # f founded the group when the decision was made; d has come since and sorts before it.
    assert dropped(validation, decide(groups={"f": "keep"}), review(undecided="drop")) == dict.fromkeys(
        "abe", BY_DECISION
    ) | {"c": "split picture"}
    # The founder's own decision counts more; without it, members that disagree leave the group undecided.
    assert "f" in dropped(validation, decide(groups={"f": "keep", "d": "drop"}), review(undecided="keep"))
    disagree = decide(groups={"b": "keep", "c": "drop", "d": "keep", "e": "keep"})
    assert dropped(validation, disagree, review(undecided="keep")) == {}
    assert set(dropped(validation, disagree, review(undecided="drop"))) == set("abc")
    with pytest.raises(EchosynthError, match="1 groups of echonet-lvh have no decision"):
        dropped(validation, disagree, review(undecided="stop"))


def test_the_grey_threshold_and_no_validation(validation, decide, review):
    path = decide(groups={"a": "drop"})
    found = dropped(validation, path, review(method="grey", grey_share=0.85))
    assert found == {"d": LITTLE_GREY, "e": LITTLE_GREY}
    assert dropped(validation, path, review(method="none")) == {}


def test_who_decided_is_told(validation, decide, review):
    groups, recordings = read_tables(validation)
    decisions = read_decisions(decide(groups={"d": "keep", "gone": "drop"}, recordings={"lost": "keep", "f": "drop"}))
    table = group_decisions(groups, recordings, decisions, review()).set_index("group")
    assert table["decision"].to_dict() == {"a": "keep", "d": "keep", "e": "keep"}
    assert table["by"].to_dict() == {"a": "proposal", "d": "person", "e": "proposal"}
    assert decisions.stale(recordings) == ["gone", "lost"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("groups: {a: maybe}", "groups: a is 'maybe'; write keep or drop"),
        ("groups: [a]", "groups must hold lines"),
        ("group: {a: keep}", "sections groups and recordings and nothing else"),
        ("- a", "sections groups and recordings and nothing else"),
        ("groups: {a", "no valid YAML"),
        ("groups: {a: no}", "groups: a is 'no'; write keep or drop"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path, text, words):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(EchosynthError, match=words):
        read_decisions(path)


def test_a_missing_file_names_the_command(tmp_path):
    with pytest.raises(EchosynthError, match="`echosynth review tmed2` makes it"):
        read_decisions(tmp_path / "tmed2.yaml")


def test_an_empty_file_holds_no_decision(tmp_path):
    start_decisions(tmp_path / "x.yaml")
    found = read_decisions(tmp_path / "x.yaml")
    assert (found.groups, found.recordings) == ({}, {})


def test_proposals_become_comments_and_decisions_and_their_notes_stay(validation, tmp_path, review):
    path = tmp_path / "x.yaml"
    path.write_text("groups:\n  e: drop  # too dark\n  gone: keep\n")
    update_decisions(validation, path, accept=False)
    text = path.read_text()
    assert "  e: drop  # too dark\n" in text and "  gone: keep\n" in text
    assert "  # d: drop  # 2 recordings, colourfulness 9.5, colour Doppler\n" in text
    assert "  # c: drop  # split picture\n" in text
    found = read_decisions(path)
    assert (found.groups, found.recordings) == ({"e": "drop", "gone": "keep"}, {})
    update_decisions(validation, path, accept=False)
    assert path.read_text() == text


def test_accepted_proposals_are_decisions(validation, tmp_path, review):
    path = tmp_path / "x.yaml"
    update_decisions(validation, path, accept=True)
    found = read_decisions(path)
    assert found.groups == {"a": "keep", "d": "drop", "e": "keep"} and found.recordings == {"c": "drop"}
    assert dropped(validation, path, review(undecided="stop")) == PROPOSED
