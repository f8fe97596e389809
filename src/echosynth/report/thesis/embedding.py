"""Features as points of a plane: figures 5.13, 5.14 and A.2 to A.6."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from echosynth.common.views import RARE_VIEWS, VIEWS
from echosynth.evaluation.embedding import histogram
from echosynth.report.drawing import WIDTH, PageFigure, Style, page_figure, panel
from echosynth.report.formatting import count, decimal
from echosynth.report.tables import Json, Table, release_title
from echosynth.report.thesis.inputs import Thesis
from echosynth.report.thesis.section import Section
from echosynth.thesis.cells import SCORES
from echosynth.thesis.embedding import BINS

VIEW_STYLES = {
    "A2C": Style("#000000", "^", "-", "▲"),
    "A4C": Style("#0072B2", "o", "-", "●"),
    "PLAX": Style("#E69F00", "s", "-", "■"),
    "PSAX": Style("#CC79A7", "D", "-", "◆"),
}
# Other colours than the views', which they are not.
SOURCE_STYLES = (
    Style("#D55E00", "o", "-", "●"),
    Style("#56B4E9", "s", "-", "■"),
    Style("#009E73", "^", "-", "▲"),
    Style("#882255", "D", "-", "◆"),
)
DOT = 7  # square points


def sections(thesis: Thesis) -> list[Section]:
    """Give the section about them; none where nothing was embedded."""
    metrics = thesis.measured("embedding")
    if metrics is None:
        return []
    table = pd.read_csv(SCORES / "embedding" / "embedding.csv")
    images, own = metrics["images"], metrics["classifier"]
    caption = (
        f"t-SNE (perplexity {metrics['perplexity']:g}, {count(metrics['iterations'])} iterations) of the features of "
        f"{own['architecture']}, one embedding of {count(images['training'])} training, "
        f"{count(images['validation'])} validation and {count(images['synthetic'])} synthetic images."
    )
    return [
        Section(
            ("Figure 5.13", "Figure 5.14", "Figure A.2", "Figure A.3", "Figure A.4", "Figure A.5", "Figure A.6"),
            "Features of real and synthetic images",
            "Features of a classifier of real images cluster by view and, within it, by source; synthetic images fall "
            "into the same clusters. Other perplexities (20 to 70) and 2,000 iterations gave very similar pictures.",
            [*_overlap_verdict(metrics), _stability_verdict(metrics)],
            figures=embedding_figures(table, caption),
            tables=[stability_table(metrics), overlap_table(metrics)],
        )
    ]


def embedding_figures(table: pd.DataFrame, caption: str) -> list[PageFigure]:
    """Draw all figures of an embedding, see `echosynth.thesis.embedding.embed`."""
    made = table["set"] == "synthetic"
    real, synthetic = table[~made], table[made]
    sources = {source: SOURCE_STYLES[i % 4] for i, source in enumerate(dict.fromkeys(real["source"]))}
    names = {source: release_title(source) for source in sources}
    drawn = (
        (scatter(real, "source", sources, "Real images by source", names=names), "by source"),
        (scatter(real, "view", VIEW_STYLES, "Real images by view"), "by view"),
        (scatter(synthetic, "view", VIEW_STYLES, "Synthetic images by view"), "of synthetic images by view"),
        (histograms(table), "as histograms, by view, real above synthetic"),
    )
    found = [page_figure(figure, f"Embedding of features {alt}", caption) for figure, alt in drawn]
    principal = scatter(real, "view", VIEW_STYLES, "Real images by view, PCA", ("pca_x", "pca_y"))
    words = "The first two principal axes of the same features."
    return [*found, page_figure(principal, "Features of real images by their first two principal axes", words)]


def scatter(
    table: pd.DataFrame,
    column: str,
    styles: dict[str, Style],
    title: str,
    axes_of: tuple[str, str] = ("x", "y"),
    names: dict[str, str] | None = None,
) -> Figure:
    """Draw points in the unit square, coloured by a column; what is rare lies on top."""
    word = "principal axis" if axes_of[0] == "pca_x" else "t-SNE axis"
    figure, axes = panel(title, f"first {word}, scaled to 0–1", f"second {word}, scaled to 0–1", height=WIDTH * 0.95)
    counts = table[column].value_counts()
    for name in counts.index:
        own, style = table[table[column] == name], styles[name]
        label = f"{(names or {}).get(name, name)} ({count(len(own))})"
        axes.scatter(
            own[axes_of[0]],
            own[axes_of[1]],
            s=DOT,
            color=style.colour,
            marker=style.marker,
            alpha=0.6,
            linewidths=0,
            label=label,
            rasterized=True,
        )
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    axes.legend(markerscale=2.2, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2)
    return figure


def histograms(table: pd.DataFrame) -> Figure:
    """Draw the 2-D histograms of each view, real above synthetic, in shares of the images of that view."""
    figure = Figure(figsize=(WIDTH * 1.6, WIDTH * 0.88), layout="constrained")
    panels = figure.subplots(2, len(VIEWS), sharex=True, sharey=True)
    made = table["set"] == "synthetic"
    for column, view in enumerate(VIEWS):
        rows = [table[(table["view"] == view) & mask] for mask in (~made, made)]
        shares = [100 * histogram(own[["x", "y"]].to_numpy(), BINS) / max(len(own), 1) for own in rows]
        largest = max(share.max() for share in shares) or 1.0
        for axes, own, share, kind in zip(panels[:, column], rows, shares, ("real", "synthetic"), strict=True):
            axes.set_title(f"{view}, {kind} ({count(len(own))})", fontsize=9.5)
            cells = np.where(share > 0, share, np.nan).T
            drawn = axes.imshow(cells, origin="lower", extent=(0, 1, 0, 1), cmap="viridis_r", vmin=0, vmax=largest)
            axes.grid(visible=False)
        bar = figure.colorbar(drawn, ax=list(panels[:, column]), location="bottom", shrink=0.9)
        bar.set_label("% of the images", fontsize=9)
    for axes, kind in zip(panels[:, 0], ("real", "synthetic"), strict=True):
        axes.set_ylabel(f"{kind}: second t-SNE axis", fontsize=9)
    for axes in panels[1]:
        axes.set_xlabel("first t-SNE axis", fontsize=9)
    return figure


def stability_table(metrics: Json) -> Table:
    """Show what stays of each point's neighbours."""
    number = metrics["neighbours"]
    rows = [
        [
            row["method"],
            "–" if row["perplexity"] is None else f"{row['perplexity']:g}",
            "–" if row["iterations"] is None else count(row["iterations"]),
            decimal(row["features"]),
            decimal(row["shown"]),
            decimal(row["trustworthiness"]),
        ]
        for row in metrics["stability"]
    ]
    return Table(
        f"How far the picture can be trusted (the {number} nearest neighbours of a point)",
        ["method", "perplexity", "iterations", "kept of those by features", "kept of the picture shown", "trust"],
        rows,
        note=f"{count(metrics['stability_points'])} random points; by chance "
        f"{decimal(number / (metrics['stability_points'] - 1))} are kept. Trustworthiness as scikit-learn has it.",
    )


