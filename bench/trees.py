"""A git and DVC repository of its own, in which a measurement runs commands as somebody would by hand."""

import os
import subprocess
import sys
import time
from pathlib import Path

from echosynth.common.errors import EchosynthError


class Tree:
    """A folder in which commands run, whatever the project around it has set, with the Python of this environment.

    Args:
        folder: is there.
        settings: further variables of the environment.
    """

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("DVC_", "MLFLOW_"))}
        search = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        own = {"PATH": search, "DVC_SITE_CACHE_DIR": str(folder / ".dvc" / "site")}
        self._environment = kept | own | settings

    def begin(self) -> None:
        """Make it a repository of git and DVC."""
        for command in ("git init -q", "dvc init -q", "dvc config core.analytics false"):
            self.call(*command.split())

    def call(self, *words: str) -> float:
        """Seconds of a command in the folder.

        Raises:
            EchosynthError: it fails.
        """
        command = [sys.executable, "-m", "dvc", *words[1:]] if words[0] == "dvc" else words
        began = time.perf_counter()
        done = subprocess.run(command, cwd=self.folder, env=self._environment, capture_output=True, text=True)
        seconds = time.perf_counter() - began
        if done.returncode:
            reason = " ".join((done.stderr or done.stdout).split())[-500:]
            raise EchosynthError(f"`{' '.join(words)}` fails in a copy of the project: {reason}; run `dvc repro` here")
        return seconds
