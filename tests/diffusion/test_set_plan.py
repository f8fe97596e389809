"""Who is image n: exact counts, and every beginning of a set in proportion."""

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echosynth.common.errors import EchosynthError
from echosynth.common.views import VIEWS
from echosynth.diffusion.model import DiffusionCard
from echosynth.diffusion.options import SampleParams
from echosynth.diffusion.set_plan import apportion, interleave, make_plan

SEEN = {
    "A2C": {"lvh": 3, "tmed2": 7},
    "A4C": {"dynamic": 60, "tmed2": 10},
    "PLAX": {"lvh": 30, "tmed2": 11},
    "PSAX": {"tmed2": 1},
}
SOURCES = ("dynamic", "lvh", "tmed2")


@pytest.fixture
def card(params):
    def make(seen=SEEN, sources=SOURCES, **diffusion):
        return DiffusionCard(
            sources=sources,
            size=32,
            diffusion=params.diffusion.model_copy(update=diffusion),
            training_images=seen,
            training_hash="0" * 16,
            step=1,
            ema_decay=0.9,
            kernel=None,
        )

    return make


@pytest.fixture
def plan(params):
    """Plan a set: (card, images, changes of section `sample`)."""

    def make(card, count, **changes):
        shares = {"views": "balanced", "sources": "real"} | changes
        return make_plan(card, SampleParams.model_validate(params.sample.model_dump() | shares), count)

    return make


def names(planned):
    return [(VIEWS[view], planned.source(number)) for number, view in enumerate(planned.views)]


weights = st.lists(st.integers(0, 1000), min_size=1, max_size=12).filter(any)


@given(st.integers(0, 100_000), weights, st.integers(0, 11))
def test_apportioned_counts_sum_up_and_are_off_by_less_than_one(count, shares, first):
    counts = apportion(count, shares, first)
    assert sum(counts) == count
    for part, share in zip(counts, shares, strict=True):
        assert abs(part - Fraction(count * share, sum(shares))) < 1


def test_largest_remainders_and_ties():
    # Shares 1.4, 0.7 and 4.9: the remainders 0.9 and 0.7 win.
    assert apportion(7, [2, 1, 7]) == [1, 1, 5]
    assert apportion(5, [1, 1, 1, 1]) == [2, 1, 1, 1]
    assert apportion(5, [1, 1, 1, 1], first=2) == [1, 1, 2, 1]


@settings(deadline=None)
@given(st.lists(st.integers(0, 60), min_size=1, max_size=12).filter(any), st.integers(0, 11))
def test_every_beginning_holds_the_proportions_of_the_whole(counts, first):
    sequence = interleave(counts, first % len(counts))
    assert np.bincount(sequence, minlength=len(counts)).tolist() == counts
    present = sum(count > 0 for count in counts)
    bound = 1 - Fraction(1, 2 * present - 2) if present > 1 else Fraction(0)  # Tijdeman 1980
    placed = Counter()
    for length, chosen in enumerate(sequence.tolist(), start=1):
        placed[chosen] += 1
        assert all(abs(placed[k] - Fraction(length * n, sum(counts))) <= bound for k, n in enumerate(counts))


def test_equal_counts_take_turns():
    assert interleave([3, 3, 3, 3]).tolist() == [0, 1, 2, 3] * 3
    assert interleave([2, 2, 2], first=1).tolist() == [1, 2, 0] * 2


@pytest.mark.parametrize("count", [1, 3, 40, 41])
def test_a_balanced_set_shows_view_n_mod_4(card, plan, count):
    assert plan(card(), count).views.tolist() == [n % 4 for n in range(count)]


def test_real_proportions_of_views_and_sources(card, plan):
    # 122 images were seen: twice as many keep the proportions exactly.
    assert plan(card(), 244, views="real").counts() == {
        view: {source: 2 * n for source, n in row.items()} for view, row in SEEN.items()
    }
    # Balanced views keep the proportions within each: 3 : 7, 60 : 10, 30 : 11 (7.3 : 2.7) and 1.
    assert plan(card(), 40).counts() == {
        "A2C": {"lvh": 3, "tmed2": 7},
        "A4C": {"dynamic": 9, "tmed2": 1},
        "PLAX": {"lvh": 7, "tmed2": 3},
        "PSAX": {"tmed2": 10},
    }


