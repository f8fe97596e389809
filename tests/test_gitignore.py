"""What `git add -A` would take: never recordings, secrets or tables that name files of patients."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def ignored(path: str) -> bool:
    """Whether git would leave out a file of that name."""
    return not subprocess.run(["git", "check-ignore", "--quiet", "--no-index", path], cwd=ROOT).returncode


@pytest.mark.parametrize(
    "path",
    [
        "data/raw/real/own/A4C/p0001/IM_0003",
        "data/raw/real/own/manifest.csv",
        "data/raw/real/list.xlsx",
        "data/salt",
        "data/salt.hospital",
        "data/north-salt",
        ".env",
        ".env.local",
        "views.csv",
        "clip.dcm",
        "docs/images/clip.mp4",
        "tests/media/cine.avi",
        "notes/volume.nii.gz",
    ],
)
def test_recordings_secrets_and_names_stay_out(path: str) -> None:
    assert ignored(path)


@pytest.mark.parametrize(
    "path",
    ["data/raw/real/own.dvc", "data/raw/real/.gitignore", "data/salt.demo", "data/review/own.yaml", "docs/data.md"],
)
def test_what_is_about_them_goes_in(path: str) -> None:
    assert not ignored(path)


def test_nothing_that_is_tracked_is_ignored() -> None:
    command = ["git", "ls-files", "--cached", "--ignored", "--exclude-standard"]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout == ""


def test_the_hook_refuses_what_was_added_by_force(tmp_path: Path) -> None:
    def git(*words: str) -> subprocess.CompletedProcess[str]:
        who = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "core.hooksPath=.githooks"]
        return subprocess.run(["git", *who, *words], cwd=tmp_path, capture_output=True, text=True)

    git("init", "-q")
    shutil.copy(ROOT / ".gitignore", tmp_path)
    shutil.copytree(ROOT / ".githooks", tmp_path / ".githooks")
    git("add", "-A")
    assert git("commit", "-qm", "what is allowed").returncode == 0
    (tmp_path / "Smith John.dcm").touch()
    git("add", "--force", "Smith John.dcm")
    refused = git("commit", "-qm", "a recording")
    assert refused.returncode == 1 and "Smith John.dcm" in refused.stderr
    git("reset", "-q", "HEAD", "Smith John.dcm")
    (tmp_path / "notes.md").touch()
    git("add", "notes.md")
    assert git("commit", "-qm", "notes").returncode == 0
    assert git("ls-files").stdout.split() == [".githooks/pre-commit", ".gitignore", "notes.md"]
