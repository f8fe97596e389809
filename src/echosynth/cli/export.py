"""`echosynth export`: a classifier as ONNX."""

import sys
from pathlib import Path

import click

from echosynth.cli.predict import resolve_model
from echosynth.cli.shared import DISCLAIMER, FILE, model_option


@click.command()
@click.argument("out", type=FILE, metavar="FOLDER")
@model_option
def run(out: Path, model: str) -> int:
    """Write a classifier as an ONNX file (prepared images in, probabilities out) with its card.

    Checks that onnxruntime predicts the same, and says how closely. FOLDER is a new one, for model.onnx and card.json.
    """
    from echosynth.serving.onnx import BATCHES, TOLERANCE, export  # PyTorch takes seconds to import

    folder = resolve_model(model)
    found = export(folder, out)
    batches = ", ".join(map(str, BATCHES[:-1])) + f" and {BATCHES[-1]}"
    print(
        f"{out}: model.onnx and card.json of {folder.resolve().name}, {found.size} x {found.size} pixels\n"
        f"onnxruntime against PyTorch on noise, batches of {batches}: largest difference of a probability "
        f"{found.difference:.1e} (allowed {TOLERANCE:.0e})"
    )
    sys.stdout.flush()
    print(DISCLAIMER, file=sys.stderr)
    return 0