def test_a_set_balanced_over_both_holds_pairs_that_the_data_never_shows(card, plan):
    planned = plan(card(), 10 * 12, sources="balanced")
    assert set(Counter(names(planned)).values()) == {10}
    assert len(set(names(planned))) == 12
    for length in range(1, len(planned)):
        by_source = Counter(planned.sources[:length].tolist())
        assert max(by_source.values()) - min(by_source.get(k, 0) for k in range(3)) <= 2
    # Where the number does not divide, each view serves another source first.
    uneven = plan(card(), 16, sources="balanced")
    assert sorted(Counter(uneven.sources.tolist()).values()) == [5, 5, 6]


def test_one_source_and_none(card, plan):
    assert {source for _, source in names(plan(card(), 8, sources="lvh"))} == {"lvh"}
    planned = plan(card(), 8, sources="none")
    assert planned.sources.tolist() == [3] * 8
    assert planned.counts() == {view: {"none": 2} for view in VIEWS}


@pytest.mark.parametrize("sources", ["real", "none"])
def test_a_model_that_knows_no_sources_is_told_none(card, plan, sources):
    planned = plan(card(sources=(), source_dropout=0.0), 8, sources=sources)
    assert planned.sources.tolist() == [0] * 8
    assert {source for _, source in names(planned)} == {None}


def test_free_counts(card, plan):
    planned = plan(card(), {"PSAX": 3, "A2C": 6})
    assert Counter(view for view, _ in names(planned)) == {"A2C": 6, "PSAX": 3}
    assert [view for view, _ in names(planned)][:3].count("PSAX") == 1


def test_a_view_with_one_image_can_be_made_and_one_with_none_can_not(card, plan):
    seen = {view: row for view, row in SEEN.items() if view != "A2C"}
    with pytest.raises(EchosynthError, match=r"single training image of A2C.*split\.subsets"):
        plan(card(seen), 8)
    with pytest.raises(EchosynthError, match="A2C"):
        plan(card(seen | {"A2C": {"lvh": 0}}), {"A2C": 1})
    assert set(plan(card(seen), 50, views="real").counts()) == {"A4C", "PLAX", "PSAX"}
    assert plan(card(seen), {"PSAX": 2}).counts() == {"PSAX": {"tmed2": 2}}


@pytest.mark.parametrize(
    ("changes", "count", "sources", "words"),
    [
        ({}, 8, "camus", "sample.sources = camus, but this model knows dynamic, lvh, tmed2 alone"),
        ({"sources": ()}, 8, "balanced", "not told the source.*source_conditioning"),
        ({"sources": ()}, 8, "lvh", "not told the source.*source_conditioning"),
        ({"source_dropout": 0.0}, 8, "none", "source_dropout = 0"),
        ({}, 0, "real", "at least one image"),
        ({}, {}, "real", "at least one image"),
        ({}, {"A5C": 2}, "real", "A5C is no view; known are A2C, A4C, PLAX, PSAX"),
        ({}, {"A2C": -1}, "real", "-1 images of A2C"),
    ],
)
def test_what_the_model_cannot_make_is_refused(card, plan, changes, count, sources, words):
    with pytest.raises(EchosynthError, match=words):
        plan(card(**changes), count, sources=sources)


def test_without_a_count_each_view_has_its_number(card, params):
    assert make_plan(card(), params.sample.model_copy(update={"per_view": 3})).counts() == {
        "A2C": {"lvh": 1, "tmed2": 2},
        "A4C": {"dynamic": 3},
        "PLAX": {"lvh": 2, "tmed2": 1},
        "PSAX": {"tmed2": 3},
    }


def test_guidance_without_a_null_view_is_refused(card, plan):
    with pytest.raises(EchosynthError, match=r"diffusion\.view_dropout"):
        plan(card(view_dropout=0.0), 4, guidance=2.0)
