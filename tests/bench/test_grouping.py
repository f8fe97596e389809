"""The number of tests that a grouping takes, which an extrapolation multiplies."""

import numpy as np
from bench.grouping import PIXELS, draw_pairs, frame, histograms, number_of_tests

from echosynth.screening.ks_groups import ks_groups


def test_a_founder_is_tested_against_all_that_have_no_group_yet() -> None:
    # 0 is tested against all 5 others and takes 1 and 4; 2 against 3 and 5, takes 5; 3 against nothing: all have one.
    assert number_of_tests(np.array([0, 0, 2, 3, 0, 2])).tolist() == [5, 0, 2, 0, 0, 0]


def test_drawn_pairs_are_tests_that_the_grouping_needs() -> None:
    founders = ks_groups(histograms("mostly grey", 60), 0.05)
    tests = number_of_tests(founders)
    pairs = list(draw_pairs(founders, 50))
    assert len(pairs) == 50
    for first, second in pairs:
        assert tests[first] > 0
        assert first < second
        assert founders[second] >= first


def test_cases_are_what_they_are_called() -> None:
    grey, many = histograms("mostly grey", 200), histograms("thousands of groups", 200)
    assert (grey.sum(axis=1) == PIXELS).all() and (many.sum(axis=1) == PIXELS).all()
    assert 0.8 < (grey[:, 0] == PIXELS).mean() < 1
    assert len(np.unique(ks_groups(many, 0.05))) > 150


def test_a_frame_has_the_counts() -> None:
    counts = histograms("thousands of groups", 1)[0]
    assert np.bincount(frame(counts).ravel(), minlength=256).tolist() == counts.tolist()
