"""Equal epochs, as in the thesis, and equal steps side by side: does the answer depend on the budget?"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from echosynth.report.drawing import STYLES, PageFigure, log_places, page_figure, panel
from echosynth.report.formatting import Score, count, decimal, listing, signed, signed_interval
from echosynth.report.tables import Json, Table
from echosynth.report.thesis.classifiers import published, their_size
from echosynth.report.thesis.inputs import Thesis
from echosynth.report.thesis.section import Section
from echosynth.thesis.budgets import ARMS, BUDGETS, CHANGE, QUESTION, REAL, SYNTHETIC, read_effects, with_other_budget

CLAIM = (
    "Every training had 25 epochs, so that 32,000 synthetic images had 25,000 optimisation steps and 1,000 real ones "
    "800. How much of what the synthetic images add (VGG16, 1,000 real images: AUPRC 0.64 to 0.93) their steps add was "
    "not asked."
)
NAMES = {"macro_auprc": "AUPRC", "macro_f1": "F1"}
LOOKS = {"steps": ("#0072B2", "s", "--"), "epochs": ("#CC79A7", "D", "-")}  # of the differences
READINGS = {"higher": "synthetic images help", "lower": "synthetic images cost", "open": "it is open"}


@dataclass(frozen=True)
class Compared:
    """One training subset under both budgets.

    Attributes:
        images: real ones.
        cells: budget -> arm -> the means over its trainings.
        effects: what `echosynth.thesis.budgets.effects` returns; None where an arm was not trained.
    """

    images: int
    cells: Mapping[str, Mapping[str, Json]]
    effects: Json | None


def sections(thesis: Thesis) -> list[Section]:
    """Give the section about both budgets; none where nothing was trained for it."""
    compared = _compared(thesis)
    if not compared:
        return []
    settings, other = thesis.params.classifier, with_other_budget(thesis.params).classifier
    lengths: dict[str, int] = {params.budget: getattr(params, params.budget) for params in (settings, other)}
    title = "Equal epochs, as in the thesis, and equal steps side by side"
    said, tables = verdict(list(compared.values()), lengths), [levels_table(thesis, compared, lengths)]
    figures = budgets_figures(list(compared.values()), lengths, thesis.main.intervals_over)
    if any(one.effects for one in compared.values()):
        tables.append(differences_table(thesis, compared))
    return [Section(("Training budget",), title, CLAIM, said, figures, tables)]


def _compared(thesis: Thesis) -> dict[str, Compared]:
    """Put the main trainings and those of the other budget together, by subset, the smallest first."""
    budgets = thesis.params.classifier.budget, with_other_budget(thesis.params).classifier.budget
    found = {}
    for subset, result in thesis.compared(QUESTION).items():
        if subset not in thesis.main.sizes:
            continue  # left from other parameters
        other = {cell["arm"]: cell for cell in result["cells"]}
        main = {arm: cell for arm in other if (cell := thesis.main.cell(subset, arm))}
        both = all(arm in main for arm in ARMS)
        effects = read_effects(thesis.params, subset) if both else None
        found[subset] = Compared(thesis.main.sizes[subset], dict(zip(budgets, (main, other), strict=True)), effects)
    return found


def verdict(compared: Sequence[Compared], lengths: Mapping[str, int]) -> list[str]:
    """Say whether the answer depends on the budget: a sentence for all subsets, and one for each."""
    with_both = [one for one in compared if one.effects]
    if not with_both:
        return ["Real and synthetic images were not both trained on (arms.real, arms.synthetic)."]
    changed = [one for one in with_both if _reading(_effect(one, CHANGE)) in ("higher", "lower")]
    others = [one for one in with_both if one not in changed]
    parts = []
    if changed:
        parts.append(f"What synthetic images add depends on the budget {_at(changed)}")
    if others:
        parts.append(
            f"{'' if changed else 'What synthetic images add: '}whether it depends on the budget is open {_at(others)}"
        )
    differently = [one for one in with_both if len({_reading(_effect(one, budget)) for budget in BUDGETS}) > 1]
    answer = f"answered differently {_at(differently)}" if differently else "answered alike by both"
    return [f"{'; '.join(parts)}. Whether they help is {answer}.", *(_sentence(one, lengths) for one in with_both)]


def _at(some: Sequence[Compared]) -> str:
    return f"at {listing(count(one.images) for one in some)} real images"


def _sentence(one: Compared, lengths: Mapping[str, int]) -> str:
    """Word one subset, with the steps that its two sets had."""
    parts = []
    for budget in BUDGETS:
        real, made = (count(one.cells[budget][arm]["steps"]) for arm in ARMS)
        steps = f", {real} steps against {made}" if budget == "epochs" else ""
        found = _effect(one, budget)
        parts.append(f"under {_named(budget, lengths)}{steps} {_worded(found)}: {READINGS[_reading(found)]}")
    change = f"epochs less steps {_worded(_effect(one, CHANGE))}"
    return f"{count(one.images)} real images, synthetic less real, macro AUPRC: {'; '.join(parts)}; {change}."


def _named(budget: str, lengths: Mapping[str, int]) -> str:
    return f"equal {budget} ({count(lengths[budget])})"


def _effect(one: Compared, which: str, score: str = "macro_auprc") -> Json:
    found: Json = (one.effects or {})[score][which]
    return found


def _reading(effect: Json) -> str:
    """One of `READINGS`; a difference without an interval is open."""
    low, high = effect["interval"]
    if low is None or high is None:
        return "open"
    return "higher" if low > 0 else "lower" if high < 0 else "open"


def _worded(effect: Json) -> str:
    low = effect["interval"][0]
    return f"{signed(effect['value'])} ({'no interval' if low is None else signed_interval(effect['interval'])})"


def levels_table(thesis: Thesis, compared: Mapping[str, Compared], lengths: Mapping[str, int]) -> Table:
    """Show steps, epochs and scores of every set under both budgets, the thesis's equal epochs beside."""
    batch, rows = thesis.params.classifier.batch_size, []
    for subset, one in compared.items():
        for arm in ARMS:
            cells = [one.cells[budget].get(arm) for budget in BUDGETS]
            if any(cells):
                row = [count(one.images), arm]
                for cell in cells:
                    row += _levels(cell, batch)
                rows.append([*row, *_theirs(thesis, subset, arm)])
    header = ["real images", "data"]
    for budget in BUDGETS:
        header += [f"{_named(budget, lengths)}: steps", "epochs", "AUPRC", "F1"]
    header += ["thesis, 25 epochs: size", "AUPRC", "F1"]
    note = (
        f"{thesis.main.architecture}, means over the seeds. An epoch has as many steps of {batch} images as hold every "
        "image once. The thesis's rows stand as in table 5.4."
    )
    return Table("Real and synthetic images under both budgets", header, rows, labels=2, note=note)


