"""The figures of the data card: frame counts, views by split, example images, contact sheets."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from echosynth.common.errors import EchosynthError
from echosynth.common.views import VIEWS
from echosynth.imagesets.store import Images, read_images
from echosynth.report.drawing import PageFigure, embedded, mosaic, page_figure, panel
from echosynth.report.formatting import count, decimal
from echosynth.report.tables import Json

BLUE, ORANGE, GREEN, PALE = "#0072B2", "#D55E00", "#009E73", "#CFE3F1"
SPLIT_COLOURS = {"train": BLUE, "validation": ORANGE, "test": GREEN}
MOST_BINS = 40
COLUMNS, EXAMPLES = 3, 6  # example images of a source and view
SHEET_WIDTH = 1440  # pixels; a contact sheet on the page is no wider
PHASES = {"ED": "end diastole", "ES": "end systole"}


def frame_counts(title: str, counts: dict[str, int], frames: Json) -> PageFigure:
    """Draw how many frames the files of a source have (the study's figures 3.6 and 3.7).

    Args:
        title: the source's name for people.
        counts: number of frames -> files.
        frames: see `echosynth.report.data_card.card.frame_statistics`.
    """
    figure, axes = panel(f"Frames in a recording, {title}", "frames", "recordings")
    lengths = np.array([int(key) for key in counts])
    step = max(1, -(-(frames["most"] - frames["fewest"] + 1) // MOST_BINS))
    edges = np.arange(frames["fewest"] - 0.5, frames["most"] + step + 0.5, step)
    central = f"central 95 %: {count(frames['low'])} to {count(frames['high'])}"
    axes.axvspan(frames["low"], frames["high"], color=PALE, label=central)
    axes.hist(lengths, edges.tolist(), weights=list(counts.values()), color=BLUE, edgecolor="white", linewidth=0.5)
    axes.axvline(
        frames["mean"], color=ORANGE, linestyle="--", linewidth=1.8, label=f"mean: {decimal(frames['mean'], 1)}"
    )
    axes.grid(axis="x", visible=False)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.16), ncols=2)
    said = (
        f"{count(frames['files'])} recordings of {count(frames['fewest'])} to {count(frames['most'])} frames, median "
        f"{count(frames['median'])}."
    )
    return page_figure(figure, f"Histogram of the number of frames in a recording of {title}. {said}", said)


def views_by_split(by_view: dict[str, dict[str, int]]) -> PageFigure:
    """Draw the four-class set by view and split, from split -> view -> images (the study's figure 3.10)."""
    total = sum(sum(views.values()) for views in by_view.values())
    figure, axes = panel(f"Four-class set by view and split (N = {count(total)})", "view", "images")
    width = 0.8 / len(SPLIT_COLOURS)
    for index, (split, colour) in enumerate(SPLIT_COLOURS.items()):
        values = [by_view[split].get(view, 0) for view in VIEWS]
        bars = axes.bar(np.arange(len(VIEWS)) + (index - 1) * width, values, 0.92 * width, color=colour, label=split)
        axes.bar_label(bars, [count(value) for value in values], padding=2, fontsize=8.5)
    axes.set_xticks(range(len(VIEWS)), VIEWS)
    axes.grid(axis="x", visible=False)
    axes.margins(y=0.12)
    axes.legend()
    text = "Images of the four-class set by view and split; numbers in the tables"
    return page_figure(figure, text, "Bars of a view: training, validation and test set.")


def _pairs(rows: pd.DataFrame) -> list[str]:
    """Choose the first groups that have an image of each cardiac phase: ids of the one phase, then of the other."""
    table = rows.pivot_table(index="group", columns="moment", values="id", aggfunc="min").dropna().head(COLUMNS)
    return [name for phase in PHASES for name in table[phase]]


def _shown(rows: pd.DataFrame) -> tuple[list[str], int, str]:
    """Choose ids to show, columns, and words to follow the view."""
    rows = rows.sort_values("id", kind="stable")
    if set(PHASES) <= set(rows["moment"]) and (pairs := _pairs(rows)):
        return pairs, len(pairs) // 2, f": {PHASES['ED']} above, {PHASES['ES']} of the same below"
    return rows["id"].head(EXAMPLES).tolist(), COLUMNS, ""


def examples(folder: Path, manifest: pd.DataFrame, title: str) -> list[PageFigure]:
    """Lay out example images of a source, a mosaic for each view (the study's figures 3.1 to 3.5).

    The first ones by id are shown, which is a hash, so that this is as good as by lot.

    Args:
        folder: the image set.
        manifest: its manifest.
        title: the source's name for people.
    """
    figures = []
    for view in VIEWS:
        rows = manifest[manifest["view"] == view]
        if len(rows):
            ids, columns, words = _shown(rows)
            address = mosaic(read_images(folder, ids), columns)
            figures.append(PageFigure(address, f"Example images of {view} from {title}", f"{title}, {view}{words}"))
    return figures


def _read_colour(path: Path) -> Images:
    """Read a file as (height, width, 3) uint8."""
    picture = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise EchosynthError(f"{path} is no picture; run `dvc repro` to make it anew")
    return np.asarray(picture, np.uint8)


def sheet(paths: Sequence[Path], title: str) -> PageFigure:
    """Show the first contact sheet of a screening, smaller where it is wide: outliers, the study's figures 3.8 and 3.9.

    Args:
        paths: the sheets, at least one.
        title: the source's name for people.

    Raises:
        EchosynthError: the file is no picture.
    """
    picture = _read_colour(paths[0])
    height, width = picture.shape[:2]
    if width > SHEET_WIDTH:
        size = (SHEET_WIDTH, max(1, round(height * SHEET_WIDTH / width)))
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    address = embedded(cv2.imencode(".png", picture)[1].tobytes())
    text = "Contact sheet: one recording of each group with the group's number and size, the proposal and its reason."
    if len(paths) > 1:
        text += f" This is the first of {count(len(paths))} sheets; all lie in {paths[0].parent.as_posix()}."
    return PageFigure(address, f"Contact sheet of {title}", text)
