import numpy as np
import pandas as pd
import pytest

from echosynth.errors import EchosynthError
from echosynth.images.split import SPLITS, nested_subsets, split_groups
from echosynth.views import VIEWS

VIEW_TOTALS = {"A2C": 3432, "A4C": 14531, "PLAX": 18225, "PSAX": 2727}  # table 3.2
VIDEOS = {("echonet-lvh", "PLAX"): 11182, ("echonet-dynamic", "A4C"): 10026}


def make(rows: list[tuple[str, str, str]]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["source", "group", "view"])
    return table.assign(id=[f"{source}-{index:05d}" for index, source in enumerate(table["source"])])


@pytest.fixture(scope="module")
def thesis() -> pd.DataFrame:
    """The counts of the study: two video sources of single files, TMED-2 patients with at most 15 images of a view."""
    rng = np.random.default_rng(0)
    rows = [(source, f"f{index}", view) for (source, view), count in VIDEOS.items() for index in range(count)]
    left = {view: total - sum(n for (_, v), n in VIDEOS.items() if v == view) for view, total in VIEW_TOTALS.items()}
    patient = 0
    while any(left.values()):
        for view in VIEWS:
            count = min(left[view], int(rng.integers(0, 16) * (1 if view in ("PLAX", "A4C") else 0.6)))
            rows += [("tmed2", f"p{patient}", view)] * count
            left[view] -= count
        patient += 1
    return make(rows)


@pytest.fixture(scope="module")
def splits(thesis: pd.DataFrame) -> pd.Series:
    return split_groups(thesis, 0.1, 0.1, 3)


def test_no_group_is_in_two_splits(thesis, splits):
    assert set(splits) == set(SPLITS) and list(splits.index) == list(thesis["id"])
    together = splits.groupby([thesis["source"].to_numpy(), thesis["group"].to_numpy()]).nunique()
    assert together.max() == 1


def test_shares_of_every_source_and_view_are_kept_within_half_a_percentage_point(thesis, splits):
    assert len(thesis) == 38_915
    shares = pd.crosstab([thesis["source"], thesis["view"]], splits.to_numpy(), normalize="index")
    target = pd.Series({"train": 0.8, "validation": 0.1, "test": 0.1})
    assert (shares - target).abs().to_numpy().max() < 0.005


def test_images_a_patient_are_alike_in_all_splits(thesis, splits):
    """Were small groups kept for the small splits, their patients would be other patients."""
    table = thesis.assign(split=splits.to_numpy())
    tmed = table[table["source"] == "tmed2"]
    sizes = tmed.groupby(["split", "group"]).size().groupby("split").mean()
    assert sizes.max() / sizes.min() < 1.15


def test_the_order_of_rows_does_not_matter_and_the_seed_does(thesis, splits):
    shuffled = thesis.sample(frac=1, random_state=1)
    again = split_groups(shuffled, 0.1, 0.1, 3)
    assert again.loc[splits.index].equals(splits)
    assert (split_groups(thesis, 0.1, 0.1, 4) != splits).mean() > 0.2


def test_a_view_that_a_split_would_lack_is_named():
    rows = [("tmed2", f"{view}{index}", view) for view in VIEWS for index in range(20)]
    split_groups(make(rows), 0.1, 0.1, 0)
    few = [row for row in rows if row[2] != "PSAX"] + [("tmed2", "one", "PSAX")] * 9
    with pytest.raises(EchosynthError, match="set has no image of PSAX; add patients"):
        split_groups(make(few), 0.1, 0.1, 0)


def test_subsets_are_nested_and_proportional_like_table_3_4(thesis, splits):
    train = thesis[(splits == "train").to_numpy()]
    sizes = [16000, 1000, "all", 2000, 8000, 4000]
    subsets = nested_subsets(train, sizes, 3)
    assert list(subsets) == [str(size) for size in sizes]
    assert subsets["all"] == train["id"].tolist()
    place = {name: index for index, name in enumerate(train["id"])}
    for small, large in zip(["1000", "2000", "4000", "8000"], ["2000", "4000", "8000", "16000"], strict=True):
        assert set(subsets[small]) < set(subsets[large])
    for size, ids in subsets.items():
        assert [place[name] for name in ids] == sorted(place[name] for name in ids)
        part = train[train["id"].isin(ids)]
        assert len(part) == len(ids) == len(set(ids)) == (len(train) if size == "all" else int(size))
        for columns, slack in ((["source", "view"], 1), (["view"], 2), (["source"], 2)):
            expected = train.groupby(columns).size() * len(part) / len(train)
            assert (part.groupby(columns).size() - expected).abs().max() <= slack


def test_subsets_depend_on_the_seed_but_not_on_the_order_of_rows(thesis, splits):
    train = thesis[(splits == "train").to_numpy()]
    first = nested_subsets(train, [1000], 3)["1000"]
    assert set(nested_subsets(train.sample(frac=1, random_state=0), [1000], 3)["1000"]) == set(first)
    assert len(set(nested_subsets(train, [1000], 4)["1000"]) & set(first)) < 200
    # Adding a size leaves the other subsets as they are.
    assert nested_subsets(train, [500, 1000], 3)["1000"] == first


def test_a_size_beyond_the_training_set_is_named():
    train = make([("tmed2", f"{view}{index}", view) for view in VIEWS for index in range(5)])
    with pytest.raises(EchosynthError, match=r"split\.subsets asks for 21 images, but the training set holds 20"):
        nested_subsets(train, ["all", 21], 0)


def test_a_subset_without_a_view_is_named():
    rows = [("tmed2", f"{view}{index}", view) for view in VIEWS for index in range(2 if view == "A2C" else 100)]
    with pytest.raises(EchosynthError, match=r"subset of 10 in split\.subsets has no image of A2C; make it larger"):
        nested_subsets(make(rows), [10], 0)
