"""Ingests that are killed, watched, or run elsewhere: the bytes stay the same."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from echosynth.common.errors import EchosynthError
from echosynth.common.progress import progress
from echosynth.ingest import batches as batches_module
from echosynth.ingest import frames
from echosynth.ingest import image_set as module
from echosynth.ingest.image_set import ingest
from echosynth.sources.registry import find_source

DYNAMIC = find_source("echonet-dynamic")
ROOT = Path(__file__).parents[2]
FILES = 40
OUTPUTS = ("images.zip", "manifest.csv", "report.json")
# Decodes a part and then waits to be killed.
SLOW = """
import itertools, sys, time
from pathlib import Path
from echosynth.config.parameters import load_params
from echosynth.ingest import batches, image_set
from echosynth.sources.registry import find_source
read = batches.read_record
numbers = itertools.count()
batches.read_record = lambda *args: time.sleep(3600 * (next(numbers) >= 20)) or read(*args)
params = load_params(sys.argv[3])
params = params.model_copy(update={"ingest": params.ingest.model_copy(update={"workers": 1})})
image_set.ingest(find_source("echonet-dynamic"), Path(sys.argv[1]), Path(sys.argv[2]), params)
"""


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "workspace"))
    return tmp_path / "workspace"


@pytest.fixture
def dynamic(tmp_path, write_avi, write_csv):
    folder = tmp_path / "dynamic"
    for index in range(FILES):
        write_avi(folder / f"Videos/0X{index:02d}.avi", 4)
    write_csv(folder / "FileList.csv", "FileName,Split", *(f"0X{index:02d},TRAIN" for index in range(FILES)))
    return folder


@pytest.fixture
def one_by_one(params):
    return params.model_copy(update={"ingest": params.ingest.model_copy(update={"workers": 1})})


@pytest.fixture
def decoded(monkeypatch):
    """Names of the files that are decoded, for one worker."""
    names = []

    def read(record, *args):
        names.append(record.path.name)
        return frames.read_record(record, *args)

    monkeypatch.setattr(batches_module, "read_record", read)
    return names


def content(folder):
    return {name: (folder / name).read_bytes() for name in OUTPUTS}


def batches(workspace):
    return sorted(workspace.glob(".resume/ingest-*/*.zip"))


def test_a_killed_ingest_goes_on_where_it_was(tmp_path, workspace, dynamic, one_by_one, decoded, monkeypatch, capsys):
    ingest(DYNAMIC, dynamic, tmp_path / "whole", one_by_one)
    assert len(decoded) == FILES and not batches(workspace)
    decoded.clear()
    command = [sys.executable, "-c", SLOW, str(dynamic), str(tmp_path / "out"), str(ROOT / "params.yaml")]
    killed = subprocess.Popen(command, stderr=subprocess.PIPE)
    while len(batches(workspace)) < 5 and killed.poll() is None:
        time.sleep(0.02)
    assert killed.poll() is None, killed.communicate()[1].decode()
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    kept = len(batches(workspace))
    assert 5 <= kept < 20 and not (tmp_path / "out").exists()
    shown = []

    def watched(items, total, what, unit, start):
        shown.append((total, unit, start))
        return progress(items, total, what, unit, start)

    monkeypatch.setattr(module, "progress", watched)
    ingest(DYNAMIC, dynamic, tmp_path / "out", one_by_one)
    assert shown == [(FILES, "files", 2 * kept)]  # two files a batch
    assert len(decoded) == FILES - 2 * kept
    assert f"going on after {2 * kept} of {FILES} files" in capsys.readouterr().err
    assert content(tmp_path / "out") == content(tmp_path / "whole")
    assert not list(workspace.glob(".resume/ingest-*/"))


@pytest.fixture
def interrupted(tmp_path, workspace, dynamic, one_by_one, monkeypatch):
    """The batches of an ingest that decoded everything and then could not write."""
    with monkeypatch.context() as patch:
        patch.setattr(module, "write_image_stream", lambda *args: (_ for _ in ()).throw(EchosynthError("disk is full")))
        with pytest.raises(EchosynthError, match="disk is full"):
            ingest(DYNAMIC, dynamic, tmp_path / "out", one_by_one)
    assert len(batches(workspace)) == 20
    return batches(workspace)


def test_a_damaged_batch_is_decoded_anew(tmp_path, interrupted, dynamic, one_by_one, decoded):
    interrupted[3].write_bytes(interrupted[3].read_bytes()[:100])
    data = bytearray(interrupted[7].read_bytes())
    data[data.index(b"IDAT") + 20] ^= 1
    interrupted[7].write_bytes(data)
    interrupted[11].unlink()
    ingest(DYNAMIC, dynamic, tmp_path / "out", one_by_one)
    assert decoded == [f"0X{number:02d}.avi" for number in (6, 7, 14, 15, 22, 23)]
    assert (tmp_path / "out/images.zip").is_file()


def test_changed_files_or_parameters_start_anew(tmp_path, interrupted, dynamic, one_by_one, decoded, params_with):
    ingest(DYNAMIC, dynamic, tmp_path / "seed", params_with(ingest={"workers": 1, "seed": 5}))
    assert len(decoded) == FILES
    os.utime(dynamic / "Videos/0X05.avi", ns=(1, 1))
    ingest(DYNAMIC, dynamic, tmp_path / "touched", one_by_one)
    assert len(decoded) == 2 * FILES


def test_other_workers_go_on_too(tmp_path, interrupted, dynamic, params_with, monkeypatch):
    monkeypatch.setattr(module, "decode", lambda batch: pytest.fail("decoded again"))
    ingest(DYNAMIC, dynamic, tmp_path / "out", params_with(ingest={"workers": 2}))
    assert (tmp_path / "out/images.zip").is_file()


def test_bad_files_are_told_again_after_a_kill(tmp_path, workspace, dynamic, params_with, capsys):
    (dynamic / "Videos/0X05.avi").write_bytes(b"")
    strict = params_with(data={"max_bad_share": 0.0}, ingest={"workers": 1})
    for _ in range(2):
        with pytest.raises(EchosynthError, match=r"1 of 40 files.*0X05\.avi is empty"):
            ingest(DYNAMIC, dynamic, tmp_path / "out", strict)
    names = (tmp_path / "workspace/.cache/left-out/echonet-dynamic.csv").read_text()
    assert "unreadable,Videos/0X05.avi," in names and "0X05.avi is empty" in names
    report = ingest(DYNAMIC, dynamic, tmp_path / "out", params_with(ingest={"workers": 1}))
    assert report["omitted"]["unreadable"]["count"] == 1 and not batches(workspace)
    assert "going on after 40 of 40 files" in capsys.readouterr().err


@pytest.mark.slow
def test_processes_and_dask_give_the_same_bytes(tmp_path, dynamic, params_with):
    (dynamic / "Videos/0X05.avi").write_bytes(b"")
    for name, changes in {"one": {"workers": 1}, "two": {"workers": 2}, "dask": {"backend": "dask"}}.items():
        ingest(DYNAMIC, dynamic, tmp_path / name, params_with(ingest=changes))
    assert content(tmp_path / "one") == content(tmp_path / "two") == content(tmp_path / "dask")
