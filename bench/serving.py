"""One frame to the probabilities of its views, on one core: by the served model over HTTP, ONNX Runtime and PyTorch."""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from bench.measurements import SEED, noise_images
from bench.results import Comparison, Missing, Rate, Result, compared
from bench.starting import measure_start
from bench.training import seconds
from echosynth.classifier import network as classifiers
from echosynth.common.arrays import Image
from echosynth.common.errors import EchosynthError
from echosynth.common.views import VIEWS
from echosynth.compute.device import Precision
from echosynth.config.parameters import Params
from echosynth.imagesets.prepare import prepare
from echosynth.imagesets.store import encode
from echosynth.serving import onnx
from echosynth.serving.view_classifier import ViewClassifier

READY_SECONDS = 120.0
READY, LATENCY = "start of the served model", "one frame to its view"
BATCH = "views of prepared images, ONNX Runtime against PyTorch"
# One thread in each process: MLflow's worker takes it from here.
ONE_CORE = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
Answers = list[dict[str, Any]]


@dataclass(frozen=True)
class Sizes:
    """How much work a measurement does.

    Attributes:
        repeats: runs of each way, in turns.
        frames: of a run, one after the other.
        height: of a frame.
        width: of a frame.
        batch: prepared images at a time, where throughput is compared.
        images: of them in a run.
    """

    repeats: int = 5
    frames: int = 20
    height: int = 600
    width: int = 800
    batch: int = 32
    images: int = 512


QUICK = Sizes(1, 2, 60, 80, 4, 8)


def measurements(params: Params, quick: bool, auto: Precision) -> list[Callable[[], Result | list[Result]]]:
    """All of them.

    Args:
        params: as for the pipeline.
        quick: tiny sizes, to see that it works.
        auto: no matter here: classifiers predict in fp32.
    """
    sizes = QUICK if quick else Sizes()
    return [
        partial(measure_cold_start, params, sizes),
        partial(measure_latency, params, sizes),
        partial(measure_batches, params, sizes),
    ]


def measure_cold_start(params: Params, sizes: Sizes) -> Comparison | Missing:
    """Time `echosynth predict` of one cine, see `bench.starting`."""
    with tempfile.TemporaryDirectory() as temporary:
        return measure_start(_network(params, Path(temporary) / "classifier"), sizes.repeats)


