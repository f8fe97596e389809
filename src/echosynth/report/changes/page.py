"""What changed between two states of the project, as a Markdown page for a pull request: from git and DVC alone."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from echosynth.common.files import atomic_folder, check_replaceable
from echosynth.config.parameters import flat_tree
from echosynth.report.changes.figures import Group, draw
from echosynth.report.changes.states import Data, ProjectState
from echosynth.report.formatting import count, decimal, plural, signed

PAGE = "report.md"
MARK = "<!-- Written by `echosynth compare`, which replaces this folder when it is named again. -->"
ABSENT = "–"
# The scores that a reader looks for first, by the beginning of their names.
HEADLINES = (
    "test.macro_auprc",
    "test.macro_f1",
    "test.recall_",
    "shift.",
    "view_agreement.",
    "kernel_echo.",
    "fid_echo.",
    "fid_inception.",
    "fid_imagenet.",
    "auprc.",
)
LOWER_IS_BETTER = (
    "test.loss",
    "shift.loss",
    "near_copies.",
    "kernel_echo.",
    "fid_echo.",
    "fid_inception.",
    "fid_imagenet.",
)
HIGHER_IS_BETTER = ("test.", "shift.", "best.", "auprc.", "rare_recall.", "view_agreement.")
DISCLAIMER = "Research software, no medical device: not for diagnosis or treatment."


def write_page(old: ProjectState, new: ProjectState, folder: Path) -> list[str]:
    """Write the page and its pictures.

    Args:
        old: what is compared against.
        new: what is compared.
        folder: a new folder, or one that an earlier call wrote, which is replaced.

    Returns:
        A sentence on each picture that could not be drawn; the page holds them too.

    Raises:
        EchosynthError: the folder holds something else or cannot be written, or DVC's cache is damaged.
    """
    check_replaceable(folder, _ours(folder))
    groups, missing = draw(old, new)
    with atomic_folder(folder) as part:
        (part / PAGE).write_text(f"{MARK}\n\n{render_page(old, new, groups, missing)}", encoding="utf-8", newline="\n")
        for picture in (picture for group in groups for picture in group.pictures):
            (part / picture.file).write_bytes(picture.png)
    return missing


def render_page(
    old: ProjectState, new: ProjectState, groups: Sequence[Group] | None = None, missing: Sequence[str] = ()
) -> str:
    """Write the comparison as Markdown.

    Args:
        old: what is compared against.
        new: what is compared.
        groups: the pictures, whose files lie beside the page; None: text and tables alone.
        missing: sentences on pictures that could not be drawn.
    """
    parts = [
        [f"# What changes from {old.name} to {new.name}"],
        _compared(old, new),
        ["## Parameters", *_parameters(old, new)],
        ["## Scores", *_scores(old, new)],
        ["## Data", *_data(old, new)],
        *([["## Pictures", *_pictures(groups, missing)]] if groups is not None else []),
        [f"{DISCLAIMER} Pictures are plots and synthetic images, never a patient's."],
    ]
    return "\n\n".join(block for part in parts for block in part) + "\n"


def _ours(folder: Path) -> set[str]:
    """Files of an earlier page in a folder: none where the page is another's."""
    try:
        text = (folder / PAGE).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return set()
    return {PAGE, *re.findall(r"\]\(([^()]+\.png)\)", text)} if text.startswith(MARK) else set()


def _compared(old: ProjectState, new: ProjectState) -> list[str]:
    """What the two states are, and what speaks against comparing them."""
    sides = (old, new)
    rows = [
        ["state", *(side.name for side in sides)],
        ["commit", *(f"{side.commit[:7]}{' with changes' if side.dirty else ''}" for side in sides)],
        ["experiment", *(", ".join(side.experiments) or ABSENT for side in sides)],
    ]
    warnings = [
        f"**The scores of {side.name} were not made with its params.yaml: run `dvc repro`, and compare again.**"
        for side in sides
        if not side.belongs
    ]
    return [_table(["", "old", "new"], rows), *warnings]


def _parameters(old: ProjectState, new: ProjectState) -> list[str]:
    before, after = flat_tree(old.params), flat_tree(new.params)
    changed = [key for key in _union(after, before) if not _same(before, after, key)]
    rows = [[f"`{key}`", *_values(before, after, key)] for key in changed]
    return _block(["parameter", "old", "new"], rows, len({*before, *after}), "parameter")


