"""How all pages draw: styles of lines, the look of figures, axes, and figures that are part of the page."""

import base64
import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import cv2
import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from echosynth.common.arm_names import MIXED, percent_of
from echosynth.imagesets.store import Images
from echosynth.imagesets.tiles import contact_grid
from echosynth.report.formatting import count


@dataclass(frozen=True)
class Style:
    """Colour (Okabe and Ito's set for colour-blind readers), marker, line style and the marker as a character."""

    colour: str
    marker: str
    line: Literal["-", "--", "-.", ":"]
    glyph: str

    def options(self) -> dict[str, Any]:
        """Give Matplotlib's keyword arguments for a line with markers."""
        return {"color": self.colour, "marker": self.marker, "linestyle": self.line, "ms": 6.5}


class ArmStyles(dict[str, Style]):
    """Styles of the arms, in the order of the tables; mixed-70 and the like follow mixed and have its style, with the
    per cent as their marker."""

    def __missing__(self, arm: str) -> Style:
        if percent := percent_of(arm):
            return replace(self[MIXED], marker=f"${percent}$")
        raise KeyError(arm)

    def __contains__(self, arm: object) -> bool:
        return super().__contains__(arm) or (isinstance(arm, str) and percent_of(arm) is not None)

    def in_order(self, arms: Iterable[str]) -> list[str]:
        """Sort those of some names that are arms."""
        places = {arm: place for place, arm in enumerate(self)}
        return sorted(
            {arm for arm in arms if arm in self}, key=lambda arm: (places.get(arm, places[MIXED]), percent_of(arm) or 0)
        )


STYLES = ArmStyles(
    {
        "real": Style("#000000", "o", "-", "●"),
        "oversampled": Style("#0072B2", "s", "--", "■"),
        "synthetic": Style("#D55E00", "^", "-.", "▲"),
        "mixed": Style("#009E73", "D", ":", "◆"),
        "gaussian": Style("#CC79A7", "v", "--", "▼"),
        "mixup": Style("#B8860B", "P", ":", "✚"),
        "mixed-gaussian": Style("#882255", "<", "--", "◀"),
        "mixed-mixup": Style("#56B4E9", ">", ":", "▶"),
    }
)
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
class PageFigure:
    """A figure of a page.

    Attributes:
        address: the image itself, as a data address.
        alt: what it shows in words, for those who do not see it.
        caption: what stands below it.
    """

    address: str
    alt: str
    caption: str


@contextmanager
def look() -> Iterator[None]:
    """Draw with the report's own look, whatever settings the user's machine has; they are restored at the end."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(LOOK)
        yield


def panel(title: str, x: str, y: str, height: float = HEIGHT) -> tuple[Figure, Axes]:
    """Begin a figure with one panel, `height` in inches, its title and the labels of its axes."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    return figure, axes


def log_places(axes: Axes, places: Sequence[int]) -> None:
    """Give a panel a logarithmic x axis with ticks at the measured places, every other one where they are many."""
    axes.set_xscale("log")
    shown = places if len(places) <= 8 else places[::-2][::-1]
    axes.set_xticks(shown, [count(place) for place in shown])
    axes.xaxis.set_minor_locator(NullLocator())


def log_scale(axes: Axes) -> None:
    """Give a panel a logarithmic y axis with few ticks that can be read."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
    axes.yaxis.set_major_formatter(lambda x, _: f"{x:,.0f}" if x >= 10 else f"{x:.3g}")
    axes.yaxis.set_minor_locator(NullLocator())


def png(figure: Figure) -> bytes:
    """Encode a figure as PNG, without anything that depends on time or version."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def embedded(image: bytes) -> str:
    """Give a PNG as an address that holds the image itself."""
    return "data:image/png;base64," + base64.b64encode(image).decode("ascii")


def page_figure(figure: Figure, alt: str, caption: str) -> PageFigure:
    """Make a drawn figure part of a page."""
    return PageFigure(embedded(png(figure)), alt, caption)


def mosaic(images: Images, columns: int) -> str:
    """Lay images (n, S, S) uint8 side by side, `columns` a row, with white gaps, as an embedded PNG."""
    sheet = contact_grid(images, columns, gap=max(1, images.shape[1] // 28))
    return embedded(cv2.imencode(".png", sheet)[1].tobytes())
