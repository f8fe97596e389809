"""Git, called as a command in the working directory; nothing else of the package calls it."""

import subprocess
from pathlib import Path

from echosynth.common.errors import EchosynthError


def output(*words: str, given: str = "") -> bytes:
    """Run a git command and return what it prints.

    Args:
        words: the command and its arguments.
        given: what it reads from its standard input.

    Raises:
        EchosynthError: git is not installed, this is no repository, or the command fails.
    """
    try:
        return subprocess.run(["git", *words], input=given.encode(), capture_output=True, check=True).stdout
    except FileNotFoundError:
        raise EchosynthError("git is missing, and with it all earlier results; install it") from None
    except ValueError:
        raise EchosynthError(f"{' '.join(words)!r} holds a zero byte, which no git command may") from None
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip()
        if "safe.directory" in said:  # git's own remedy, a command
            raise EchosynthError(
                "git refuses this folder, which belongs to somebody else; if you trust what is in it, run "
                f"`git config --global --add safe.directory {Path.cwd()}`"
            ) from None
        reason = said.partition("\n")[0] or f"exit code {error.returncode}"
        raise EchosynthError(f"`git {words[0]}` failed ({reason}); run from the project's root") from None


def text(*words: str, given: str = "") -> str:
    """Run a git command and return its output as text, stripped; bytes that are no UTF-8 are replaced.

    Raises:
        EchosynthError: see `output`.
    """
    return output(*words, given=given).decode(errors="replace").strip()


def text_or(otherwise: str, *words: str) -> str:
    """Return what `text` does, or `otherwise` where it would raise."""
    try:
        return text(*words)
    except EchosynthError:
        return otherwise
