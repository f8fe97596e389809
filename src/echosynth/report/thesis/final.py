"""The final model on the test set and under domain shift: table 3.3, figures 5.20 and 5.21."""

from echosynth.common.views import VIEWS
from echosynth.report.formatting import count, decimal, interval, listing
from echosynth.report.study import tables
from echosynth.report.tables import Json
from echosynth.report.thesis.inputs import Thesis
from echosynth.report.thesis.section import Matrix, Section


def sections(thesis: Thesis) -> list[Section]:
    """Give the sections about them."""
    return [_test(thesis), _shift(thesis)]


def _test(thesis: Thesis) -> Section:
    scores, best = thesis.main.final["test"], thesis.main.final["best"]
    bounds = interval((scores.get("interval") or {}).get("macro_auprc"))
    reached = f"{decimal(scores['macro_auprc'])}{f' ({bounds})' if bounds else ''}"
    return Section(
        ("Figure 5.20",),
        "The final model on the test set",
        "The classifier with the best validation AUPRC of all (32,000 real and 22,400 synthetic images) has AUPRC "
        "0.9982 on the test set.",
        [
            f"{best['arm']}, {best['subset']}, {best['architecture']}, chosen by its validation AUPRC: {reached} on "
            "the test set."
        ],
        tables=[tables.final(thesis.main)],
        matrices=[_matrix("test", scores)],
    )


def _shift(thesis: Thesis) -> Section:
    scores: Json | None = thesis.main.final["shift"]
    claim = (
        "On CAMUS and Unity most A2C are called A4C or PLAX; A4C and PLAX are mostly right, with many false positives "
        "of A4C; a few images are called PSAX, which these releases do not hold."
    )
    names = ("Table 3.3", "Figure 5.21")
    title = "The final model under domain shift"
    if scores is None:
        return Section(names, title, claim, ["This study has no releases for it (data.shift_sources)."])
    confusion = scores["confusion"]
    held = {view: sum(row) for view, row in zip(VIEWS, confusion, strict=True)}
    absent = [view for view in VIEWS if not held[view]]
    verdict = [f"Recall of {view}: {decimal(scores['recall'][view], 2)}." for view in VIEWS if held[view]]
    for place, view in enumerate(VIEWS):
        called = sum(row[place] for row in confusion)
        wrong = called - confusion[place][place]
        if called:
            verdict.append(f"{count(wrong)} of {count(called)} images that are called {view} are of another view.")
    if absent:
        verdict.append(f"These releases hold no {listing(absent)}.")
    return Section(names, title, claim, verdict, matrices=[_matrix("domain shift", scores)])


def _matrix(caption: str, scores: Json) -> Matrix:
    return Matrix(caption, scores["confusion"], scores["confusion_normalised"])
