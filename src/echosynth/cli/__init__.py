"""The command line: `echosynth COMMAND ...`.

Each command is one function `run` in a module of its own, from whose parameters and docstring click makes the parser.
It is imported, and click with it, when the command is asked for, so that `echosynth --help` answers at once.
"""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper
from signal import SIGINT
from typing import TYPE_CHECKING

from echosynth import __version__
from echosynth.common.errors import EchosynthError
from echosynth.common.files import full_disk_explained

if TYPE_CHECKING:
    from click import Command

COMMANDS = {
    "sources": "list the releases that can be read",
    "check": "see what is in a folder before it is read",
    "review": "decide which groups of recordings are kept",
    "predict": "name the view of cines and stills",
    "serve": "answer requests over HTTP",
    "export": "write a classifier as ONNX",
    "sample": "make synthetic images with a trained model",
    "preset": "set params.yaml up for another scale",
    "plan": "estimate hours, memory and disk before a study",
    "sweep": "run a grid of experiments",
    "search": "search parameters with Optuna",
    "sync": "rebuild MLflow's rows from git and DVC",
    "compare": "write what changed against a revision",
    "register": "put the final classifier into the registry",
    "promote": "make a version the champion, if it passes the gates",
    "rollback": "make the previous champion the champion again",
    "history": "list versions and the decisions on them",
    "compare-models": "compare two versions on the real test images",
}


HEAD = """Usage: echosynth COMMAND ...

  Make synthetic echocardiograms for view classification. Research software,
  no medical device.

Options:
  --version   Show the version and exit.
  -h, --help  Show this message, or that of a command, and exit.

Commands:
"""


def overview() -> str:
    """Write what `echosynth --help` says."""
    width = max(map(len, COMMANDS))
    return HEAD + "\n".join(f"  {name:<{width}}  {what}" for name, what in COMMANDS.items())


def command(name: str) -> "Command":
    """Import one of `COMMANDS`."""
    found: Command = import_module(f"echosynth.cli.{name.replace('-', '_')}").run
    found.context_settings = {"show_default": True, "help_option_names": ["-h", "--help"]}
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the words after `echosynth`; None for those that this process was started with.

    Returns:
        The exit status: 1 for what the command refuses, with one sentence on stderr; 130 after Ctrl-C.

    Raises:
        SystemExit: with status 2, where the words are none that the command knows; the usage is on stderr.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files may be no text at all
    try:
        with full_disk_explained():
            status = _run(list(sys.argv[1:] if arguments is None else arguments))
            sys.stdout.flush()
    except EchosynthError as error:
        print(f"error: {error}", file=sys.stderr)
        _print_rest()
        return 1
    except BrokenPipeError:  # whoever reads the output, such as `head`, has seen enough
        _print_rest()
        return 1
    except KeyboardInterrupt:  # whoever pressed Ctrl-C knows why
        _print_rest()
        return 128 + SIGINT
    return status


def _print_rest() -> None:
    """Print what is left, or let it go nowhere where nobody takes it, so that Python does not complain when it ends."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(words: Sequence[str]) -> int:
    """Do what the words say, and return the exit status."""
    name = words[0] if words else ""
    if name in ("-h", "--help"):
        print(overview())
        return 0
    if name == "--version":
        print(__version__)
        return 0
    if name not in COMMANDS:
        why = f"No such command {name!r}." if name else "Name a command."
        print(f"{overview()}\n\nError: {why}", file=sys.stderr)
        sys.exit(2)

    import click  # takes three times as long as all before

    try:
        # Not `command(name)(...)`, which catches Ctrl-C and closed pipes in its own way, and exits.
        with command(name).make_context(f"echosynth {name}", list(words[1:])) as context:
            status: int = context.command.invoke(context)
            return status
    except click.exceptions.Exit as done:  # --help
        return done.exit_code
    except click.ClickException as wrong:
        wrong.show()
        sys.exit(wrong.exit_code)