def _levels(cell: Json | None, batch: int) -> list[str]:
    """Steps, epochs and scores of one set; dashes where it was not trained on."""
    if cell is None:
        return ["–"] * 4
    epochs = cell["steps"] / math.ceil(cell["images"] / batch)
    return [count(cell["steps"]), decimal(epochs, 1), decimal(cell["macro_auprc"]), decimal(cell["macro_f1"])]


def _theirs(thesis: Thesis, subset: str, arm: str) -> list[str]:
    size = their_size(subset, thesis.main.sizes)
    row = published(thesis, "5.4", arm, "scratch", size, thesis.main.architecture)
    return ["–"] * 3 if row is None else [size, decimal(row["auprc"]), decimal(row["f1"])]


def differences_table(thesis: Thesis, compared: Mapping[str, Compared]) -> Table:
    """Show what synthetic images add under each budget, and what the budget changes in that."""
    rows = []
    for subset, one in compared.items():
        if one.effects:
            for score, name in NAMES.items():
                row = [count(one.images), name]
                for which in (*BUDGETS, CHANGE):
                    found = _effect(one, which, score)
                    low = found["interval"][0]
                    row += [signed(found["value"]), "–" if low is None else signed_interval(found["interval"])]
                rows.append([*row, signed(_their_difference(thesis, subset, score))])
    header = ["real images", "score"]
    for name in (*(f"equal {budget}" for budget in BUDGETS), "epochs less steps"):
        header += [name, "95 % interval"]
    header.append("thesis, equal epochs")
    note = (
        "Synthetic less real images. All three are of the same draws of patients, with the chance of training, whose "
        "variance over seeds is pooled over the arms of a budget."
    )
    return Table("What synthetic images add, by budget", header, rows, labels=2, note=note)


