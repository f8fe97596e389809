"""Whole sets: killed, torn, shared by processes; the bytes stay the same."""

import json
import os
import signal
import socket
import subprocess
import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from echosynth.common.errors import EchosynthError
from echosynth.common.views import VIEWS
from echosynth.common.weights import save_weights
from echosynth.diffusion import synthetic_set as module
from echosynth.diffusion.model import DiffusionCard, load, save
from echosynth.diffusion.network import ViewDenoiser
from echosynth.diffusion.options import SampleParams
from echosynth.diffusion.sampling import CPU_BATCH, sample_images
from echosynth.diffusion.set_plan import make_plan
from echosynth.diffusion.synthetic_set import SyntheticSet, Team, guiding_snapshot, make_set
from echosynth.imagesets.store import read_image_set

COUNT = 90  # in blocks of 20, the last one half full
BLOCKS = 5
BARE = {"preconditioning": "none", "loss": "simple", "steps": 1000}  # of a model without statistics
OUTPUTS = ("images.zip", "manifest.csv", "metrics.json")
# Waits before each block, the last time given also before all later ones: to be killed there, or to meet others.
SLOW = """
import itertools, sys, time
from pathlib import Path
from echosynth.diffusion import synthetic_set as module
from echosynth.diffusion.model import read_card
from echosynth.diffusion.options import SampleParams
from echosynth.diffusion.set_plan import make_plan
draw = module.sample_batch
waits = list(map(float, sys.argv[5:]))
waits = itertools.chain(waits, itertools.repeat(waits[-1]))
module.sample_batch = lambda *args: time.sleep(next(waits)) or draw(*args)
model, out = map(Path, sys.argv[1:3])
options = SampleParams.model_validate_json(sys.argv[4])
plan = make_plan(read_card(model), options, int(sys.argv[3]))
module.make_set(module.SyntheticSet(model, plan, options, "fp32"), out, "synthetic-tiny")
"""


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "workspace"))
    return tmp_path / "workspace"


@pytest.fixture
def store(params, tmp_path):
    """Store an untrained model: (name, changes of the parameters) -> its folder."""

    def make(name="model", seed=0, **changes):
        changes = {"channels": [16, 32], "attention": [4], "timesteps": 50} | BARE | changes
        card = DiffusionCard(
            sources=("lvh", "tmed2"),
            size=16,
            diffusion=params.diffusion.model_copy(update=changes),
            training_images={view: {"lvh": 3, "tmed2": 1} for view in VIEWS},
            training_hash="0" * 16,
            step=1000,
            ema_decay=0.9,
            kernel=None,
        )
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network = ViewDenoiser(card.diffusion, 16, 2)
        (tmp_path / name).mkdir()
        save(tmp_path / name, network.state_dict(), card)
        return tmp_path / name

    return make


@pytest.fixture
def options(params):
    """Section `sample` with changes: seed 3, two evaluations, 50 images at a time on a GPU."""

    def make(**changes):
        small = {"seed": 3, "solver": "unipc", "evaluations": 2, "batch_size": 50} | changes
        return SampleParams.model_validate(params.sample.model_dump() | small)

    return make


@pytest.fixture
def wanted(store, options):
    folder = store()
    return SyntheticSet(folder, make_plan(module.read_card(folder), options(), COUNT), options(), "fp32")


@pytest.fixture
def made(monkeypatch):
    """First numbers of the blocks that are sampled."""
    blocks, draw = [], module.sample_batch

    def watched(model, views, sources, numbers, *args):
        blocks.append(numbers[0])
        return draw(model, views, sources, numbers, *args)

    monkeypatch.setattr(module, "sample_batch", watched)
    return blocks


def content(folder):
    return {name: (folder / name).read_bytes() for name in OUTPUTS}


def saved(workspace):
    return sorted(workspace.glob(".resume/sample-*/[0-9]*[0-9]/images.npy"))


def test_a_set_is_what_was_planned(wanted, tmp_path, workspace):
    assert make_set(wanted, tmp_path / "out", "synthetic-tiny") > 0
    stored = read_image_set(tmp_path / "out")
    manifest = stored.manifest
    assert manifest["id"].tolist() == [f"synthetic-tiny-{n:06d}" for n in range(COUNT)]
    assert manifest["view"].tolist() == [VIEWS[n % 4] for n in range(COUNT)]
    assert manifest["source"].tolist() == [f"synthetic-{wanted.plan.source(n)}" for n in range(COUNT)]
    assert manifest["synthetic"].all() and set(manifest["group_kind"]) == {"none"}
    model = load(wanted.model, torch.device("cpu"))
    expected = sample_images(model, wanted.plan.views, wanted.plan.sources, 3, wanted.options, "fp32")
    assert np.array_equal(stored.images, expected)
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    by_pair = Counter(zip(manifest["view"], manifest["source"].str.removeprefix("synthetic-"), strict=True))
    assert {(v, s): n for v, row in metrics["by_view_and_source"].items() for s, n in row.items()} == by_pair
    assert metrics["by_view"] == {"A2C": 23, "A4C": 23, "PLAX": 22, "PSAX": 22}
    assert (metrics["images"], metrics["solver"], metrics["evaluations"]) == (COUNT, "unipc", 2)
    assert not saved(workspace)


