"""`echosynth predict`: the view of files."""

import gc
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from echosynth.cli.shared import DISCLAIMER, FILE, decoding_limits, json_option, model_option, print_json
from echosynth.common.errors import EchosynthError
from echosynth.common.paths import WEIGHTS
from echosynth.common.views import VIEWS
from echosynth.serving.options import FRAMES


def resolve_model(model: str) -> Path:
    """Find the folder of a stored model.

    Args:
        model: a folder, a file in it, or else an alias or version in the registry.

    Raises:
        EchosynthError: there is no such folder, or see `echosynth.registry.copies.load_registered`.
    """
    path = Path(model)
    if path.exists():
        return path if path.is_dir() else path.parent
    if len(path.parts) > 1:
        raise EchosynthError(f"--model: there is no {path}; name a folder, or an alias or version in the registry")
    from echosynth.registry.copies import load_registered

    return load_registered(model)


def lines(model: dict[str, Any], results: Sequence[dict[str, Any]]) -> str:
    """Write predictions for people: a line about the model, then a line for each file."""
    width = max(len("file"), *(len(result["file"]) for result in results))
    text = [
        f"model: {model['folder']} ({model['architecture']}, arm {model['arm']}, subset {model['subset']})",
        f"{'file':<{width}}  view  frames  " + "  ".join(f"{view:>5}" for view in VIEWS),
    ]
    for result in results:
        if "error" in result:
            text.append(f"{result['file']:<{width}}  error: {result['error']}")
        else:
            shares = "  ".join(f"{result['probabilities'][view]:5.2f}" for view in VIEWS)
            used, chosen = result["frames"], result["chosen"]
            frames = str(used) if used == chosen else f"{used}/{chosen}"
            text.append(f"{result['file']:<{width}}  {result['view']}  {frames:>6}  {shares}".rstrip())
    return "\n".join(text)


@click.command()
@click.argument("paths", nargs=-1, required=True, type=FILE, metavar="FILE...")
@model_option
@click.option(
    "--max-frames", type=int, default=FRAMES, metavar="N", help="Average at most N evenly spaced frames of a cine."
)
@click.option("--out", type=FILE, metavar="TABLE.csv", help="Write a table; a killed run goes on when called again.")
@json_option
def run(paths: tuple[Path, ...], model: str, max_frames: int, out: Path | None, as_json: bool) -> int:
    """Name the view of each file (DICOM, AVI, MP4, PNG, JPEG, MetaImage, NIfTI).

    Its probabilities are averaged over the frames; 30/32 of them means that two were damaged. A folder stands for all
    files below it. What decoding a file may use says section decoding of params.yaml, where there is one. The exit
    status is 1 when a file cannot be read.
    """
    if max_frames < 1:
        raise EchosynthError(f"--max-frames is {max_frames}; give 1 or more")
    limits = decoding_limits()
    from echosynth.media.apart import DECODERS

    DECODERS.warm()  # it starts while PyTorch is imported
    gc.disable()  # PyTorch's modules make 300,000 objects that stay; to look for garbage among them takes its time
    from echosynth.common.files import file_hash
    from echosynth.serving.clips import listed, predict_clips  # PyTorch: not before the options are known to be right
    from echosynth.serving.prediction_table import write_table
    from echosynth.serving.view_classifier import ViewClassifier

    gc.freeze()
    gc.enable()
    files, left_out = listed(paths)
    folder = resolve_model(model)
    classifier = ViewClassifier(folder)
    # The name alone: where the registry keeps its copies is nobody's business.
    about = {"name": model, "folder": folder.resolve().name, "md5": file_hash(folder / WEIGHTS)}
    about |= classifier.card.model_dump(mode="json", include={"architecture", "arm", "subset", "seed", "size"})
    found: dict[str, Any]
    if out:
        written = write_table(classifier, about["md5"], files, max_frames, out, limits)
        errors, found = written.errors, {"table": {"path": str(out), **asdict(written)}}
        text = f"{out}: {written.files} files, {errors} with an error, {written.resumed} from an earlier run"
    else:
        results = predict_clips(classifier, files, max_frames, limits)
        errors, found = sum("error" in result for result in results), {"files": results}
        text = lines(about, results)
    if as_json:
        print_json({"model": about, **found, "left_out": left_out})
    else:
        print(text)
    sys.stdout.flush()  # the next lines are to be the last ones, wherever the two streams go
    if left_out:
        print(f"{left_out} files in folders are no pictures and were left out", file=sys.stderr)
    print(DISCLAIMER, file=sys.stderr)
    return 1 if errors else 0
