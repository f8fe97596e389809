"""The command line: `echosynth COMMAND ...`. Each command is a module here, imported when it is asked for, so that
--help answers at once."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper

from echosynth.cli.options import parser
from echosynth.common.errors import EchosynthError


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the command `echosynth`: takes the words after it, returns the exit status."""
    parsed = parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files may be no text at all
    try:
        module = import_module(f"echosynth.cli.{parsed.command.replace('-', '_')}")
        status: int = module.run(parsed)
        sys.stdout.flush()
    except EchosynthError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # whoever reads the output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status
