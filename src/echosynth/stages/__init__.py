"""DVC stages, one short module each: read parameters and inputs, call one function, write outputs, log."""

import sys
from collections.abc import Callable

from echosynth.config import Params, load_params
from echosynth.errors import EchosynthError


def stage(function: Callable[..., None]) -> Callable[[], None]:
    """Make a stage's command out of a function of the parameters and the words on the command line.

    All of params.yaml is checked before anything else. An EchosynthError is one sentence on the terminal and exit
    status 1.
    """

    def command() -> None:
        try:
            params: Params = load_params()
            function(params, *sys.argv[1:])
        except EchosynthError as error:
            sys.exit(f"error: {error}")

    command.__doc__ = function.__doc__
    return command