def overlap_table(metrics: Json) -> Table:
    """Show how much of the histograms real and synthetic images have in common."""
    rows = [
        [view, count(own["points"]), decimal(own["synthetic"]), decimal(own["real"])]
        for view, own in metrics["overlap"].items()
    ]
    return Table(
        "Common share of the histograms, with one half of the real patients",
        ["view", "images a side", "synthetic", "the other half"],
        rows,
        note="1: the same places as often; equally many images on all sides, since few overlap less.",
    )


def _overlap_verdict(metrics: Json) -> list[str]:
    found = [(view, own) for view, own in metrics["overlap"].items() if own["synthetic"] is not None]
    if not found:
        return []
    parts = [f"{view} {decimal(own['synthetic'], 2)} ({decimal(own['real'], 2)})" for view, own in found]
    gaps = {view: own["real"] - own["synthetic"] for view, own in found}
    widest = max(gaps, key=lambda view: gaps[view])
    rare = " (rare)" if widest in RARE_VIEWS else ""
    return [
        f"Synthetic images share with half of the real patients, and the other half with it in brackets: "
        f"{', '.join(parts)}. The gap is widest for {widest}{rare}."
    ]


def _stability_verdict(metrics: Json) -> str:
    shown, *others, pca = metrics["stability"]
    kept = [row["shown"] for row in others]
    low = f"{decimal(min(kept), 2)} to {decimal(max(kept), 2)}" if kept else "–"
    return (
        f"Of the {metrics['neighbours']} neighbours of a point {low} stay with other perplexities and iterations, "
        f"{decimal(pca['shown'], 2)} with PCA; {decimal(shown['features'], 2)} of its neighbours by features are its "
        "neighbours in the picture. Clusters can be read, single neighbours and distances between clusters cannot."
    )
