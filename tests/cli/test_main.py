"""What all commands have in common."""

import subprocess
import sys
from pathlib import Path

import pytest

from echosynth import cli
from echosynth.common.errors import EchosynthError

HEAVY = {"torch", "mlflow", "pandas", "numpy", "cv2", "timm", "pydantic", "yaml"}


def test_help_needs_no_heavy_import() -> None:
    code = "import sys; from echosynth import cli; cli.parser().format_help(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not HEAVY & set(done.stdout.split())
    assert "argparse" in done.stdout


def test_it_runs_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "echosynth.cli", "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    for command in ("sources", "check", "review", "predict"):
        assert command in done.stdout


def test_every_command_has_a_module() -> None:
    folder = Path(cli.__file__).parent
    modules = {path.stem.replace("_", "-") for path in folder.glob("[a-z]*.py")} - {"options"}
    commands = next(action for action in cli.parser()._actions if action.dest == "command")
    assert set(commands.choices or ()) == modules


def test_a_refusal_is_one_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(arguments: object) -> int:
        raise EchosynthError("it will not do; do something else")

    monkeypatch.setattr("echosynth.cli.sources.run", refuse)
    assert cli.main(["sources"]) == 1
    assert capsys.readouterr() == ("", "error: it will not do; do something else\n")


def test_other_errors_show_their_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(arguments: object) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr("echosynth.cli.sources.run", fail)
    with pytest.raises(ZeroDivisionError):
        cli.main(["sources"])


def test_a_reader_that_has_seen_enough_ends_it_quietly() -> None:
    code = "import sys; from echosynth import cli; sys.exit(cli.main(['sources', '--json']))"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1
