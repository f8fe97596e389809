"""The templates of the pages and what they share."""

from pathlib import Path

import jinja2

from echosynth.report.words import count, number


def template(name: str) -> jinja2.Template:
    """A page's template; a value that it needs and does not get is an error, not a gap."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "count": count}
    return environment.get_template(name)
