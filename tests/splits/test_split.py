"""Splits and subsets: groups stay whole, official splits are honoured where asked, everything is reproducible."""

from collections.abc import Collection
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echosynth.common.errors import EchosynthError
from echosynth.common.views import VIEWS
from echosynth.splits import split as module
from echosynth.splits.split import SPLITS, nested_subsets, split_groups, split_rules, torn_clusters


def make(rows: list[tuple[str, str, str]], official: list[str] | None = None, kind: str = "file") -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["source", "group", "view"])
    table["id"] = [f"{source}-{index:05d}" for index, source in enumerate(table["source"])]
    return table.assign(group_kind=kind, official_split=official if official is not None else "")


def plenty(source: str = "own", count: int = 20) -> list[tuple[str, str, str]]:
    """Single files, enough of each view for every split."""
    return [(source, f"{view}{index}", view) for view in VIEWS for index in range(count)]


def test_a_view_that_a_split_would_lack_is_named() -> None:
    split_groups(make(plenty()), 0.1, 0.1, 0)
    few = [row for row in plenty() if row[2] != "PSAX"] + [("tmed2", "one", "PSAX")] * 9
    with pytest.raises(EchosynthError, match="set has no image of PSAX; add patients"):
        split_groups(make(few), 0.1, 0.1, 0)


def test_a_test_set_may_lack_a_view_but_not_every_one() -> None:
    few = [row for row in plenty() if row[2] != "PSAX"] + [("own", f"one{number}", "PSAX") for number in range(2)]
    table = make(few, ["train", "validation", "test"] * 20 + ["train", "validation"])
    splits = split_groups(table, 0.1, 0.1, 0, official=["own"])
    shown = table["view"].groupby(splits.to_numpy()).agg(set)
    assert shown["test"] == {*VIEWS} - {"PSAX"} and shown["train"] == shown["validation"] == {*VIEWS}
    with pytest.raises(EchosynthError, match="the test set has no image of A2C, A4C, PLAX, PSAX; add patients"):
        split_groups(make(plenty(), ["train", "validation"] * 40), 0.1, 0.1, 0, official=["own"])


def test_clusters_of_groups_stay_whole_and_do_not_cost_proportions() -> None:
    rows = plenty("a", 100) + plenty("b", 100)
    table = make(rows)
    clusters = (table["source"] + "\0" + table["group"]).to_numpy(str)
    # Every fifth file of b is a copy of one in a.
    clusters[400:800:5] = clusters[0:400:5]
    splits = split_groups(table, 0.1, 0.1, 0, clusters)
    assert splits.groupby(clusters).nunique().max() == 1
    shares = pd.crosstab([table["source"], table["view"]], splits.to_numpy(), normalize="index")
    assert (shares - pd.Series({"train": 0.8, "validation": 0.1, "test": 0.1})).abs().to_numpy().max() <= 0.03
    assert split_groups(table, 0.1, 0.1, 0).groupby(clusters).nunique().max() > 1


def official_table() -> pd.DataFrame:
    """A release of files with an official split of halves and one of patients, and own files without any."""
    release = plenty("release")
    official = ["train", "test"] * (len(release) // 2)
    patients = make(plenty("patients"), official, "patient")
    return pd.concat([make(release, official), patients, make(plenty("own"))], ignore_index=True)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [("auto", ["release"]), ("always", ["patients", "release"]), ("never", [])],
)
def test_rules_by_source(setting: Any, expected: list[str]) -> None:
    rules = split_rules(official_table(), setting)
    assert list(rules) == ["own", "patients", "release"]
    assert [source for source, rule in rules.items() if rule.rule == "official"] == expected
    assert all(rule.reason for rule in rules.values())
    if setting == "auto":
        assert "names no patients" in rules["release"].reason
        assert rules["patients"].reason == "the release tells which images are of one patient"
        assert rules["own"].reason == "the release has no official split"
        mixed = official_table()
        mixed.loc[mixed["source"] == "release", "group_kind"] = ["patient", *["file"] * (len(plenty("release")) - 1)]
        rule = split_rules(mixed, "auto")["release"]
        assert (rule.rule, rule.reason) == (
            "group",
            "the release tells which images are of one patient for some of them",
        )


def test_official_splits_are_kept_and_leave_other_sources_as_they_were() -> None:
    table = official_table()
    ours = split_groups(table, 0.1, 0.1, 0)
    mixed = split_groups(table, 0.1, 0.1, 0, official=["release"])
    release = (table["source"] == "release").to_numpy()
    assert (mixed[release].to_numpy() == table["official_split"][release].to_numpy()).all()
    assert mixed[~release].equals(ours[~release])


