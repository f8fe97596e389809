"""What could have been seen: the smallest difference of each comparison, and what its question needs."""

from matplotlib.figure import Figure

from echosynth.common.views import RARE_VIEWS
from echosynth.report.drawing import PageFigure, Style, log_places, log_scale, page_figure, panel
from echosynth.report.formatting import count, decimal, signed
from echosynth.report.tables import Json, Table
from echosynth.report.thesis.inputs import Thesis
from echosynth.report.thesis.section import Section
from echosynth.thesis.power import MAIN

SEED_STYLES = (
    Style("#D55E00", "^", "-.", "▲"),
    Style("#0072B2", "s", "--", "■"),
    Style("#009E73", "D", ":", "◆"),
    Style("#000000", "o", "-", "●"),
)
SCORE_NAMES = {"macro_auprc": "macro AUPRC", "rare_recall": f"recall of {' and '.join(RARE_VIEWS)}"}


def sections(thesis: Thesis) -> list[Section]:
    """Give the section about it; none where it was not asked."""
    metrics = thesis.measured("power")
    if metrics is None:
        return []
    return [
        Section(
            ("Power",),
            "What could have been seen",
            "The thesis had one seed and no intervals: which of its differences are larger than chance is not known.",
            power_verdict(metrics),
            figures=power_figures(metrics),
            tables=power_tables(metrics),
        )
    ]


def power_verdict(metrics: Json) -> list[str]:
    """Word, by score, which differences the comparisons could have shown."""
    sentences = []
    for score, wanted in metrics["wanted"].items():
        known = [row for row in metrics["comparisons"] if row["score"] == score and row["smallest"] is not None]
        if not known:
            continue
        sizes = [row["smallest"] for row in known]
        enough = sum(size <= wanted for size in sizes)
        sentences.append(
            f"In {SCORE_NAMES[score]} the {len(known)} comparisons could have shown differences of "
            f"{decimal(min(sizes))} to {decimal(max(sizes))}; {enough} of them one of {decimal(wanted)}, which matters "
            "(80 % power, two-sided 5 %)."
        )
    return sentences


def power_figures(metrics: Json) -> list[PageFigure]:
    """Draw the smallest difference between synthetic and real for each subset of the first architecture."""
    rows = [
        row
        for row in metrics["comparisons"]
        if row["question"] == MAIN and row["score"] == "macro_auprc" and row["smallest"] is not None
    ]
    rows = [row for row in rows if row["architecture"] == rows[0]["architecture"]]
    chosen = [row for row in rows if {row["first"], row["second"]} == {"real", "synthetic"}]
    caption = "Simulated from the stored predictions; 80 % power, two-sided 5 %."
    return [
        page_figure(
            by_patients(row, metrics["wanted"]["macro_auprc"]),
            f"Smallest difference between synthetic and real by patients and seeds, subset {row['subset']}",
            caption,
        )
        for row in chosen
    ]


def by_patients(row: Json, wanted: float) -> Figure:
    """Draw the smallest difference of one comparison against the number of patients, a line for each number of
    seeds."""
    title = f"Macro AUPRC: {row['second']} against {row['first']}, subset {row['subset']}"
    figure, axes = panel(title, "patients (log scale)", "smallest difference (log scale)")
    for place, seeds in enumerate(dict.fromkeys(cell["seeds"] for cell in row["grid"])):
        own = [cell for cell in row["grid"] if cell["seeds"] == seeds]
        style = SEED_STYLES[place % len(SEED_STYLES)]
        label = f"{seeds} {'seed' if seeds == 1 else 'seeds'}"
        x, y = ([cell[key] for cell in own] for key in ("patients", "smallest"))
        axes.plot(x, y, label=label, **style.options())
    axes.axhline(wanted, color="#57606a", linewidth=1.2, linestyle=(0, (1, 2)), label=f"what matters ({wanted:g})")
    axes.plot(row["patients"], row["smallest"], "o", ms=12, mfc="none", mec="#CC79A7", mew=2, label="this study")
    if row["observed"]:
        size = abs(row["observed"])
        axes.axhline(size, color="#CC79A7", linewidth=1.4, label=f"found here ({decimal(size)})")
    log_places(axes, sorted({cell["patients"] for cell in row["grid"]}))
    log_scale(axes)
    sizes = [wanted, *(cell["smallest"] for cell in row["grid"])]
    axes.set_ylim(0.8 * min(sizes), 1.2 * max(sizes))  # a tiny difference that was found is in the legend alone
    axes.legend(ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.17))
    return figure


def power_tables(metrics: Json) -> list[Table]:
    """Show, by question and score, what each comparison could have shown and what it needs."""
    tables = []
    for question in dict.fromkeys(row["question"] for row in metrics["comparisons"]):
        for score, wanted in metrics["wanted"].items():
            own = [row for row in metrics["comparisons"] if (row["question"], row["score"]) == (question, score)]
            rows = [
                [
                    row["subset"],
                    row["architecture"],
                    f"{row['first']} less {row['second']}",
                    "–" if row["observed"] is None else signed(row["observed"]),
                    decimal(row["smallest"]),
                    *_needs(row["for_wanted"]),
                    *_needs(row["for_observed"]),
                ]
                for row in own
            ]
            have = f"{count(own[0]['patients'])} patients and {own[0]['seeds']} seeds, over {own[0]['over']}"
            header = ["subset", "architecture", "comparison", "found", "could show"]
            needs = ["patients", "or seeds", "or both"]
            header += [f"{decimal(wanted, 2)}: {word}" for word in needs] + [f"as found: {word}" for word in needs]
            tables.append(
                Table(
                    f"{question}: {SCORE_NAMES[score]}, with {have}",
                    header,
                    rows,
                    labels=3,
                    note="How many would show a difference that matters, and one as large as that found, with 80 % "
                    "power: patients with the seeds as they are, seeds with the patients as they are, or both in "
                    "proportion; –: out of reach, or nothing is known of it. Power at the difference found says no "
                    "more than its interval does.",
                )
            )
    return tables


def _needs(needed: Json | None) -> list[str]:
    """Patients, seeds, and both."""
    if needed is None:
        return ["–"] * 3
    numbers = ["–" if needed[key] is None else count(needed[key]) for key in ("patients", "seeds")]
    both = needed["both"]
    known = both and both["patients"] is not None
    return [*numbers, f"{count(both['patients'])} and {count(both['seeds'])}" if known else "–"]
