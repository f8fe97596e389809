"""The four standard views, in the one order that every array, table and plot of the project follows."""

from typing import Final

VIEWS: Final[tuple[str, ...]] = ("A2C", "A4C", "PLAX", "PSAX")
RARE_VIEWS: Final[tuple[str, ...]] = ("A2C", "PSAX")
VIEW_INDEX: Final[dict[str, int]] = {view: index for index, view in enumerate(VIEWS)}
