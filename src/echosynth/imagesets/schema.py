"""The tables that stages hand to each other: what each column may hold, checked whenever one is written or read."""

from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pandera.pandas as pa

from echosynth.common.errors import EchosynthError
from echosynth.common.views import VIEWS

REMEDY: Final = "run `dvc repro` to make it anew"
TYPE_WORDS: Final = {"str": "text", "int64": "a whole number", "float64": "a finite number", "bool": "True or False"}


def _words(pattern: str, words: str, *checks: pa.Check) -> pa.Column:
    matching = pa.Check(lambda values: values.str.fullmatch(pattern).astype(bool), error=words)
    return pa.Column("str", [matching, *checks])


def _choice(*values: str) -> pa.Column:
    names = ", ".join(value or "(empty)" for value in values)
    return pa.Column("str", pa.Check.isin(values, error=f"one of {names}"))


def _whole(least: int) -> pa.Column:
    return pa.Column("int64", pa.Check.ge(least, error=f"{least} or more"))


def _between(low: float, high: float) -> pa.Column:
    return pa.Column("float64", pa.Check.in_range(low, high, error=f"from {low:g} to {high:g}"))


def _id(unique: bool = False) -> pa.Column:
    # Ids name members of the ZIP: nothing that could leave a folder.
    no_repeat = pa.Check(lambda values: ~values.duplicated(), error="different in every row")
    return _words("[A-Za-z0-9_-]+", "letters, digits, - and _", *([no_repeat] if unique else []))


def _filled() -> pa.Column:
    return _words(".+", "not empty")


def _schema(columns: dict[str, pa.Column], *checks: pa.Check) -> pa.DataFrameSchema:
    """A schema of exactly these columns. A check across columns bears the name of the column that it blames."""
    return pa.DataFrameSchema(columns, checks=list(checks), strict=True, ordered=True)


SYNTHETIC_ID: Final = "synthetic-"  # what the ids of synthetic images begin with, and no others
MANIFEST: Final = _schema(
    {
        "id": _id(unique=True),  # unique in all sets: "<source>-<hash>[-<frame>]" or "synthetic-<set>-<number>"
        "source": _id(),
        "view": _choice(*VIEWS),
        "group": _filled(),  # salted hash of the patient (or study, cine, file)
        "group_kind": _choice("patient", "study", "cine", "file", "none"),
        "official_split": _choice("", "train", "validation", "test"),
        "moment": _choice("", "ED", "ES"),
        "frame": _whole(0),  # number of the frame in its file, from 0
        "frames": _whole(1),  # frames in the file
        "width": _whole(1),  # native size in pixels
        "height": _whole(1),
        "pixels": _words("[0-9a-f]{16}", "16 hex digits"),  # see `echosynth.imagesets.store.pixel_hash`
        "synthetic": pa.Column("bool"),
    },
    pa.Check(lambda table: table["frame"] < table["frames"], name="frame", error="below frames"),
    pa.Check(
        lambda table: (table["group_kind"] == "none") == table["synthetic"],
        name="group_kind",
        error="none for synthetic images and for no others",
    ),
)
ASSIGNMENT: Final = _schema(
    {"id": _id(unique=True), "source": _id(), "split": _choice("train", "validation", "test")},
)
SUBSET: Final = _schema({"id": _id(unique=True)})
DUPLICATES: Final = _schema(
    {
        "first": _id(),
        "second": _id(),
        "kind": _choice("exact", "near"),
        "correlation": _between(-1, 1),
        "same_group": pa.Column("bool"),
        "same_view": pa.Column("bool"),
    },
    pa.Check(lambda table: table["first"] != table["second"], name="second", error="another image than first"),
    pa.Check(lambda table: ~table.duplicated(["first", "second"]), name="second", error="paired with first only once"),
)
FILES: Final = _schema(
    {
        "id": _id(unique=True),
        "view": _choice(*VIEWS),
        "group": _filled(),  # salted hash of the patient (or study, cine, file)
        "group_kind": _choice("patient", "study", "cine", "file"),
        "official_split": _choice("", "train", "validation", "test"),
        "moment": _choice("", "ED", "ES"),
        "marked": _words("|(ED|ES):[0-9]+( (ED|ES):[0-9]+)*", "moments and numbers of frames, such as ED:12 ES:30"),
        "frames": _whole(0),  # frames in the file; 0: it cannot be read
        "width": _whole(0),  # native size in pixels
        "height": _whole(0),
    },
)
RECORDINGS: Final = _schema(
    {
        "id": _id(unique=True),
        "group": _id(),  # id of the recording that founded its group
        "grey_share": _between(0, 1),
        "coloured_share": _between(0, 1),
        "proposal": pa.Column("str"),  # why it should be dropped; empty: usable
        "statistic": _between(0, 1),  # of the Kolmogorov-Smirnov test against the founder
        "p_value": _between(0, 1),
    }
)
GROUPS: Final = _schema(
    {
        "group": _id(unique=True),
        "size": _whole(1),
        "colourfulness": _between(0, 255),
        "flagged": _whole(0),
        "proposal": _choice("keep", "drop"),
        "reason": pa.Column("str"),
    },
    pa.Check(lambda table: table["flagged"] <= table["size"], name="flagged", error="no more than size"),
)


