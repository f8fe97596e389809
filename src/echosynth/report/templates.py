"""Fill the templates of the pages and write the pages."""

from pathlib import Path
from typing import Any

import jinja2

from echosynth.common.files import atomic_file
from echosynth.report.formatting import count, decimal


def fill(name: str, **values: Any) -> str:
    """Fill a page's template, named by its path in this room.

    Raises:
        jinja2.UndefinedError: the template needs a value that it does not get.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"decimal": decimal, "count": count}
    return environment.get_template(name).render(values)


def write_html(path: Path, html: str) -> None:
    """Write a page, whole or not at all, with the same bytes on every system."""
    with atomic_file(path) as part:
        part.write_text(html, encoding="utf-8", newline="\n")
