"""The command line: `echosynth COMMAND ...`.

Each command is one function `run` in a module of its own, from whose parameters and docstring click makes the parser.
A module is imported when its command is asked for, so that `echosynth --help` answers at once.
"""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper

import click

from echosynth import __version__
from echosynth.common.errors import EchosynthError

COMMANDS = {
    "sources": "list the releases that can be read",
    "check": "see what is in a folder before it is read",
    "review": "decide which groups of recordings are kept",
    "predict": "name the view of cines and stills",
    "export": "write a classifier as ONNX",
    "sample": "make synthetic images with a trained model",
    "preset": "set params.yaml up for another scale",
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


class Commands(click.Group):
    """The commands by name; what `--help` says of each stands in the table above, so that none has to be imported."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None where there is none of this name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"echosynth.cli.{cmd_name.replace('-', '_')}").run
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table into the help text."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=Commands, context_settings={"show_default": True, "help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(version)s")
def commands() -> None:
    """Make synthetic echocardiograms for view classification. Research software, no medical device."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the words after `echosynth`; None for those that this process was started with.

    Returns:
        The exit status: 1 for what the command refuses, with one sentence on stderr.

    Raises:
        SystemExit: with status 2, where the words are none that the command knows; the usage is on stderr.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files may be no text at all
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        # Not `commands(...)`, which catches Ctrl-C and closed pipes in its own way, and exits.
        with commands.make_context("echosynth", words) as context:
            status: int = commands.invoke(context)
        sys.stdout.flush()
    except EchosynthError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except click.exceptions.Exit as done:  # --help and --version
        return done.exit_code
    except click.ClickException as wrong:
        wrong.show()
        sys.exit(wrong.exit_code)
    except BrokenPipeError:  # whoever reads the output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status
