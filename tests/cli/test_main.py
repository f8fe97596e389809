"""What all commands have in common."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from echosynth import __version__, cli
from echosynth.common.errors import EchosynthError

HEAVY = {"torch", "mlflow", "pandas", "numpy", "cv2", "timm", "pydantic", "yaml", "dvc", "click"}


def test_help_needs_no_heavy_import() -> None:
    code = "import sys; from echosynth import cli; assert cli.main(['--help']) == 0; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "compare two versions" in done.stdout
    assert not HEAVY & set(done.stdout.split())
    assert "echosynth.cli" in done.stdout


def test_it_runs_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "echosynth.cli", "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    for command in ("sources", "check", "review", "predict"):
        assert command in done.stdout


def test_every_command_has_a_module() -> None:
    folder = Path(cli.__file__).parent
    modules = {path.stem.replace("_", "-") for path in folder.glob("[a-z]*.py")} - {"shared"}
    assert set(cli.COMMANDS) == modules


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for word in ("--help", "-h"):
        assert cli.main([name, word]) == 0
        said = capsys.readouterr().out
        assert said.startswith(f"Usage: echosynth {name} [OPTIONS]")
        assert said.splitlines()[2].strip()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "Name a command"),
        (["--nonsense"], "No such command '--nonsense'"),
        (["nonsense"], "No such command 'nonsense'"),
        (["sources", "--nonsense"], "No such option '--nonsense'"),
        (["sources", "a", "b"], "unexpected extra argument (b)"),
        (["check", "tmed2"], "Missing argument 'FOLDER'"),
        (["sweep", "grid.yaml", "--workers", "two"], "'two' is not a valid integer"),
        (["sample", "m", "--out", "o", "--solver", "euler"], "'euler' is not one of 'ancestral', 'ddim', 'dpm++'"),
        (["sample", "m", "--out", "o", "--count", "3", "--per-view", "1"], "give one of --count, --per-view"),
    ],
)
def test_words_that_no_command_knows_end_with_status_2(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(words)
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert out == "" and sentence in err


def test_options_may_stand_after_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sources", "--json", "camus"]) == cli.main(["sources", "camus", "--json"]) == 0
    out = capsys.readouterr().out
    assert out[: len(out) // 2] == out[len(out) // 2 :]


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"{__version__}\n"


def test_a_refusal_is_one_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def refuse() -> None:
        raise EchosynthError("it will not do; do something else")

    monkeypatch.setattr("echosynth.cli.sources.all_sources", refuse)
    assert cli.main(["sources"]) == 1
    assert capsys.readouterr() == ("", "error: it will not do; do something else\n")


def test_other_errors_show_their_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("echosynth.cli.sources.all_sources", fail)
    with pytest.raises(ZeroDivisionError):
        cli.main(["sources"])


def test_a_reader_that_has_seen_enough_ends_it_quietly() -> None:
    code = "import sys; from echosynth import cli; sys.exit(cli.main(['sources', '--json']))"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux alone has a device that is always full")
@pytest.mark.parametrize("words", [["sources", "--json"], ["--help"]])
def test_output_into_a_full_disk_is_one_sentence(words: list[str]) -> None:
    code = f"import sys; from echosynth import cli; sys.exit(cli.main({words}))"
    buffered = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-c", code]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, env=buffered, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    (said,) = done.stderr.splitlines()
    assert said.startswith("error: cannot write in ")
    assert said.endswith(" or what is printed: the disk is full; free some room and run again")
