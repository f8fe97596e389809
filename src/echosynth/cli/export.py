"""`echosynth export`: a classifier as ONNX."""

import argparse
import sys

from echosynth.cli.options import DISCLAIMER
from echosynth.cli.predict import resolve_model


def run(arguments: argparse.Namespace) -> int:
    """Write model.onnx and card.json, and say how close onnxruntime is to PyTorch."""
    from echosynth.serving.onnx import BATCHES, TOLERANCE, export  # PyTorch takes seconds to import

    folder = resolve_model(arguments.model)
    found = export(folder, arguments.out)
    batches = ", ".join(map(str, BATCHES[:-1])) + f" and {BATCHES[-1]}"
    print(
        f"{arguments.out}: model.onnx and card.json of {folder.resolve().name}, {found.size} x {found.size} pixels\n"
        f"onnxruntime against PyTorch on noise, batches of {batches}: largest difference of a probability "
        f"{found.difference:.1e} (allowed {TOLERANCE:.0e})"
    )
    sys.stdout.flush()
    print(DISCLAIMER, file=sys.stderr)
    return 0