def test_groups_without_an_official_split_fill_what_is_missing() -> None:
    rows = plenty("release", 100)
    official = [["train", "train", "train", "validation", "test", "", "", "", "", ""][i % 10] for i in range(len(rows))]
    table = make(rows, official)
    splits = split_groups(table, 0.1, 0.1, 0, official=["release"])
    given_splits = table["official_split"].to_numpy()
    assert (splits.to_numpy() == given_splits)[given_splits != ""].all()
    # The official part fills validation and test already, so that the rest is for training.
    assert set(splits[given_splits == ""]) == {"train"}


def test_a_cluster_in_several_official_splits_goes_where_most_of_it_is() -> None:
    rows = [*plenty(), *[("r", name, "A4C") for name in "abcdefghi"]]
    official = [""] * 80 + ["test", "test", "train", "validation", "test", "validation", "train", "", "test"]
    table = make(rows, official)
    clusters = (table["source"] + "\0" + table["group"]).to_numpy(str)
    clusters[80:83] = "most"
    clusters[83:85] = "tie"
    clusters[85:88] = "tie 2"
    splits = split_groups(table, 0.1, 0.1, 0, clusters, ["r"]).tolist()[80:]
    assert splits == ["test"] * 3 + ["train"] * 5 + ["test"]
    assert torn_clusters(table, clusters, ["r"]) == 3
    assert torn_clusters(table, clusters, []) == 0


GROUPS = st.lists(
    st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 12), st.sampled_from(VIEWS), st.sampled_from(["", *SPLITS])),
    min_size=1,
    max_size=80,
)


@settings(max_examples=150, deadline=None)
@given(GROUPS, st.lists(st.tuples(st.integers(0, 79), st.integers(0, 79)), max_size=4), st.integers(0, 9), st.data())
def test_whatever_the_groups(
    rows: list[tuple[str, int, str, str]], links: list[tuple[int, int]], seed: int, data: st.DataObject
) -> None:
    table = make([(source, f"g{group}", view) for source, group, view, _ in rows], [row[3] for row in rows])
    clusters = (table["source"] + "\0" + table["group"]).to_numpy(str)
    for first, second in links:
        one, other = clusters[first % len(rows)], clusters[second % len(rows)]
        clusters[clusters == max(one, other)] = min(one, other)
    official: Collection[str] = data.draw(st.sets(st.sampled_from(["a", "b"])))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_require_views", lambda *_: None)
        splits = split_groups(table, 0.2, 0.2, seed, clusters, official)
        assert list(splits.index) == list(table["id"]) and set(splits) <= set(SPLITS)
        assert splits.groupby(clusters).nunique().max() == 1
        order = data.draw(st.permutations(range(len(rows))))
        again = split_groups(table.iloc[order], 0.2, 0.2, seed, clusters[order], official)
        assert again[splits.index].equals(splits)
        sizes = sorted({data.draw(st.integers(1, len(rows))) for _ in range(3)})
        subsets = nested_subsets(table, [*sizes, "all"], seed)
        shuffled = nested_subsets(table.iloc[order], [*sizes, "all"], seed)
    assert {name: set(ids) for name, ids in shuffled.items()} == {name: set(ids) for name, ids in subsets.items()}
    for size in sizes:
        assert len(subsets[str(size)]) == len(set(subsets[str(size)])) == size
    chain = [set(ids) for ids in subsets.values()]
    assert all(small <= large for small, large in pairwise(chain))


def test_a_size_beyond_the_training_set_is_named() -> None:
    train = make(plenty("tmed2", 5))
    with pytest.raises(EchosynthError, match=r"split\.subsets asks for 21 images, but the training set holds 20"):
        nested_subsets(train, ["all", 21], 0)


def test_a_subset_without_a_view_is_named() -> None:
    rows = [("tmed2", f"{view}{index}", view) for view in VIEWS for index in range(2 if view == "A2C" else 100)]
    with pytest.raises(EchosynthError, match=r"subset of 10 in split\.subsets has no image of A2C; make it larger"):
        nested_subsets(make(rows), [10], 0)


def test_a_larger_seeded_choice_is_another_one() -> None:
    table = make(plenty(count=200))
    first, second = (set(nested_subsets(table, [100], seed)["100"]) for seed in (1, 2))
    assert len(first & second) < 40
    assert np.mean(split_groups(table, 0.1, 0.1, 1) != split_groups(table, 0.1, 0.1, 2)) > 0.2
