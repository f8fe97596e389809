"""The command line: `echosynth COMMAND ...`. Heavy imports wait inside the commands, so that --help answers at once."""

import argparse
import json
import sys
from pathlib import Path

from echosynth import __version__
from echosynth.errors import EchosynthError


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = argparse.ArgumentParser(
        prog="echosynth",
        description="Synthetic echocardiograms for view classification. Research software, no medical device.",
    )
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    predict = commands.add_parser("predict", help="name the view of clips", description="Name the view of each clip: DICOM, AVI, MP4, PNG, JPEG, mhd, nii.gz.")
    predict.add_argument("files", nargs="+", type=Path, metavar="FILE")
    predict.add_argument("--model", default="challenger", help="alias or version in the registry, or a folder with model.safetensors and card.json (default: challenger)")
    predict.add_argument("--json", action="store_true", help="write JSON for machines instead of a table")
    predict.add_argument("--max-frames", type=int, default=32, metavar="N", help="evenly spaced frames of a cine that are averaged (default: 32)")
    return top


def predict(arguments: argparse.Namespace) -> int:
    """Print the view of each file; exit status 1 when a file could not be read."""
    from echosynth.classify.clips import predict_clips, resolve_model
    from echosynth.classify.predict import ViewClassifier

    if arguments.max_frames < 1:
        raise EchosynthError(f"--max-frames is {arguments.max_frames}; give 1 or more")
    classifier = ViewClassifier(resolve_model(arguments.model))
    results = predict_clips(classifier, arguments.files, arguments.max_frames)
    if arguments.json:
        print(json.dumps(results, indent=2))
    else:
        views = classifier.card.views
        width = max(len("file"), *(len(str(result["file"])) for result in results))
        print(f"{'file':<{width}}  view  frames  " + "  ".join(f"{view:>5}" for view in views))
        for result in results:
            if "error" in result:
                print(f"{result['file']:<{width}}  -     {result['error']}")
            else:
                shares = "  ".join(f"{result['probabilities'][view]:5.2f}" for view in views)
                print(f"{result['file']:<{width}}  {result['view']:<4}  {result['frames']:>6}  {shares}")
    return 1 if any("error" in result for result in results) else 0


def main() -> None:
    """Entry point of the command `echosynth`."""
    arguments = parser().parse_args()
    try:
        sys.exit({"predict": predict}[arguments.command](arguments))
    except EchosynthError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