def _same(before: Mapping[str, Any], after: Mapping[str, Any], key: str) -> bool:
    """Whether both hold an equal value; true is not 1."""
    if key not in before or key not in after:
        return False
    one, other = before[key], after[key]
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _values(before: Mapping[str, Any], after: Mapping[str, Any], key: str) -> list[str]:
    """Both values as code; text in quotes where it would look like the other value, such as 8 and "8"."""
    held = [tree[key] for tree in (before, after) if key in tree]
    plain = [value if isinstance(value, str) else json.dumps(value, default=str) for value in held]
    if len(set(plain)) < len(plain):
        plain = [json.dumps(value, default=str) for value in held]
    shown = iter(f"`{text}`" for text in plain)
    return [next(shown) if key in tree else ABSENT for tree in (before, after)]


def _scores(old: ProjectState, new: ProjectState) -> list[str]:
    names = _union(new.scores, old.scores)
    names.sort(key=lambda name: next((rank for rank, start in enumerate(HEADLINES) if name.startswith(start)), 99))
    changed = [name for name in names if old.scores.get(name) != new.scores.get(name)]
    rows = [[name, *_difference(name, old.scores.get(name), new.scores.get(name))] for name in changed]
    block = _block(["score", "old", "new", "difference", "in words"], rows, len(names), "score", numbers=(1, 2, 3))
    if rows:
        block.append("A difference of two runs may be chance: `reports/index.html` has intervals.")
    missing = [
        f"`{name.removeprefix('absent.')}` of {side.name} is absent: the set has {reason}."
        for side in (old, new)
        for name, reason in side.reasons.items()
    ]
    return [*block, *missing]


def _difference(name: str, before: float | None, after: float | None) -> list[str]:
    """Old and new value, difference, and what it means."""
    digits = 2 if max(abs(before or 0), abs(after or 0)) >= 10 else 4
    shown = [decimal(before, digits), decimal(after, digits)]
    if before is None or after is None:
        return [*shown, ABSENT, "new" if before is None else "gone"]
    difference = after - before
    words = "higher" if difference > 0 else "lower"
    if name.startswith((*LOWER_IS_BETTER, *HIGHER_IS_BETTER)):
        good = (difference < 0) == name.startswith(LOWER_IS_BETTER)
        words += ", better" if good else ", worse"
    return [*shown, signed(difference, digits), words]


def _data(old: ProjectState, new: ProjectState) -> list[str]:
    """Outputs and inputs with another hash, and the modules that differ."""
    blocks = []
    for noun, before, after in (("output", old.outputs, new.outputs), ("input", old.inputs, new.inputs)):
        paths = _union(after, before)
        changed = [path for path in paths if _hash(before.get(path)) != _hash(after.get(path))]
        rows = [
            [(after.get(path) or before[path]).stage, f"`{path}`", _held(before.get(path)), _held(after.get(path))]
            for path in changed
        ]
        blocks += _block(["stage", noun, "old", "new"], rows, len(paths), noun)
    modules = [name for name in _union(new.code, old.code) if old.code.get(name) != new.code.get(name)]
    code = f"Code that stages depend on differs: {', '.join(f'`{name}`' for name in modules)}."
    return [*blocks, code if modules else "The code that stages depend on is the same."]


def _hash(data: Data | None) -> str:
    return data.md5 if data else ""


def _held(data: Data | None) -> str:
    """Hash, number of files and size."""
    return f"{data.md5[:7]}, {plural(data.files, 'file')}, {_size(data.size)}" if data else ABSENT


def _size(size: float) -> str:
    """Bytes in a unit that suits them."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.4g} GB"


def _pictures(groups: Sequence[Group], missing: Sequence[str]) -> list[str]:
    blocks = ["What did not change is not shown."]
    for group in groups:
        images = [f"![{picture.alt}]({picture.file})" for picture in group.pictures]
        heads = [picture.side for picture in group.pictures]
        shown = _table(heads, [images]) if any(heads) else images[0]
        blocks += [f"### {group.title}", shown, *([group.note] if group.note else [])]
    return [*blocks, *(f"Not shown: {sentence}." for sentence in missing)]


def _union(first: Iterable[str], second: Iterable[str]) -> list[str]:
    """The names of both, in the order of the first, then those of the second alone."""
    return list(dict.fromkeys([*first, *second]))


def _block(
    header: Sequence[str], rows: Sequence[Sequence[str]], total: int, noun: str, numbers: Sequence[int] = ()
) -> list[str]:
    """How many of all differ, and these as a table."""
    if not rows:
        return [f"{plural(total, noun)}, {'no difference' if total else 'so nothing to compare'}."]
    return [f"{count(len(rows))} of {plural(total, noun)} differ:", _table(header, rows, numbers)]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    """Write a Markdown table that can be read on a terminal too; the columns `numbers` stand at the right."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    sides = ["right" if place in numbers else "left" for place in range(len(header))]
    return tabulate(cells, header, tablefmt="pipe", disable_numparse=True, colalign=sides)