@contextmanager
def served(uri: str, folder: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """`mlflow models serve` of a model on this machine, from its first answer to the end of the block.

    Args:
        uri: what MLflow knows the model by, or its folder.
        folder: where the server runs and writes its log, server.log.
        environment: of the server, on top of this process's without what DVC and MLflow would read.

    Yields:
        The server's address, such as http://127.0.0.1:4242.

    Raises:
        RuntimeError: it has not answered after `READY_SECONDS`; with the end of its log.
    """
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("DVC_", "MLFLOW_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}"
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", uri, "--env-manager", "local"]
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            cwd=folder,
            env=kept | {"PATH": path} | dict(environment),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # it starts a process that does the work: both must go
        )
        try:
            address = f"http://127.0.0.1:{port}"
            _wait(server, address, folder / "server.log")
            yield address
        finally:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def _wait(server: "subprocess.Popen[bytes]", address: str, log: Path) -> None:
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end and server.poll() is None:
        try:
            urllib.request.urlopen(f"{address}/ping", timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError(f"the server does not answer:\n{log.read_text(errors='replace')[-2000:]}")


def body(*inputs: Any) -> bytes:
    """A request of some inputs; see `echosynth.serving.served_requests`."""
    return json.dumps({"inputs": inputs}).encode()


def ask(address: str, body: bytes) -> Answers:
    """What the server answers."""
    request = urllib.request.Request(f"{address}/invocations", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        found: Answers = json.loads(answer.read())["predictions"]
    return found


def measure_latency(params: Params, sizes: Sizes) -> list[Result]:
    """Time one grey frame at a time, from its pixels (or its PNG file) to its probabilities, all ways in turns."""
    frames = list(np.random.default_rng(SEED).integers(0, 256, (sizes.frames, sizes.height, sizes.width), np.uint8))
    # Noise of every pixel would make PNGs larger than scanners' are.
    frames = [np.ascontiguousarray(frame[::4, ::4].repeat(4, 0).repeat(4, 1)) for frame in frames]
    numbers = [body({"image": frame.tolist()}) for frame in frames]
    files = [body({"file": base64.b64encode(encode(frame)).decode()}) for frame in frames]
    with _one_thread(), tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        classifier = ViewClassifier(_network(params, folder / "classifier"))
        card = classifier.card
        exported = _exported(folder)
        if isinstance(exported, Missing):
            return [exported]
        running = onnx.session(exported, 1)
        saved = _saved(folder)
        began = time.perf_counter()
        with served(saved, folder, ONE_CORE) as address:
            ask(address, files[0])
            ready = time.perf_counter() - began
            ways: dict[str, Callable[[int], Any]] = {
                "served model over HTTP, frame as numbers": lambda number: ask(address, numbers[number]),
                "served model over HTTP, frame as PNG file": lambda number: ask(address, files[number]),
                "ONNX Runtime": lambda number: onnx.probabilities(
                    running, prepare(frames[number], card.size, resampling=card.resampling)[None]
                ),
                "PyTorch, ViewClassifier": lambda number: classifier.probabilities([frames[number]]),
            }
            _check([way(0) for way in ways.values()])
            laps: dict[str, list[float]] = {name: [] for name in ways}
            for _ in range(sizes.repeats):
                for name, way in ways.items():
                    laps[name] += [seconds(partial(way, number)) for number in range(len(frames))]
    setting = f"{card.architecture}, {card.size} x {card.size}, frame of {sizes.width} x {sizes.height}, one thread"
    return [
        Rate(READY, 1 / ready, "starts", 1, (ready,), f"{ready:.3g} s from the command to the first view"),
        *(
            Rate(LATENCY, 1 / min(times), "frames", 1, tuple(times), f"{name}; {setting}; {_ms(times)}")
            for name, times in laps.items()
        ),
    ]


def measure_batches(params: Params, sizes: Sizes) -> Comparison | Missing:
    """Time prepared images in batches, with one thread."""
    with _one_thread(), tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        classifier = ViewClassifier(_network(params, folder / "classifier"))
        exported = _exported(folder)
        if isinstance(exported, Missing):
            return exported
        running, size = onnx.session(exported, 1), classifier.card.size
        images = noise_images(sizes.images, size)
        parts = [images[first : first + sizes.batch] for first in range(0, len(images), sizes.batch)]
        ours = partial(_each, lambda part: onnx.probabilities(running, part), parts)
        others = partial(_each, lambda part: classifiers.predict(classifier.network, part), parts)
        ours(), others()
        pairs = [(seconds(ours), seconds(others)) for _ in range(sizes.repeats)]
    setting = f"{classifier.card.architecture}, {size} x {size}, {sizes.images} images, batches of {sizes.batch}"
    one, two = zip(*pairs, strict=True)
    return compared(BATCH, 1.0, one, two, "PyTorch", f"{setting}, one thread")


def _each(work: Callable[[Image], Any], parts: list[Image]) -> None:
    for part in parts:
        work(part)


def _ms(times: list[float]) -> str:
    return f"median {1000 * median(times):.3g} ms, best {1000 * min(times):.3g} ms"


def _check(found: list[Any]) -> None:
    """All ways must say the same, else their times are of no use."""
    rows = [
        np.array([[row[view] for view in VIEWS] for row in way]) if isinstance(way, list) else np.asarray(way)
        for way in found
    ]
    for row in rows:
        np.testing.assert_allclose(row, rows[-1], rtol=0, atol=onnx.TOLERANCE)


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _network(params: Params, folder: Path) -> Path:
    """An untrained classifier as in params.yaml: its speed does not depend on what it has learned."""
    size, architecture = params.ingest.size, params.arms.architectures[0]
    card = classifiers.ClassifierCard(
        size=size,
        resampling=params.ingest.resampling,
        architecture=architecture,
        arm="real",
        subset="all",
        seed=SEED,
        steps=0,
        training_images=dict.fromkeys(VIEWS, 0),
        synthetic_images=0,
        training_hash="0",
    )
    folder.mkdir()
    torch.manual_seed(SEED)
    classifiers.save(folder, classifiers.build(architecture, size), card)
    return folder


def _exported(folder: Path) -> Path | Missing:
    """The ONNX file of the classifier in `folder`, or what is missing to write it."""
    try:
        onnx.export(folder / "classifier", folder / "onnx")
    except EchosynthError as error:
        return Missing(LATENCY, str(error))
    return folder / "onnx" / onnx.MODEL


def _saved(folder: Path) -> str:
    """The classifier in `folder` as a model that MLflow serves, without a store."""
    from echosynth.serving.packaging import save_classifier

    save_classifier(folder / "classifier", folder / "model", noise_images(2, 32))
    return str(folder / "model")
