import errno
import hashlib
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from safetensors import SafetensorError

from echosynth.common.errors import EchosynthError
from echosynth.common.files import (
    atomic_file,
    atomic_folder,
    check_replaceable,
    explained,
    file_hash,
    fingerprint,
    full_disk,
    full_disk_explained,
    read_json,
    workspace,
    write_json,
)


def test_a_file_takes_its_place_whole(tmp_path):
    target = tmp_path / "new" / "a.txt"
    with atomic_file(target) as part:
        part.write_text("one")
        assert not target.exists()
    assert target.read_text() == "one"
    with pytest.raises(RuntimeError), atomic_file(target) as part:
        part.write_text("half")
        raise RuntimeError
    assert target.read_text() == "one" and [path.name for path in target.parent.iterdir()] == ["a.txt"]


def test_a_folder_takes_its_place_whole(tmp_path):
    target = tmp_path / "set"
    for content in ("old", "new"):
        with atomic_folder(target) as part:
            assert not list(part.iterdir())
            (part / content).touch()
    assert [path.name for path in target.iterdir()] == ["new"]
    with pytest.raises(RuntimeError), atomic_folder(target) as part:
        (part / "half").touch()
        raise RuntimeError
    assert [path.name for path in target.iterdir()] == ["new"] and [path.name for path in tmp_path.iterdir()] == ["set"]


def test_a_folder_left_by_a_crash_is_no_obstacle(tmp_path):
    (tmp_path / "set.part").mkdir()
    (tmp_path / "set.part" / "left").touch()
    with atomic_folder(tmp_path / "set") as part:
        assert not list(part.iterdir())


@pytest.mark.parametrize("target", [".", "..", "../here", "{here}", "sub/.."])
def test_the_working_directory_is_never_replaced(tmp_path, monkeypatch, target):
    here = tmp_path / "here"
    (here / "sub").mkdir(parents=True)
    monkeypatch.chdir(here)
    refused = pytest.raises(EchosynthError, match="is the working directory or holds it; name a new folder")
    with refused, atomic_folder(target.format(here=here)):
        pass
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["here", "sub"]


def test_a_folder_with_something_else_in_it_is_refused(tmp_path):
    check_replaceable(tmp_path / "new", ())
    check_replaceable(tmp_path, ())
    (tmp_path / "a").touch()
    check_replaceable(tmp_path, ["a", "b"])
    with pytest.raises(EchosynthError, match="holds a, which this command did not write; name a new folder"):
        check_replaceable(tmp_path, ["b"])
    with pytest.raises(EchosynthError, match="a is a file; name a new folder"):
        check_replaceable(tmp_path / "a", ["a"])


@pytest.mark.parametrize(
    ("code", "words"), [(errno.ENOSPC, "disk is full"), (errno.EACCES, "no permission"), (errno.EROFS, "read-only")]
)
def test_what_the_disk_refuses_is_explained(tmp_path, code, words):
    with pytest.raises(EchosynthError, match=f"cannot write .*x: .*{words}"), explained(tmp_path / "x"):
        raise OSError(code, "")
    with pytest.raises(OSError, match="odd") as error, explained(tmp_path / "x"):
        raise OSError(errno.EIO, "odd")
    assert not isinstance(error.value, EchosynthError)


@pytest.mark.parametrize(
    "error",
    [  # as they come from a disk that is full
        OSError("262144 requested and 131056 written"),  # numpy.save
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
        sqlite3.OperationalError("database or disk is full"),
        RuntimeError("ITK ERROR: MetaImageIO: File cannot be written: a.mhd\nReason: No space left on device"),
        RuntimeError("OSError: [Errno 28] No space left on device"),  # of another process
    ],
)
def test_a_full_disk_is_known_in_the_words_of_every_library(error):
    sentence = "cannot write x: the disk is full; free some room and run again"
    with pytest.raises(EchosynthError) as said, explained("x"):
        raise error
    assert str(said.value) == sentence
    with (
        pytest.raises(EchosynthError, match=r"^cannot write in .*: the disk is full; free"),
        full_disk_explained(),
    ):
        try:
            raise error
        except type(error):
            raise LookupError("and then this") from None
    assert full_disk(RuntimeError("[Errno 122] Disk quota exceeded")) == "the disk quota is used up; free some room"


def test_a_net_leaves_other_errors_and_sentences_alone():
    for error in (PermissionError(errno.EACCES, "no"), EchosynthError("database or disk is full"), KeyError("28")):
        with pytest.raises(type(error)) as raised, full_disk_explained():
            raise error
        assert raised.value is error
    with pytest.raises(EchosynthError, match=r"^it will not do$"), explained("x"):
        raise EchosynthError("it will not do")


def test_of_a_copy_the_second_file_is_what_cannot_be_written():
    with pytest.raises(EchosynthError, match=r"^cannot write there: the disk is full"), full_disk_explained():
        raise OSError(errno.ENOSPC, "No space left on device", "here", None, "there")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux alone has a device that is always full")
def test_numpy_on_a_full_disk():
    with pytest.raises(EchosynthError, match="cannot write x: the disk is full"), explained("x"):  # noqa: SIM117
        with Path("/dev/full").open("wb") as stream:
            np.save(stream, np.zeros(100_000))


def test_a_path_through_a_file_is_explained(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(EchosynthError, match=r"cannot write .*a\.json"):
        write_json(tmp_path / "file" / "sub" / "a.json", {})


def test_json_has_the_same_bytes_whatever_the_order(tmp_path):
    write_json(tmp_path / "a.json", {"b": 1, "a": "é"})
    write_json(tmp_path / "b.json", {"a": "é", "b": 1})
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert read_json(tmp_path / "a.json") == {"a": "é", "b": 1}


@pytest.mark.parametrize("content", [None, b"{", b"\xff\xfe\x00"])
def test_missing_and_broken_json_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(EchosynthError, match=r"a\.json is (missing|no valid JSON)"):
        read_json(tmp_path / "a.json")


def test_fingerprints_depend_on_content_alone(tmp_path):
    assert fingerprint({"a": 1, "b": 2}, "x") == fingerprint({"b": 2, "a": 1}, "x")
    assert len({fingerprint(1), fingerprint("1"), fingerprint(1, 2), fingerprint([1, 2])}) == 4
    (tmp_path / "f").write_bytes(b"abc")
    assert file_hash(tmp_path / "f") == hashlib.md5(b"abc", usedforsecurity=False).hexdigest()


def test_the_workspace_is_dvcs_root_where_there_is_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    assert workspace() == tmp_path.resolve()
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "parent"))
    assert workspace() == (tmp_path / "parent").resolve()
