import pytest

from echosynth.ingest.batches import pack, unpack
from echosynth.ingest.frames import Reading, Taken
from echosynth.ingest.journal import Journal

READINGS = [
    Reading((Taken(3, "ED", "0" * 16, b"png one"), Taken(9, "", "1" * 16, b"png two")), 12, 640, 480, 1),
    Reading(error="bad.png is empty; copy it again"),
]


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    return tmp_path


def test_a_batch_comes_back_as_it_was():
    assert unpack(pack(READINGS)) == READINGS and unpack(pack([])) == []
    assert pack(READINGS) == pack(READINGS)


def test_batches_lie_outside_of_the_pipelines_outputs(workspace):
    journal = Journal("some", 1)
    journal.write(7, pack(READINGS))
    assert journal.read(7) == READINGS
    (path,) = workspace.rglob("*.zip")
    assert path.parent.parent == workspace / ".resume" and path.parent.name.startswith("ingest-")
    journal.clear()
    assert not journal.folder.exists()


def test_keys_and_code_tell_journals_apart(monkeypatch):
    first = Journal("some", {"size": 32}).folder
    assert Journal("some", {"size": 32}).folder == first
    assert Journal("some", {"size": 64}).folder != first
    monkeypatch.setattr("echosynth.ingest.journal.version", lambda name: "another")
    assert Journal("some", {"size": 32}).folder != first


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-40], lambda data: b"", lambda data: data.replace(b"one", b"two")]
)
def test_damaged_batches_and_those_of_another_size_count_as_missing(damage):
    journal = Journal("some")
    for number in range(3):
        journal.write(number, pack(READINGS))
    assert journal.missing([2, 2, 2, 2]) == [3]
    (journal.folder / "000001.zip").write_bytes(damage(pack(READINGS)))
    assert journal.missing([2, 2, 1]) == [1, 2]


def test_rows_that_make_no_sense_count_as_missing():
    journal = Journal("some")
    journal.write(0, pack(READINGS).replace(b'"frames": 12', b'"frumes": 12'))
    assert journal.missing([2]) == [0]
