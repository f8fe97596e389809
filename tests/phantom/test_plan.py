import numpy as np
import pytest

from echosynth.phantom.options import PhantomParams
from echosynth.phantom.plan import STUDY, deal, parts, scaled, split_names, video_items


def test_the_study_adds_up_to_its_tables() -> None:
    totals = {source: sum(views.values()) for source, views in STUDY.items()}
    assert totals == {"echonet-dynamic": 10_026, "echonet-lvh": 11_182, "tmed2": 17_707, "camus": 2_000, "unity": 7_231}
    assert [scaled(STUDY["tmed2"][view], 20) for view in ("A2C", "A4C", "PLAX", "PSAX")] == [172, 225, 352, 136]


def test_unusable_videos_come_on_top_of_the_usable_ones() -> None:
    params = PhantomParams(seed=1, one_in=20.0, unusable_share=0.04, tinted_share=0.05, difficulty=1.0)
    items = video_items(params, "echonet-lvh", "PLAX", 0.15, np.random.default_rng(0))
    kinds = [item.kind for item in items]
    good = kinds.count("usable") + kinds.count("tinted")
    assert good == 559
    assert len(items) - good == pytest.approx(0.04 * len(items), abs=1)
    assert kinds.count("tinted") == pytest.approx(0.05 * len(items), abs=1)
    assert min(kinds.count(kind) for kind in ("doppler", "split", "odd")) >= 7
    assert len({(item.patient, item.number) for item in items}) == len(items)
    assert len({item.patient for item in items}) < len(items)


def test_dealing_keeps_the_total_and_the_limit() -> None:
    shares = deal(172, 64, 15, np.random.default_rng(0))
    assert sum(shares) == 172 and max(shares) <= 15 and len(set(shares)) > 3


def test_parts_are_proportional_and_never_empty() -> None:
    assert parts(10_030, [7465, 1288, 1277]) == [7465, 1288, 1277]
    assert parts(3, [0.8, 0.1, 0.1]) == [1, 1, 1]
    names = split_names(20, {"a": 0.5, "b": 0.5}, np.random.default_rng(0))
    assert sorted(names) == ["a"] * 10 + ["b"] * 10 and names != sorted(names)
