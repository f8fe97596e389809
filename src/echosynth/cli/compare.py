"""`echosynth compare`: what changed against a revision."""

import sys
from pathlib import Path

import click

from echosynth.cli.shared import FILE


@click.command()
@click.argument("revision", metavar="REV")
@click.option("--to", metavar="REV", help="Compare this one instead of the working tree.")
@click.option(
    "--out", type=FILE, metavar="FOLDER", help="Write report.md and its pictures there, and not the terminal."
)
def run(revision: str, to: str | None, out: Path | None) -> int:
    """Write what changed against a revision, as Markdown.

    Shows parameters, scores, data and pictures of the working tree (or of --to) beside those of REV, a commit, branch,
    tag or experiment, from git and DVC alone.
    """
    from echosynth.report.changes.page import PAGE, render_page, write_page
    from echosynth.report.changes.states import find_state, working_tree

    old = find_state(revision)
    new = find_state(to) if to else working_tree()
    if out is None:
        print(render_page(old, new), end="")
        return 0
    for sentence in write_page(old, new, out):
        print(f"not shown: {sentence}", file=sys.stderr)
    print(f"the comparison: {out / PAGE}")
    return 0
