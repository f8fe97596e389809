"""The study's tables 3.1, 3.2 and 3.4 from a manifest with its counts: every share within half a percentage point."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from echosynth.common.views import VIEWS
from echosynth.splits.split import SPLITS, nested_subsets, split_groups, split_rules

VIDEOS = {("echonet-lvh", "PLAX"): 11_182, ("echonet-dynamic", "A4C"): 10_026}
STILLS = {"A2C": 3_432, "A4C": 4_505, "PLAX": 7_043, "PSAX": 2_727}  # of TMED-2
PATIENTS, MOST = 1_280, 15
BY_SOURCE = {  # table 3.1
    "train": {"echonet-lvh": 8_945, "echonet-dynamic": 8_020, "tmed2": 14_165},
    "validation": {"echonet-lvh": 1_118, "echonet-dynamic": 1_002, "tmed2": 1_775},
    "test": {"echonet-lvh": 1_119, "echonet-dynamic": 1_004, "tmed2": 1_767},
}
BY_VIEW = {  # table 3.2
    "train": {"A2C": 2_752, "A4C": 11_635, "PLAX": 14_573, "PSAX": 2_170},
    "validation": {"A2C": 345, "A4C": 1_465, "PLAX": 1_807, "PSAX": 278},
    "test": {"A2C": 335, "A4C": 1_431, "PLAX": 1_845, "PSAX": 279},
}
SOURCES = ("echonet-dynamic", "echonet-lvh", "tmed2")
SUBSETS = {  # table 3.4, by view and by source
    1_000: ((89, 374, 468, 69), (253, 289, 458)),
    2_000: ((176, 748, 937, 139), (515, 574, 911)),
    4_000: ((354, 1_496, 1_872, 278), (1_045, 1_162, 1_793)),
    8_000: ((707, 2_990, 3_745, 558), (2_070, 2_289, 3_641)),
    16_000: ((1_415, 5_980, 7_490, 1_115), (4_077, 4_576, 7_347)),
    31_130: ((2_752, 11_635, 14_573, 2_170), (8_020, 8_945, 14_165)),
}
HALF_A_POINT = 0.005 + 1e-9  # half a point itself is within


def uneven(rng: np.random.Generator, total: int) -> np.ndarray:
    """Images of one view for each patient: 0 to `MOST`, some patients with many and most with few, `total` in all."""
    weights = rng.gamma(0.7, size=PATIENTS)
    counts = np.zeros(PATIENTS, int)
    while (left := total - counts.sum()) > 0:
        room = np.where(counts < MOST, weights, 0)
        counts = np.minimum(counts + rng.multinomial(left, room / room.sum()), MOST)
    return counts


def assert_shares(ours: object, theirs: object, whole: object) -> None:
    """Counts have the shares of the study's and of the whole that they are drawn from, to half a point.

    Two of the study's own draws are further than that from the whole: the views of its test set (0.6 points) and the
    sources of its 4,000 (0.7). There ours may be as far from the study's as the study's are from the whole.
    """
    drawn, printed, all_of_it = (np.asarray(counts) / np.sum(np.asarray(counts)) for counts in (ours, theirs, whole))
    assert np.abs(drawn - all_of_it).max() <= HALF_A_POINT
    stray = np.abs(printed - all_of_it)
    assert stray.max() < 0.007
    assert (np.abs(drawn - printed) <= np.maximum(HALF_A_POINT, stray + 0.0005)).all()


@pytest.fixture(scope="module")
def study() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    parts = [
        pd.DataFrame({"source": source, "view": view, "group": [f"{n:012x}" for n in range(count)]})
        for (source, view), count in VIDEOS.items()
    ]
    for view, total in STILLS.items():
        patients = np.repeat([f"{patient:012x}" for patient in range(PATIENTS)], uneven(rng, total))
        parts.append(pd.DataFrame({"source": "tmed2", "view": view, "group": patients}))
    table = pd.concat(parts, ignore_index=True)
    table["id"] = [f"{source}-{row:012x}" for row, source in enumerate(table["source"])]
    kinds = np.where(table["source"] == "tmed2", "patient", "file")
    return table.assign(group_kind=kinds, official_split=rng.choice(SPLITS, len(table)))


@pytest.fixture(scope="module")
def splits(study: pd.DataFrame) -> pd.Series:
    assert {rule.rule for rule in split_rules(study, "never").values()} == {"group"}
    return split_groups(study, 0.1, 0.1, 3)


@pytest.fixture(scope="module")
def train(study: pd.DataFrame, splits: pd.Series) -> pd.DataFrame:
    return study[(splits == "train").to_numpy()]


def test_the_manifest_has_the_counts_of_the_study(study: pd.DataFrame) -> None:
    assert len(study) == 38_915
    assert study["view"].value_counts()[list(VIEWS)].tolist() == [3_432, 14_531, 18_225, 2_727]
    stills = study[study["source"] == "tmed2"]
    by_patient = stills.groupby(["group", "view"]).size()
    assert stills["group"].nunique() > 1_250 and by_patient.max() == MOST and by_patient.std() > 3


def test_no_group_is_in_two_splits(study: pd.DataFrame, splits: pd.Series) -> None:
    assert list(splits.index) == list(study["id"])
    assert splits.groupby([study["source"].to_numpy(), study["group"].to_numpy()]).nunique().max() == 1


@pytest.mark.parametrize(("column", "table"), [("source", BY_SOURCE), ("view", BY_VIEW)])
def test_tables_3_1_and_3_2(
    study: pd.DataFrame, splits: pd.Series, column: str, table: dict[str, dict[str, int]]
) -> None:
    found = pd.crosstab(study[column], splits.to_numpy())[list(SPLITS)]
    wanted = pd.DataFrame(table).loc[found.index, list(SPLITS)]
    assert found.sum(axis=1).equals(wanted.sum(axis=1).rename_axis(found.index.name))
    # The share of every source or view that is in a split, of each cell in the whole, and of each split.
    for ours, theirs in (
        (found.div(found.sum(axis=1), axis=0), wanted.div(wanted.sum(axis=1), axis=0)),
        (found / len(study), wanted / len(study)),
        (found.sum() / len(study), wanted.sum() / len(study)),
    ):
        assert np.abs(ours - theirs).to_numpy().max() <= HALF_A_POINT
    # The share of every source or view within a split.
    for split in SPLITS:
        assert_shares(found[split], wanted[split], wanted.sum(axis=1))


def test_shares_of_source_and_view_together(study: pd.DataFrame, splits: pd.Series) -> None:
    shares = pd.crosstab([study["source"], study["view"]], splits.to_numpy(), normalize="index")
    target = pd.Series({"train": 0.8, "validation": 0.1, "test": 0.1})
    assert (shares - target).abs().to_numpy().max() <= HALF_A_POINT


def test_images_a_patient_are_alike_in_all_splits(study: pd.DataFrame, splits: pd.Series) -> None:
    """Were small groups kept for the small splits, their patients would be other patients."""
    table = study.assign(split=splits.to_numpy())
    sizes = table[table["source"] == "tmed2"].groupby(["split", "group"]).size().groupby("split").mean()
    assert sizes.max() / sizes.min() < 1.2


def test_the_order_of_rows_does_not_matter(study: pd.DataFrame, splits: pd.Series, train: pd.DataFrame) -> None:
    again = split_groups(study.sample(frac=1, random_state=1), 0.1, 0.1, 3)
    assert again.loc[splits.index].equals(splits)
    shuffled = nested_subsets(train.sample(frac=1, random_state=1), [1000, 16000], 3)
    for size, ids in nested_subsets(train, [1000, 16000], 3).items():
        assert set(ids) == set(shuffled[size])


def test_table_3_4(train: pd.DataFrame) -> None:
    subsets = nested_subsets(train, [*list(SUBSETS)[:-1], "all"], 3)
    assert subsets["all"] == train["id"].tolist()
    inside = [set(ids) for ids in subsets.values()]
    assert all(small < large for small, large in pairwise(inside))
    place = {name: row for row, name in enumerate(train["id"])}
    for size, (by_view, by_source) in SUBSETS.items():
        ids = subsets["all" if size == 31_130 else str(size)]
        assert len(ids) == (len(train) if size == 31_130 else size)
        assert [place[name] for name in ids] == sorted(place[name] for name in ids)
        part = train[train["id"].isin(ids)]
        for column, names, counts in (("view", VIEWS, by_view), ("source", SOURCES, by_source)):
            ours = part[column].value_counts()[list(names)]
            assert_shares(ours, counts, SUBSETS[31_130][column == "source"])


def test_a_larger_table_of_sizes_leaves_the_others_as_they_are(train: pd.DataFrame) -> None:
    assert nested_subsets(train, [500, 1000], 3)["1000"] == nested_subsets(train, [1000], 3)["1000"]