def _their_difference(thesis: Thesis, subset: str, score: str) -> Score:
    """Synthetic less real in the thesis's table 5.4; None where it has no row."""
    size, column = their_size(subset, thesis.main.sizes), "auprc" if score == "macro_auprc" else "f1"
    made, real = (published(thesis, "5.4", arm, "scratch", size, thesis.main.architecture) for arm in (SYNTHETIC, REAL))
    return None if made is None or real is None else float(made[column] - real[column])


def budgets_figures(compared: Sequence[Compared], lengths: Mapping[str, int], over: str) -> list[PageFigure]:
    """Draw macro AUPRC by the number of real images under each budget, on one scale, and the differences of both.

    Args:
        compared: the subsets, the smallest first.
        lengths: budget -> length of a training.
        over: what the intervals are over, in words.
    """
    bars = f"Bars: 95 % interval over {over}."
    cells = [cell for one in compared for arms in one.cells.values() for cell in arms.values()]
    ends = [end for cell in cells for end in (cell["macro_auprc"], *_bounds(cell)) if end is not None]
    figures = []
    for budget in BUDGETS:
        figure, axes = panel(
            f"Macro AUPRC, {_named(budget, lengths)}", "real images (log scale)", "macro AUPRC, validation"
        )
        for arm in ARMS:
            there = [(one.images, cell) for one in compared if (cell := one.cells[budget].get(arm))]
            values = [cell["macro_auprc"] for _, cell in there]
            axes.plot([images for images, _ in there], values, label=arm, **STYLES[arm].options())
            for images, cell in there:
                _bar(axes, images, _bounds(cell), STYLES[arm].colour)
        if ends:
            axes.set_ylim(min(ends) - 0.02, max(ends) + 0.02)
        axes.legend(loc="lower right")
        log_places(axes, [one.images for one in compared])
        alt = f"Macro AUPRC of real and synthetic images under equal {budget}; numbers in the table below"
        figures.append(page_figure(figure, alt, f"{bars} Both budgets on one scale."))
    with_both = [one for one in compared if one.effects]
    return [*figures, _differences_figure(with_both, bars)] if with_both else figures


def _differences_figure(compared: Sequence[Compared], bars: str) -> PageFigure:
    figure, axes = panel("Synthetic less real images", "real images (log scale)", "difference in macro AUPRC")
    axes.axhline(0, color="#57606a", linewidth=1.2)
    for aside, (budget, (colour, marker, line)) in zip((0.97, 1.03), LOOKS.items(), strict=True):
        found = [(one.images * aside, _effect(one, budget)) for one in compared]
        places, values = [place for place, _ in found], [effect["value"] for _, effect in found]
        axes.plot(places, values, color=colour, marker=marker, linestyle=line, ms=6.5, label=f"equal {budget}")
        for place, effect in found:
            _bar(axes, place, effect["interval"], colour)
    log_places(axes, [one.images for one in compared])
    axes.legend(loc="upper right")
    alt = "Difference of synthetic to real images in macro AUPRC under both budgets; numbers in the table below"
    return page_figure(figure, alt, f"{bars} Where it crosses 0, the direction is open.")


def _bounds(cell: Json) -> Sequence[Score]:
    found: Sequence[Score] = cell.get("interval", {}).get("macro_auprc") or ()
    return found


def _bar(axes: Axes, place: float, bounds: Sequence[Score], colour: str) -> None:
    """Draw an interval; nothing where there is none."""
    if bounds and bounds[0] is not None and bounds[1] is not None:
        axes.vlines(place, bounds[0], bounds[1], colors=colour, linewidth=1.6)
