"""How the report draws: styles of the arms, the look of figures, pictures that are part of the page."""

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from echosynth.imagesets.store import Images
from echosynth.imagesets.tiles import grid


@dataclass(frozen=True)
class Style:
    """Colour (Okabe and Ito's set for colour-blind readers), marker, line style and the marker as a character."""

    colour: str
    marker: str
    line: Literal["-", "--", "-.", ":"]
    glyph: str


STYLES = {
    "real": Style("#000000", "o", "-", "●"),
    "oversampled": Style("#0072B2", "s", "--", "■"),
    "synthetic": Style("#D55E00", "^", "-.", "▲"),
    "mixed": Style("#009E73", "D", ":", "◆"),
}
DPI = 200  # a figure is shown at 100 pixels an inch at most
WIDTH, HEIGHT = 5.6, 3.9  # inches
LOOK: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10.5,
    "axes.titlesize": 11.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#57606a",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e9ed",
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
}


@dataclass(frozen=True)
class Picture:
    """A figure of a page: the picture as an address, what it shows in words, what stands below it."""

    source: str
    alt: str
    caption: str


@contextmanager
def look() -> Iterator[None]:
    """The report's own look, whatever settings the user's machine has; they are restored at the end."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(LOOK)
        yield


def embedded(picture: bytes) -> str:
    """A PNG as an address that holds the picture itself."""
    return "data:image/png;base64," + base64.b64encode(picture).decode("ascii")


def panel(title: str, x: str, y: str, height: float = HEIGHT) -> tuple[Figure, Axes]:
    """A figure with one panel, `height` in inches, its title and the labels of its axes."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    return figure, axes


def png(figure: Figure) -> bytes:
    """A figure as PNG, without anything that depends on time or version."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def rendered(figure: Figure) -> str:
    """A figure as an embedded PNG."""
    return embedded(png(figure))


def mosaic(images: Images, columns: int) -> str:
    """Images (n, S, S) uint8 side by side, `columns` a row, with white gaps, as an embedded PNG."""
    sheet = grid(images, columns, gap=max(1, images.shape[1] // 28))
    return embedded(cv2.imencode(".png", sheet)[1].tobytes())


def log_scale(axes: Axes) -> None:
    """A logarithmic y axis with few ticks that can be read."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
    axes.yaxis.set_major_formatter(lambda x, _: f"{x:,.0f}" if x >= 10 else f"{x:.3g}")
    axes.yaxis.set_minor_locator(NullLocator())
