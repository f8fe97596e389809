"""The DVC remotes of docs/teams.md: a folder, an S3-compatible bucket, SFTP, and experiments that travel."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.teams.page import clean_environment, documented, require, shell
from tests.teams.servers import Bucket, free_port, running_sftp

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("preloaded")]
TEAM = ("mine", "colleague")
PIPELINE = """stages:
  final:
    cmd: grep learning_rate params.yaml > final.txt
    params: [classifier.learning_rate]
    outs: [final.txt]
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a git server (origin.git) and a clone of it, in which DVC holds some data; no remote yet."""
    folder = tmp_path_factory.mktemp("template")
    images = folder / "mine/data/images"
    shell("git init -q --bare origin.git && git clone -q origin.git mine 2>&1", folder, clean_environment(folder))
    images.mkdir(parents=True)
    for number in range(4):
        (images / f"{number}.png").write_bytes(os.urandom(20_000))
    (folder / "mine/dvc.yaml").write_text(PIPELINE)
    (folder / "mine/params.yaml").write_text("classifier:\n  learning_rate: 0.01\n")
    setup = """
        dvc init --quiet
        dvc config core.analytics false
        dvc add --quiet data/images
        dvc repro --quiet
        git add --all
        git commit --quiet --message data
        git push --quiet --set-upstream origin HEAD
    """
    shell(setup, folder / "mine", clean_environment(folder))
    return folder


@pytest.fixture
def team(template: Path, tmp_path: Path) -> Path:
    """The git server and the clone, for one test; the folder is the home folder too."""
    for name in ("origin.git", "mine"):
        shutil.copytree(template / name, tmp_path / name)
    shell(f"git remote set-url origin {tmp_path}/origin.git", tmp_path / "mine", clean_environment(tmp_path))
    return tmp_path


def do(team: Path, place: str, *scripts: str, check: bool = True) -> str:
    """What these lines print in a folder of the team."""
    return shell("\n".join(scripts), team / place, clean_environment(team), check=check).stdout


def clone(team: Path) -> None:
    """A colleague's fresh clone."""
    do(team, ".", "git clone --quiet origin.git colleague")
    assert not (team / "colleague/data/images").exists()


def same(team: Path) -> bool:
    """Whether the colleague has the files that were pushed, byte for byte."""
    mine, other = ({path.name: path.read_bytes() for path in (team / who).glob("data/images/*")} for who in TEAM)
    return mine == other and len(mine) == 4


def test_folder_and_experiments(team: Path) -> None:
    words = {"git.hospital.example:echo/echosynth.git": "origin.git", "/mnt/team/echosynth": str(team / "share")}
    first, second, _ = documented("A folder", words)
    do(team, "mine", first)
    do(team, ".", second)
    assert same(team)

    send, take = documented("Experiments", {})
    do(team, "mine", send)
    do(team, "colleague", take)
    assert "0.05" in (team / "colleague/final.txt").read_text()
    assert "0.05" in (team / "colleague/params.yaml").read_text()


def test_folder_that_is_mounted_elsewhere_or_not_at_all(team: Path) -> None:
    words = {"/mnt/team/echosynth": str(team / "share"), "/media/team/echosynth": str(team / "moved")}
    first, _, elsewhere = documented("A folder", words)
    do(team, "mine", first)
    (team / "share").rename(team / "moved")
    clone(team)
    failed = do(team, "colleague", "dvc pull", check=False)
    assert "Traceback" not in failed
    assert "data/images" in failed
    do(team, "colleague", elsewhere)
    assert same(team)


def test_bucket(team: Path, bucket: Bucket) -> None:
    require("dvc_s3")
    heading = "An S3-compatible store"
    shared, own = documented(heading, {"https://s3.hospital.example": bucket.endpoint})
    right = own.replace("BUCKET-KEY", bucket.key).replace("BUCKET-SECRET", bucket.secret)
    do(team, "mine", shared, right)
    clone(team)
    wrong = do(team, "colleague", own, check=False)  # with the page's words for keys
    assert "Traceback" not in wrong
    assert "ERROR" in wrong
    assert "BUCKET-SECRET" not in wrong
    assert not (team / "colleague/data/images/0.png").exists()
    do(team, "colleague", right)
    assert same(team)
    assert len([name for name in bucket.names("echosynth-dvc") if name.startswith("store/")]) >= 5
    for file in ("mine/.dvc/config", "colleague/.dvc/config"):
        assert bucket.key not in (team / file).read_text()
    assert not do(team, "mine", "git status --porcelain")

    missing = do(
        team, "mine", "dvc remote modify --local storage url s3://no-such-bucket/store", "dvc push", check=False
    )
    assert "Traceback" not in missing
    assert "bucket does not exist" in missing


def test_machine_with_ssh(team: Path, write_key: Callable[[Path], None]) -> None:
    require("dvc_ssh", "asyncssh")
    heading, port = "A machine with SSH", free_port()
    (team / "disk/srv").mkdir(parents=True)
    for name in ("id_ed25519", "stranger"):
        write_key(team / ".ssh" / name)
    shared, own = documented(heading, {"files.hospital.example:22": f"127.0.0.1:{port}"})
    with running_sftp(team / "disk", port, team / ".ssh/id_ed25519.pub"):
        do(team, "mine", shared, own)
        clone(team)
        wrong = do(team, "colleague", own.replace("id_ed25519", "stranger"), check=False)
        assert "Traceback" not in wrong
        assert "ermission denied" in wrong
        assert not (team / "colleague/data/images/0.png").exists()
    with running_sftp(team / "disk", port, team / ".ssh/id_ed25519.pub"):  # with another host key
        do(team, "colleague", own)
    assert same(team)
    assert not do(team, "mine", "git status --porcelain")


@pytest.fixture
def write_key() -> Callable[[Path], None]:
    """Write a pair of SSH keys without a passphrase."""

    def write(path: Path) -> None:
        import asyncssh

        path.parent.mkdir(exist_ok=True)
        key = asyncssh.generate_private_key("ssh-ed25519")
        key.write_private_key(str(path))
        key.write_public_key(f"{path}.pub")

    return write
