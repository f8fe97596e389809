"""Contact sheets: one example of each group of recordings with what a person needs for a decision beneath it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from echosynth.common.arrays import Image

PICTURE, MARGIN, BAND, LINE = 128, 8, 6, 14  # pixels
TILE = (PICTURE + 2 * MARGIN, BAND + PICTURE + MARGIN)  # width and height without the text
COLUMNS, PER_PAGE = 10, 100
# Red, green, blue of Okabe and Ito's set for colour-blind readers; the words say the same.
BANDS = {"keep": (0, 114, 178), "drop": (213, 94, 0)}
FONT, SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.36


@dataclass(frozen=True)
class Tile:
    """One example.

    Attributes:
        frame: (H, W) grey or (H, W, 3) RGB uint8 of any size.
        proposal: "keep" or "drop"; sets the colour of the band on top.
        lines: short lines of ASCII text beneath the picture.
    """

    frame: Image
    proposal: str
    lines: tuple[str, ...]


def fitted(frame: Image, side: int) -> Image:
    """A frame as (side, side, 3) RGB: scaled to fit, the shape kept, centred on black."""
    colours = np.repeat(frame[:, :, None], 3, axis=2) if frame.ndim == 2 else frame
    height, width = colours.shape[:2]
    factor = side / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    small = cv2.resize(colours, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
    canvas = np.zeros((side, side, 3), np.uint8)
    top, left = (side - size[1]) // 2, (side - size[0]) // 2
    canvas[top : top + size[1], left : left + size[0]] = small
    return canvas


def _draw(tile: Tile, lines: int) -> Image:
    width, height = TILE
    drawn = np.full((height + LINE * lines + MARGIN, width, 3), 255, np.uint8)
    drawn[:BAND, MARGIN // 2 : width - MARGIN // 2] = BANDS[tile.proposal]
    drawn[BAND : BAND + PICTURE, MARGIN : MARGIN + PICTURE] = fitted(tile.frame, PICTURE)
    for number, line in enumerate(tile.lines):
        place = (MARGIN, BAND + PICTURE + LINE * (number + 1))
        colour = BANDS[tile.proposal] if number == 1 else (0, 0, 0)
        cv2.putText(drawn, line, place, FONT, SCALE, colour, 1, cv2.LINE_AA)
    return drawn


def page(tiles: Sequence[Tile]) -> Image:
    """Tiles row by row on white, (H, W, 3) RGB uint8; the second line of each text is in its band's colour."""
    lines = max(len(tile.lines) for tile in tiles)
    drawn = [_draw(tile, lines) for tile in tiles]
    columns = min(COLUMNS, len(drawn))
    blank = np.full_like(drawn[0], 255)
    drawn += [blank] * (-len(drawn) % columns)
    return np.vstack([np.hstack(drawn[start : start + columns]) for start in range(0, len(drawn), columns)])


def _pages(tiles: Iterable[Tile]) -> Iterator[Image]:
    remaining = iter(tiles)
    while some := list(islice(remaining, PER_PAGE)):
        yield page(some)


def write_sheets(folder: Path, tiles: Iterable[Tile]) -> list[str]:
    """Write sheet.png, sheet-2.png, ... of 100 tiles each into `folder`; one page of tiles is in memory at a time.

    Returns:
        The names of the files, none when there are no tiles.
    """
    names = []
    for number, picture in enumerate(_pages(tiles), start=1):
        names.append("sheet.png" if number == 1 else f"sheet-{number}.png")
        (folder / names[-1]).write_bytes(cv2.imencode(".png", picture[:, :, ::-1])[1].tobytes())
    return names