def test_a_source_that_is_not_told_is_not_named(wanted, options, tmp_path):
    plan = make_plan(module.read_card(wanted.model), options(sources="none"), 4)
    make_set(replace(wanted, plan=plan), tmp_path / "out", "synthetic-tiny")
    assert set(read_image_set(tmp_path / "out").manifest["source"]) == {"synthetic"}


def test_memory_does_not_grow_with_the_set(wanted, tmp_path, monkeypatch):
    """Blocks are read back when their turn comes, and only one is held."""
    events, read = [], module._saved

    def watched(state, block, size):
        events.append(block.start)
        return read(state, block, size)

    def write(folder, rows, extra):
        events.clear()
        for number, _ in enumerate(rows):
            assert events == list(range(0, number + 1, CPU_BATCH))

    monkeypatch.setattr(module, "_saved", watched)
    monkeypatch.setattr(module, "write_image_stream", write)
    make_set(wanted, tmp_path / "out", "synthetic-tiny")


@pytest.fixture
def interrupted(wanted, tmp_path, workspace, monkeypatch):
    """The blocks of a run that made everything and then could not write."""
    with monkeypatch.context() as patch:
        patch.setattr(module, "write_image_stream", lambda *args: (_ for _ in ()).throw(EchosynthError("disk is full")))
        with pytest.raises(EchosynthError, match="disk is full"):
            make_set(wanted, tmp_path / "out", "synthetic-tiny")
    assert len(saved(workspace)) == BLOCKS
    return saved(workspace)


def test_torn_and_lost_blocks_are_made_anew(wanted, tmp_path, workspace, interrupted, made, capsys):
    interrupted[1].write_bytes(interrupted[1].read_bytes()[:500])
    interrupted[2].write_bytes(b"")
    interrupted[3].unlink()
    np.save(interrupted[4], np.zeros((3, 16, 16), np.uint8))
    make_set(wanted, tmp_path / "out", "synthetic-tiny")
    assert made == [20, 40, 60, 80]
    assert "going on after 20 of 90 images" in capsys.readouterr().err
    made.clear()
    make_set(wanted, tmp_path / "whole", "synthetic-tiny")
    assert made == [0, 20, 40, 60, 80]
    assert content(tmp_path / "out") == content(tmp_path / "whole")


def test_pickles_are_not_read(wanted, tmp_path, interrupted, made):
    np.save(interrupted[0], np.array([{"a": 1}], dtype=object), allow_pickle=True)
    make_set(wanted, tmp_path / "out", "synthetic-tiny")
    assert made == [0]


def test_other_weights_seeds_and_settings_start_anew(wanted, options, store, tmp_path, interrupted, made):
    others = [
        replace(wanted, options=options(seed=4)),
        replace(wanted, options=options(evaluations=3)),
        replace(wanted, precision="bf16"),
        replace(wanted, plan=make_plan(module.read_card(wanted.model), options(sources="lvh"), COUNT)),
        replace(wanted, model=store("other", seed=1)),
    ]
    for other in others:
        made.clear()
        make_set(other, tmp_path / "out", "synthetic-tiny")
        assert len(made) == BLOCKS
    made.clear()
    # A CPU's images do not depend on the batch size.
    make_set(replace(wanted, options=options(batch_size=7)), tmp_path / "out", "synthetic-tiny")
    assert made == []


def test_processes_take_turns_and_the_main_one_writes(wanted, tmp_path, workspace, made, monkeypatch):
    monkeypatch.setattr(Team, "wait", lambda team: None)
    make_set(wanted, tmp_path / "out", "synthetic-tiny", team=Team(1, 2))
    assert made == [20, 60] and not (tmp_path / "out").exists()
    assert len(saved(workspace)) == 2
    made.clear()
    make_set(wanted, tmp_path / "out", "synthetic-tiny", team=Team(0, 2))
    assert made == [0, 40, 80] and not saved(workspace)
    make_set(wanted, tmp_path / "one", "synthetic-tiny")
    assert content(tmp_path / "out") == content(tmp_path / "one")


def test_processes_that_share_no_folder_are_told(wanted, tmp_path, monkeypatch):
    monkeypatch.setattr(Team, "wait", lambda team: None)
    with pytest.raises(EchosynthError, match=r"0000020 is missing.*share this folder"):
        make_set(wanted, tmp_path / "out", "synthetic-tiny", team=Team(0, 2))
    assert not (tmp_path / "out").exists()


def test_out_of_memory_is_one_sentence(wanted, tmp_path, monkeypatch):
    def fail(message):
        def draw(*args):
            raise RuntimeError(message)

        return draw

    monkeypatch.setattr(module, "sample_batch", fail("DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"))
    with pytest.raises(EchosynthError, match=r"out of memory.*try sample\.batch_size = 10"):
        make_set(wanted, tmp_path / "out", "synthetic-tiny")
    monkeypatch.setattr(module, "sample_batch", fail("something else"))
    with pytest.raises(RuntimeError, match="something else"):
        make_set(wanted, tmp_path / "out", "synthetic-tiny")


