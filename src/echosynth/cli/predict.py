"""`echosynth predict`: the view of files."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from echosynth.cli.options import DISCLAIMER
from echosynth.errors import EchosynthError
from echosynth.views import VIEWS


def resolve_model(model: str) -> Path:
    """The folder of a stored model.

    Args:
        model: a folder, a file in it, or else an alias or version in the registry.

    Raises:
        EchosynthError: there is no such folder, or see `echosynth.track.registry.load_registered`.
    """
    path = Path(model)
    if path.exists():
        return path if path.is_dir() else path.parent
    if len(path.parts) > 1:
        raise EchosynthError(f"--model: there is no {path}; name a folder, or an alias or version in the registry")
    from echosynth.track.registry import load_registered  # MLflow takes seconds to import

    return load_registered(model)


def print_table(model: dict[str, Any], results: Sequence[dict[str, Any]]) -> None:
    """Print what was predicted for people: a line about the model, then a line a file."""
    print(f"model: {model['folder']} ({model['architecture']}, arm {model['arm']}, subset {model['subset']})")
    width = max(len("file"), *(len(result["file"]) for result in results))
    print(f"{'file':<{width}}  view  frames  " + "  ".join(f"{view:>5}" for view in VIEWS))
    for result in results:
        if "error" in result:
            print(f"{result['file']:<{width}}  error: {result['error']}")
        else:
            shares = "  ".join(f"{result['probabilities'][view]:5.2f}" for view in VIEWS)
            print(f"{result['file']:<{width}}  {result['view']}  {result['frames']:>6}  {shares}".rstrip())


def run(arguments: argparse.Namespace) -> int:
    """Print the view of each file; exit status 1 when a file could not be read."""
    if arguments.max_frames < 1:
        raise EchosynthError(f"--max-frames is {arguments.max_frames}; give 1 or more")
    from echosynth.classify.clips import predict_clips  # PyTorch: not before the options are known to be right
    from echosynth.classify.predict import ViewClassifier
    from echosynth.files import file_hash

    folder = resolve_model(arguments.model)
    classifier = ViewClassifier(folder)
    card = classifier.card.model_dump(mode="json", include={"architecture", "arm", "subset", "seed", "size"})
    # The name alone: where the registry keeps its copies is nobody's business.
    model = {"name": arguments.model, "folder": folder.resolve().name, "md5": file_hash(folder / "model.safetensors")}
    results = predict_clips(classifier, arguments.files, arguments.max_frames)
    if arguments.json:
        print(json.dumps({"model": model | card, "files": results}, indent=2, ensure_ascii=False))
    else:
        print_table(model | card, results)
    sys.stdout.flush()  # the next line is to be the last one, wherever the two streams go
    print(DISCLAIMER, file=sys.stderr)
    return 1 if any("error" in result for result in results) else 0
