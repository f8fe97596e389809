"""`echosynth compare`: what changed against a revision."""

import argparse
import sys


def run(arguments: argparse.Namespace) -> int:
    """Print the comparison, or write it with its pictures into a folder."""
    from echosynth.report.changes.page import PAGE, page, write
    from echosynth.report.changes.states import find_state, working_tree

    old = find_state(arguments.revision)
    new = find_state(arguments.to) if arguments.to else working_tree()
    if arguments.out is None:
        print(page(old, new), end="")
        return 0
    for sentence in write(old, new, arguments.out):
        print(f"not shown: {sentence}", file=sys.stderr)
    print(f"the comparison: {arguments.out / PAGE}")
    return 0
