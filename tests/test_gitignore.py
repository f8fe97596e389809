"""What `git add -A` would take: never recordings, secrets or tables that name files of patients."""

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