def test_out_of_memory_on_a_gpu_halves_the_batch():
    with (
        pytest.raises(EchosynthError, match=r"try sample\.batch_size = 50"),
        module._memory(torch.device("cuda"), 100),
    ):
        raise torch.OutOfMemoryError("CUDA out of memory")


def test_blocks_of_a_gpu_are_its_batches(wanted):
    assert [len(block) for block in wanted.blocks(torch.device("cuda"))] == [50, 40]
    assert [len(block) for block in wanted.blocks(torch.device("cpu"))] == [20, 20, 20, 20, 10]


@pytest.fixture
def kept(store):
    """A model of 1000 steps with its snapshots, of which the last has its own weights."""
    folder = store("kept", view_dropout=0.0)
    for step in (250, 500, 750, 1000):
        with torch.random.fork_rng():
            torch.manual_seed(step)
            network = ViewDenoiser(module.read_card(folder).diffusion, 16, 2)
        (folder / "snapshots").mkdir(exist_ok=True)
        save_weights(network.state_dict(), folder / f"snapshots/step-{step:07d}.safetensors")
    return folder


@pytest.mark.parametrize(
    ("share", "step"), [(0.01, 250), (0.37, 250), (0.38, 500), (0.5, 500), (0.7, 750), (0.99, 750)]
)
def test_the_nearest_earlier_guiding_snapshots(kept, share, step):
    assert guiding_snapshot(kept, share) == f"snapshots/step-{step:07d}.safetensors"


def test_no_snapshot_to_guide(kept, store):
    assert guiding_snapshot(kept, 0.0) == ""
    with pytest.raises(EchosynthError, match=r"diffusion\.keep_snapshots"):
        guiding_snapshot(store(), 0.5)
    for step in (250, 500, 750):
        (kept / f"snapshots/step-{step:07d}.safetensors").unlink()
    with pytest.raises(EchosynthError, match=r"diffusion\.keep_snapshots"):
        guiding_snapshot(kept, 0.9)  # the model itself is no guide


def test_autoguidance_by_a_stored_snapshot(kept, options, tmp_path):
    plan = make_plan(module.read_card(kept), options(), 6)
    images = {}
    guided = options(evaluations=3, guidance=2.0, autoguidance=0.5)
    for name, changes in {
        "plain": {"guidance": 1.0, "autoguidance": 0.0},
        "unused": {"guidance": 1.0},
        "guided": {},
        "other": {"autoguidance": 0.2},
    }.items():
        wanted = SyntheticSet(kept, plan, guided.model_copy(update=changes), "fp32")
        make_set(wanted, tmp_path / name, "synthetic-tiny")
        images[name] = np.array(read_image_set(tmp_path / name).images)
    assert np.array_equal(images["plain"], images["unused"])
    assert not np.array_equal(images["plain"], images["guided"])
    assert not np.array_equal(images["other"], images["guided"])
    model, guide = (
        load(kept, torch.device("cpu"), name) for name in ("model.safetensors", guiding_snapshot(kept, 0.5))
    )
    assert np.array_equal(images["guided"], sample_images(model, plan.views, plan.sources, 3, guided, "fp32", guide))


def start(python, wanted, out, *waits, **environment):
    command = [
        python,
        "-c",
        SLOW,
        str(wanted.model),
        str(out),
        str(COUNT),
        wanted.options.model_dump_json(),
        *map(str, waits),
    ]
    return subprocess.Popen(command, stderr=subprocess.PIPE, env=os.environ | {"OMP_NUM_THREADS": "1"} | environment)


@pytest.mark.slow
def test_a_killed_run_ends_with_the_same_bytes(python, wanted, tmp_path, workspace, made):
    killed = start(python, wanted, tmp_path / "out", 0, 0, 3600)
    while len(saved(workspace)) < 2 and killed.poll() is None:
        time.sleep(0.02)
    assert killed.poll() is None, killed.communicate()[1].decode()
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    done = len(saved(workspace))
    assert 2 <= done < BLOCKS and not (tmp_path / "out").exists()
    make_set(wanted, tmp_path / "out", "synthetic-tiny")
    assert made == [CPU_BATCH * block for block in range(done, BLOCKS)]
    make_set(wanted, tmp_path / "whole", "synthetic-tiny")
    assert content(tmp_path / "out") == content(tmp_path / "whole")
    assert not saved(workspace)


@pytest.mark.slow
def test_two_processes_give_what_one_gives(python, wanted, tmp_path, workspace):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    address = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    both = [start(python, wanted, tmp_path / "out", 0.5, RANK=rank, LOCAL_RANK=rank, **address) for rank in "01"]
    for process in both:
        words = process.communicate()[1].decode()
        assert process.returncode == 0, words
    assert not saved(workspace)
    make_set(wanted, tmp_path / "one", "synthetic-tiny")
    assert content(tmp_path / "out") == content(tmp_path / "one")
