"""Sources on the page: numbers of the comparisons, in words that follow from them, whichever way they fall."""

import base64
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from echosynth.common.views import VIEWS
from echosynth.report.drawing import page_figure
from echosynth.report.thesis import sources
from echosynth.report.thesis.sources import (
    effects,
    effects_figure,
    pairs_figure,
    pairs_sentence,
    reading,
    sources_table,
    verdict,
)
from echosynth.thesis.sources import ARMS

CONFOUNDED = {
    "A2C": {"dynamic": 0, "lvh": 0, "tmed2": 8},
    "A4C": {"dynamic": 26, "lvh": 0, "tmed2": 10},
    "PLAX": {"dynamic": 0, "lvh": 29, "tmed2": 16},
    "PSAX": {"dynamic": 0, "lvh": 0, "tmed2": 7},
}


def result(scores: dict[str, float], half: float | None = 0.05, views: tuple[str, ...] = VIEWS) -> dict[str, Any]:
    """What a comparison says of arms with these scores; `half` an interval wide."""
    cells = []
    for arm, value in scores.items():
        versus = {}
        for other, its in scores.items():
            bounds = [None, None] if half is None else [value - its - half, value - its + half]
            versus[other] = {"macro_auprc": value - its, "macro_auprc_interval": bounds}
        recall = {view: 0.6 if view in views else None for view in VIEWS}
        cell = {"arm": arm, "subset": "100", "real_images": 100, "macro_auprc": value, "macro_f1": 0.5}
        cells.append(cell | {"recall": recall, "versus": versus})
    return {"cells": cells, "intervals_over": "patients and trainings"}


def results(scores: dict[str, float], half: float | None = 0.05) -> dict[str, dict[str, Any]]:
    """The same arms on the validation images, where nothing differs, and under shift."""
    return {"validation": result(dict.fromkeys(scores, 0.8), half), "shift": result(scores, half, VIEWS[:3])}


SCORES = dict.fromkeys(ARMS, 0.6) | {"synthetic-all-pairs": 0.7, "mixed-as-real": 0.8, "mixed-all-pairs": 0.7}


def test_each_arm_is_compared_with_the_one_that_differs_in_its_sources_alone() -> None:
    found = {arm: effects(results(SCORES), arm) for arm in sources.EFFECTS}
    assert {arm: round(each["shift"][0], 6) for arm, each in found.items()} == {
        "synthetic-seen-pairs": 0,
        "synthetic-all-pairs": 0.1,
        "mixed-all-pairs": -0.1,
    }


@pytest.mark.parametrize(
    ("arm", "half", "said"),
    [
        ("synthetic-all-pairs", 0.05, "So: higher on shift, open on validation."),
        ("mixed-all-pairs", 0.05, "So: lower on shift, open on validation."),
        ("synthetic-all-pairs", 0.2, "So: open everywhere."),
        ("synthetic-all-pairs", None, "So: open everywhere."),
    ],
)
def test_words_follow_from_the_intervals(arm: str, half: float | None, said: str) -> None:
    assert reading(effects(results(SCORES, half), arm)) == said


def test_the_verdict_says_what_the_sources_show_and_what_was_left_out() -> None:
    reason = "the diffusion model is not told the source"
    said = verdict(results({"real": 0.7}), CONFOUNDED, dict.fromkeys(ARMS[1:3], reason))
    assert said == [
        "they show 6 of 12 pairs of view and source; several views are shown by tmed2 alone.",
        f"without synthetic-as-real and synthetic-seen-pairs: {reason}.",
    ]
    full = verdict(results(SCORES), CONFOUNDED, {})
    assert "synthetic-all-pairs less synthetic-as-real, macro AUPRC: validation" in full[2]
    assert "shift +0.100 (+0.050 to +0.150). So: higher on shift" in full[2]


def test_sources_of_one_view_each_are_named_as_what_they_are() -> None:
    apart = {"A4C": {"dynamic": 3, "lvh": 0}, "PLAX": {"dynamic": 0, "lvh": 3}}
    assert "nothing in the validation set tells a view from its source" in pairs_sentence(apart)
    both = {"A4C": {"camus": 3, "unity": 2}, "A2C": {"camus": 1, "unity": 3}}
    assert (
        pairs_sentence(both) == "they show 4 of 4 pairs of view and source; several views are shown by camus and unity."
    )


def test_the_table_has_a_row_for_each_arm_and_set_and_says_absent() -> None:
    table = sources_table(results(SCORES), {"x": "too few"}, "100 real images")
    assert [row[:2] for row in table.rows[6:8]] == [["shift", "real"], ["shift", "synthetic-as-real"]]
    assert {len(row) for row in table.rows} == {len(table.header)} == {10}
    assert table.rows[0][-1] == "0.60" and table.rows[6][-1] == "absent"
    assert "x is left out: too few." in table.note
    assert table.rows[9][3:5] == ["+0.100", "+0.050 to +0.150"]


def test_pairs_without_a_real_image_are_named_below_their_picture() -> None:
    assert (
        "No real training image shows A2C of dynamic, A2C of lvh, A4C of lvh," in pairs_figure(b"", CONFOUNDED).caption
    )
    assert "show all of them" in pairs_figure(b"", {"A4C": {"camus": 3, "unity": 2}}).caption


@pytest.mark.parametrize("half", [0.05, None])
def test_the_figure_is_drawn_with_and_without_intervals(half: float | None) -> None:
    figure = page_figure(effects_figure(results(SCORES, half), "100 real images"), "alt", "caption")
    assert base64.b64decode(figure.address.partition(",")[2])[:4] == b"\x89PNG"


def test_the_section_holds_every_subset_or_is_absent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    picture = Path("reports/study/sources/100/pairs.png")
    picture.parent.mkdir(parents=True)
    picture.write_bytes(b"a picture")
    monkeypatch.setattr(sources, "read_left_out", lambda *_: {})
    measured = {"real": CONFOUNDED, "within": {"shift": result(SCORES)}}
    thesis = SimpleNamespace(compared=lambda _: {"100": result(SCORES)}, measured=lambda *_: measured)
    [section] = sources.sections(thesis)  # type: ignore[arg-type]
    assert (len(section.figures), len(section.tables)) == (2, 1)
    assert base64.b64decode(section.figures[1].address.partition(",")[2]) == b"a picture"
    assert "nothing is chosen" in section.verdict[0] and len(section.verdict) == 1 + 1 + 3
    assert not sources.sections(SimpleNamespace(compared=lambda _: {}))  # type: ignore[arg-type]
