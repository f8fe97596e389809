"""Progress of long work: a bar on a terminal, a plain line now and then elsewhere (logs, CI)."""

import sys
import time
from collections.abc import Iterable, Iterator
from multiprocessing import parent_process
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")
LINE_EVERY_SECONDS = 20.0


def progress(
    items: Iterable[T], total: int, what: str, unit: str = "it", start: int = 0, images_each: int = 0
) -> Iterator[T]:
    """Yield `items` while showing how far the work is.

    Args:
        items: the remaining items.
        total: number of all items, those before `start` included.
        what: short text in front of the bar or line.
        unit: what is counted, such as "images".
        start: how many were done before (a resumed run).
        images_each: images that one item stands for; above 0 their rate is shown too.
    """
    if sys.stderr.isatty() and parent_process() is None:  # bars of several processes would be drawn over each other
        with tqdm(items, total=total, initial=start, desc=what, unit=unit, leave=False) as bar:
            for item in bar:
                yield item
                if images_each and (rate := bar.format_dict["rate"]):
                    bar.set_postfix_str(f"{rate * images_each:.0f} images/s", refresh=False)
        return
    began = last = time.monotonic()
    for count, item in enumerate(items, start=start + 1):
        yield item
        now = time.monotonic()
        if now - last >= LINE_EVERY_SECONDS and count < total:
            rate = (count - start) / (now - began)
            pace = f"{rate:.1f}/s" if rate >= 1 else f"{1 / rate:.0f} s each"
            images = f" ({rate * images_each:.0f} images/s)" if images_each else ""
            print(
                f"{what}: {count} of {total} {unit}, {pace}{images}, {(total - count) / rate:.0f} s left",
                file=sys.stderr,
                flush=True,
            )
            last = now
