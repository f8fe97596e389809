"""Tables are checked column by column, and what is wrong is said in one sentence."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from echosynth.common.errors import EchosynthError
from echosynth.imagesets.schema import DUPLICATES, GROUPS, MANIFEST, RECORDINGS, SUBSET, check, check_ids, read_csv


def manifest(count: int = 4, **change: Any) -> pd.DataFrame:
    rows = {
        "id": [f"tmed2-{index:04x}" for index in range(count)],
        "source": "tmed2",
        "view": "A2C",
        # A hash may look like a number and must not become one.
        "group": [f"00123{index}e05" for index in range(count)],
        "group_kind": "patient",
        "official_split": "",
        "moment": "ED",
        "frame": 2,
        "frames": 3,
        "width": 112,
        "height": 96,
        "pixels": "0123456789abcdef",
        "synthetic": False,
    }
    return pd.DataFrame(rows | change)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"view": "PLAXX"}, "view holds 'PLAXX' in row 1, but must be one of A2C, A4C, PLAX, PSAX"),
        ({"group_kind": "room"}, "group_kind holds 'room'"),
        ({"official_split": "val"}, r"official_split holds 'val' in row 1, but must be one of \(empty\), train"),
        ({"moment": "ed"}, "moment holds 'ed'"),
        ({"id": ["a", "b", "a", "b"]}, "id holds 'a' in row 3, but must be different in every row"),
        ({"id": ["a", "b", "../c", "d"]}, "id holds '../c' in row 3, but must be letters, digits"),
        ({"group": ["x", "", "", "x"]}, "group holds '' in row 2, but must be not empty"),
        ({"group": 7}, "group holds 7 in row 1, but must be text"),
        ({"group": ["x", None, "x", "x"]}, "group holds nan in row 2, but must be text"),
        ({"frames": "many"}, "frames holds 'many' in row 1, but must be a whole number"),
        ({"frame": [0, 1, 1.5, 0]}, "frame holds 0.0 in row 1, but must be a whole number"),
        ({"frame": [0, 1, None, 0]}, "frame holds .* must be a whole number"),
        ({"frame": -1}, "frame holds -1 in row 1, but must be 0 or more"),
        ({"frame": [0, 3, 0, 0]}, "frame holds 3 in row 2, but must be below frames"),
        ({"width": 0}, "width holds 0 in row 1, but must be 1 or more"),
        ({"pixels": "0123456789ABCDEF"}, "pixels holds '0123456789ABCDEF' in row 1, but must be 16 hex digits"),
        ({"pixels": "0123456789abcdef\n"}, "pixels holds"),
        ({"synthetic": 1}, "synthetic holds 1 in row 1, but must be True or False"),
        ({"synthetic": True}, "group_kind holds 'patient' in row 1, but must be none for synthetic images"),
        ({"group_kind": "none"}, "group_kind holds 'none' in row 1"),
        ({"extra": 1}, r"wrong columns \(missing: none; unknown: extra\)"),
    ],
)
def test_a_wrong_manifest_is_one_sentence(change: dict[str, Any], words: str) -> None:
    check(MANIFEST, manifest(), "here")
    with pytest.raises(EchosynthError, match=f"^here.*{words}.*; mend it$") as caught:
        check(MANIFEST, manifest(**change), "here", "mend it")
    assert caught.value.__cause__ is None


def test_columns_are_named_and_put_in_order() -> None:
    with pytest.raises(EchosynthError, match=r"missing: group, pixels; unknown: none"):
        check(MANIFEST, manifest().drop(columns=["group", "pixels"]), "here")
    turned = manifest().iloc[::-1, ::-1]
    found = check(MANIFEST, turned, "here")
    assert list(found) == list(MANIFEST.columns)
    assert found["id"].tolist() == turned["id"].tolist() and found.index.tolist() == [0, 1, 2, 3]


def test_what_is_written_as_csv_is_read(tmp_path: Path) -> None:
    table = check(MANIFEST, manifest(group=["007", "NA", "1e5", "True"]), "here")
    table.to_csv(tmp_path / "manifest.csv", index=False)
    pd.testing.assert_frame_equal(read_csv(tmp_path / "manifest.csv", MANIFEST), table)


@pytest.mark.parametrize("schema", [MANIFEST, DUPLICATES, RECORDINGS, GROUPS, SUBSET])
def test_a_table_may_have_no_rows(tmp_path: Path, schema: Any) -> None:
    pd.DataFrame(columns=list(schema.columns)).to_csv(tmp_path / "table.csv", index=False)
    assert len(read_csv(tmp_path / "table.csv", schema)) == 0


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is no valid CSV"),
        (b"id\n\xff\xfe\n", "is no valid CSV"),
        (b'id\n"a\n', "is no valid CSV"),
        (b"id\na,b\n", "more cells than the header"),
        (b"name\na\n", "missing: id; unknown: name"),
        (b"id\na\na\n", "different in every row"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "subset.csv"
    with pytest.raises(EchosynthError, match=r"subset\.csv is missing; run `dvc repro`"):
        read_csv(path, SUBSET)
    path.write_bytes(content)
    with pytest.raises(EchosynthError, match=rf"subset\.csv.*{words}.*; run `dvc repro`"):
        read_csv(path, SUBSET)


def test_rules_across_columns_of_the_other_tables() -> None:
    pair = {"first": "a", "second": "b", "kind": "near", "correlation": 0.98, "same_group": False, "same_view": True}
    check(DUPLICATES, pd.DataFrame([pair]), "here")
    for change, words in (
        ({"second": "a"}, "second holds 'a' in row 1, but must be another image"),
        ({"correlation": float("nan")}, "correlation holds nan in row 1, but must be a finite number"),
        ({"correlation": 1.5}, "correlation holds 1.5 in row 1, but must be from -1 to 1"),
    ):
        with pytest.raises(EchosynthError, match=words):
            check(DUPLICATES, pd.DataFrame([pair | change]), "here")
    with pytest.raises(EchosynthError, match="second holds 'b' in row 2, but must be paired with first only once"):
        check(DUPLICATES, pd.DataFrame([pair, pair]), "here")
    group = {"group": "a", "size": 3, "colourfulness": 12.5, "flagged": 4, "proposal": "keep", "reason": ""}
    with pytest.raises(EchosynthError, match="flagged holds 4 in row 1, but must be no more than size"):
        check(GROUPS, pd.DataFrame([group]), "here")
    recording = {"id": "a", "group": "a", "grey_share": 1, "coloured_share": 0, "proposal": ""}
    check(RECORDINGS, pd.DataFrame([recording | {"statistic": 0.0, "p_value": 1.0}]), "here")
    with pytest.raises(EchosynthError, match=r"p_value holds 2\.0"):
        check(RECORDINGS, pd.DataFrame([recording | {"statistic": 0.0, "p_value": 2.0}]), "here")


def test_ids_of_one_table_must_stand_in_the_other() -> None:
    check_ids(["a", "b"], ["b", "a", "c"], "x.csv", "y.csv")
    with pytest.raises(EchosynthError, match=r"x\.csv: image d is not in y\.csv; run"):
        check_ids(["a", "d", "e"], ["a"], "x.csv", "y.csv")
