"""Early selection: the question that the thesis's section on future work asks."""

from matplotlib.figure import Figure

from echosynth.report.drawing import STYLES, PageFigure, page_figure, panel
from echosynth.report.formatting import count, decimal, interval
from echosynth.report.tables import Json, Table
from echosynth.report.thesis.inputs import Thesis
from echosynth.report.thesis.section import Section, judged
from echosynth.thesis.cells import SCORES
from echosynth.thesis.ranking import ALL, QUESTION, REAL, SYNTHETIC, ranking

NAMES = {REAL: "{} real images", SYNTHETIC: "synthetic images made from {}", ALL: "all real images"}


def sections(thesis: Thesis) -> list[Section]:
    """Give the section about it; none where nothing was trained for it."""
    if not (SCORES / QUESTION).is_dir():
        return []
    result = ranking(thesis.params)
    return [
        Section(
            ("Early selection",),
            "Does a ranking of architectures by few images predict that by all?",
            "Left open: could the architecture be chosen on synthetic images made from few real ones, before the "
            "larger real set is there?",
            ranking_verdict(result),
            figures=ranking_figures(result),
            tables=ranking_tables(result),
        )
    ]


def ranking_verdict(result: Json) -> list[str]:
    """Word what the rankings say."""
    sentences = []
    for arm, found in result["early"].items():
        tau, top, regret = found["tau"], found["top1"], found["regret"]
        right = f" (it is the best in {decimal(top['share'], 2)} of the draws)" if top["share"] is not None else ""
        sentences.append(
            f"By {_name(arm, result)}: Kendall's tau {decimal(tau['value'], 2)} "
            f"({interval(tau['interval'], 2) or 'no interval'}; {decimal(tau['chance'], 2)} of random orders agree as "
            f"well); the choice is {'the best' if top['value'] else 'not the best'}{right}, and costs "
            f"{decimal(regret['value'])} of macro AUPRC against the best (a random choice "
            f"{decimal(regret['random'])})."
        )
    versus = result["early"][SYNTHETIC]["versus"]["tau"]
    sentences.append(judged("Synthetic less few real images, Kendall's tau", versus["value"], versus["interval"]))
    return sentences


def ranking_figures(result: Json) -> list[PageFigure]:
    """Draw the early scores in the order of the late ones."""
    caption = (
        "From bottom to top: worst to best on all real images (in brackets). Where an early score predicts, its marks "
        f"rise to the right. {result['seeds']} seeds each."
    )
    alt = "Early macro AUPRC of each architecture, in the order of that on all real images; numbers in the table below"
    return [page_figure(early_scores(result), alt, caption)]


def early_scores(result: Json) -> Figure:
    """Draw a row for each architecture, the best on all real images on top."""
    figure, axes = panel("Early selection", "macro AUPRC of the early training", "")
    rows = sorted(result["architectures"], key=lambda row: row[ALL])
    for arm in (REAL, SYNTHETIC):
        x, style = [row[arm] for row in rows], STYLES[arm]
        axes.plot(x, range(len(rows)), label=_name(arm, result), **style.options())
    axes.set_yticks(range(len(rows)), [f"{row['architecture']} ({decimal(row[ALL])})" for row in rows])
    axes.legend(loc="upper center", bbox_to_anchor=(0.4, -0.16), ncols=1)
    return figure


def ranking_tables(result: Json) -> list[Table]:
    """Show the scores, and how well each early ranking predicts."""
    ordered = sorted(result["architectures"], key=lambda row: -row[ALL])
    ranks = {
        arm: {
            row["architecture"]: place
            for place, row in enumerate(sorted(result["architectures"], key=lambda row: -row[arm]), 1)
        }
        for arm in NAMES
    }
    rows = [
        [row["architecture"], *(f"{decimal(row[arm])} ({ranks[arm][row['architecture']]})" for arm in NAMES)]
        for row in ordered
    ]
    judged_rows = [
        [
            _name(arm, result),
            f"{decimal(found['tau']['value'], 2)} ({interval(found['tau']['interval'], 2) or '–'})",
            decimal(found["tau"]["chance"], 2),
            "yes" if found["top1"]["value"] else "no",
            decimal(found["top1"]["share"], 2),
            f"{decimal(found['regret']['value'])} ({interval(found['regret']['interval']) or '–'})",
            decimal(found["regret"]["random"]),
        ]
        for arm, found in result["early"].items()
    ]
    return [
        Table(
            "Macro AUPRC on the validation images (rank)",
            ["architecture", *(_name(arm, result) for arm in NAMES)],
            rows,
            note=f"Means over {result['seeds']} seeds.",
        ),
        Table(
            "How well an early ranking predicts (95 % interval)",
            [
                "ranking by",
                "Kendall's tau-b",
                "random orders as good",
                "best chosen",
                "in draws",
                "regret",
                "of chance",
            ],
            judged_rows,
            note="Patients and trainings are drawn anew. Regret: macro AUPRC of the best architecture less that of the "
            "chosen one, on all real images; of chance: the mean of a random choice.",
        ),
    ]


def _name(arm: str, result: Json) -> str:
    return NAMES[arm].format(count(result["real_images"]))
