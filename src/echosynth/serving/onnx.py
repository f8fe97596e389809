"""The classifier as an ONNX file, for runtimes without PyTorch; checked against PyTorch before it is handed out."""

import contextlib
import importlib.util
import io
import json
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from echosynth.classifier.network import ClassifierCard, load, predict
from echosynth.common.errors import EchosynthError
from echosynth.common.files import atomic_folder, check_replaceable, file_hash, write_json
from echosynth.compute.device import to_tensor
from echosynth.imagesets.options import Resampling

Session: TypeAlias = Any  # onnxruntime.InferenceSession, which is not typed and not always installed

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
MODEL, CARD = "model.onnx", "card.json"
KIND = "onnx classifier"
INPUT, OUTPUT = "images", "probabilities"
BATCHES = (1, 2, 7)
RESAMPLING: dict[Resampling, str] = {
    "cubic": "cubic interpolation",
    "area-cubic": "if more than twice as large, averaged over areas to twice the size; then cubic interpolation",
}
SQUARE = "square pixels: where the size of a pixel is known, the coarser axis is enlarged by cubic interpolation"
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Exported:
    """An ONNX file.

    Attributes:
        size: side of its input in pixels.
        difference: largest absolute difference of a probability to PyTorch, on noise in batches of `BATCHES`.
    """

    size: int
    difference: float


def export(model: Path, out: Path) -> Exported:
    """Write model.onnx and card.json.

    The network takes prepared images, float32 (N, 1, S, S) from -1 to 1, any N, and gives probabilities (N, 4). The
    card says how a frame is prepared, as `echosynth.imagesets.prepare.prepare` does.

    Args:
        model: folder with model.safetensors and card.json.
        out: a new folder, or one of an earlier export, which is replaced.

    Raises:
        EchosynthError: packages are missing, the model cannot be read, `out` holds something else, or onnxruntime
            computes something else than PyTorch.
    """
    if missing := [name for name in PACKAGES if importlib.util.find_spec(name) is None]:
        raise EchosynthError(
            f"writing ONNX needs {' and '.join(missing)}; run `.venv/bin/pip install -r requirements-extra.txt`"
        )
    check_replaceable(out, _ours(out))
    network, card = load(model, torch.device("cpu"))
    with atomic_folder(out) as part:
        opset = _write(network, card.size, part / MODEL)
        difference = _difference(network, card.size, part / MODEL)
        # "not (within)" also catches NaN.
        if not difference < TOLERANCE:
            raise EchosynthError(
                f"onnxruntime predicts something else than PyTorch (by {difference:.2g}, {TOLERANCE:g} is allowed); "
                "check that the installed packages are those of requirements.txt and requirements-extra.txt"
            )
        facts = _card(card, opset, difference) | {
            "onnx_md5": file_hash(part / MODEL),
            "weights_md5": file_hash(model / "model.safetensors"),
        }
        write_json(part / CARD, facts)
    return Exported(card.size, difference)


def session(path: Path, threads: int = 0) -> Session:
    """An ONNX file, ready to run on the CPU.

    Args:
        path: the file.
        threads: at most; 0 is one a core.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def probabilities(running: Session, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """(N, 4) probabilities of prepared images (N, S, S) uint8 from an ONNX file."""
    return np.asarray(running.run([OUTPUT], {INPUT: to_tensor(images).numpy()})[0], np.float32)


def _ours(out: Path) -> set[str]:
    """Files of an earlier export in a folder: none where its card is another's."""
    try:
        card = json.loads((out / CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return set()
    return {MODEL, CARD} if isinstance(card, dict) and card.get("kind") == KIND else set()


def _write(network: nn.Module, size: int, path: Path) -> int:
    """Write the network with its softmax; returns the version of ONNX's operators."""
    # A batch of one would be taken for a constant.
    example = to_tensor(np.zeros((2, size, size), np.uint8))
    with _silent():
        program = torch.onnx.export(
            nn.Sequential(network, nn.Softmax(1)).eval(),
            (example,),
            dynamo=True,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: torch.export.Dim("N")},),
            verbose=False,
        )
        assert program is not None
        for node in program.model.graph.all_nodes():
            node.metadata_props.clear()  # traces of the stack: paths of this machine
        program.save(path, external_data=False)
    return int(program.model.opset_imports[""])


def _difference(network: nn.Module, size: int, path: Path) -> float:
    """Largest absolute difference of a probability between onnxruntime and PyTorch."""
    random, running = np.random.default_rng(0), session(path)
    batches = [random.integers(0, 256, (count, size, size), dtype=np.uint8) for count in BATCHES]
    differences = [np.abs(probabilities(running, images) - predict(network, images)).max() for images in batches]
    return float(np.max(differences))


def _card(card: ClassifierCard, opset: int, difference: float) -> dict[str, Any]:
    """What must be known to use the file without this package."""
    return {
        "kind": KIND,
        "input": {"name": INPUT, "type": "float32", "shape": ["N", 1, card.size, card.size], "range": [-1, 1]},
        "output": {"name": OUTPUT, "type": "float32", "shape": ["N", len(card.views)], "views": card.views},
        "preprocessing": [
            "grey by ITU-R BT.601: 0.299 R + 0.587 G + 0.114 B, 8 bit",
            SQUARE if card.square_pixels else "pixels as they are stored, square or not",
            "the largest centred square",
            f"{card.size} x {card.size} pixels: {RESAMPLING[card.resampling]}",
            "value / 127.5 - 1",
        ],
        "cines": "probabilities averaged over frames",
        "opset": opset,
        "parity": {"batches": BATCHES, "largest_difference": difference, "allowed": TOLERANCE},
        "classifier": card.model_dump(mode="json"),
    }


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep the exporter's chatter off the terminal; errors are raised, not printed."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    logging.getLogger("onnxscript").setLevel(logging.ERROR)
    with (
        warnings.catch_warnings(action="ignore"),
        contextlib.redirect_stderr(io.StringIO()),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        yield