def _typed(values: "pd.Series[Any]", dtype: str) -> tuple["pd.Series[Any]", "pd.Series[bool]"]:
    """The values as `dtype` and which of them are no such thing: nothing is rounded, guessed or filled in."""
    if dtype == "float64":
        numbers = pd.to_numeric(values, errors="coerce").astype("float64")
        return numbers, ~numbers.between(float("-inf"), float("inf"), inclusive="neither")
    if values.dtype == dtype and not values.hasnans:
        return values, pd.Series(False, values.index)
    if dtype == "str":
        return values, ~values.map(lambda value: isinstance(value, str)).astype(bool)
    text = values.astype("str")
    pattern = "True|False" if dtype == "bool" else r"-?[0-9]{1,18}"
    wrong = ~text.str.fullmatch(pattern, na=False).astype(bool)
    if wrong.any():
        return values, wrong
    return text == "True" if dtype == "bool" else text.astype("int64"), wrong


def _refuse(where: str, column: str, value: Any, row: int, wanted: str, remedy: str) -> EchosynthError:
    value = value.item() if isinstance(value, np.generic) else value
    return EchosynthError(f"{where}: {column} holds {value!r} in row {row + 1}, but must be {wanted}; {remedy}")


def check(schema: pa.DataFrameSchema, frame: pd.DataFrame, where: str, remedy: str = REMEDY) -> pd.DataFrame:
    """Check a table against its schema.

    Args:
        schema: one of this module's.
        frame: the table; its columns may stand in any order, and its values may be text, as read from a CSV.
        where: file or table, for the message.
        remedy: what to do when the table is wrong.

    Returns:
        The table with the columns in the schema's order and of its types, rows numbered from 0.

    Raises:
        EchosynthError: one sentence that names `where`, the column, the first offending value and its row, what the
        column must hold, and `remedy`.
    """
    missing = [name for name in schema.columns if name not in frame]
    unknown = [str(name) for name in frame if name not in schema.columns]
    if missing or unknown:
        found = f"missing: {', '.join(missing) or 'none'}; unknown: {', '.join(unknown) or 'none'}"
        raise EchosynthError(f"{where} has wrong columns ({found}); {remedy}")
    dtypes = {name: str(column.dtype).split("[")[0].replace("string", "str") for name, column in schema.columns.items()}
    columns = {}
    for name, dtype in dtypes.items():
        values = frame[name].reset_index(drop=True)
        columns[name], wrong = _typed(values, dtype)
        if wrong.any():
            row = int(wrong.to_numpy().argmax())
            raise _refuse(where, name, values.iloc[row], row, TYPE_WORDS[dtype], remedy)
    typed = pd.DataFrame(columns).astype(dtypes)
    try:
        return schema.validate(typed)
    except pa.errors.SchemaError as error:
        row, name = int(error.failure_cases["index"].min()), str(error.schema.name or error.check.name)
        raise _refuse(where, name, typed[name].iloc[row], row, str(error.check.error), remedy) from None


def read_csv(path: Path | str, schema: pa.DataFrameSchema, remedy: str = REMEDY) -> pd.DataFrame:
    """Read a table of another stage and check it.

    Raises:
        EchosynthError: the file is missing, is no CSV or does not fit `schema`; see `check`.
    """
    path = Path(path)
    if not path.is_file():
        raise EchosynthError(f"{path} is missing; run `dvc repro` to make it")
    try:
        # As text: pandas would make a number of a hash such as 00123e05, and NaN of a patient called NA.
        frame = pd.read_csv(path, dtype="str", na_filter=False)
    except (ValueError, UnicodeDecodeError) as error:  # pandas' own errors are ValueErrors
        reason = " ".join(str(error).split())
        raise EchosynthError(f"{path} is no valid CSV ({reason}); {remedy}") from None
    if not isinstance(frame.index, pd.RangeIndex):
        raise EchosynthError(f"{path} is no valid CSV (rows have more cells than the header); {remedy}")
    return check(schema, frame, str(path), remedy)


def check_ids(ids: Collection[str], known: Collection[str], where: str, there: str, remedy: str = REMEDY) -> None:
    """Check that every id of one table stands in another.

    Args:
        ids: to be found.
        known: among these.
        where: the table of `ids`, for the message.
        there: what holds `known`.
        remedy: what to do when one is missing.

    Raises:
        EchosynthError: naming the first id, in the order of `ids`, that is not known.
    """
    found = set(known)
    lost = next((name for name in ids if name not in found), None)
    if lost is not None:
        raise EchosynthError(f"{where}: image {lost} is not in {there}; {remedy}")
