"""Views of whole files: the probabilities of a cine's frames, averaged."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from echosynth.classify.predict import ViewClassifier
from echosynth.errors import EchosynthError
from echosynth.images.decode import Clip, read_clip
from echosynth.progress import progress


def _read(path: Path, max_frames: int) -> Clip:
    """The frames of a file, with a sentence for what no decoder sees."""
    if path.is_dir():
        raise EchosynthError(f"{path} is a folder; name the files in it, such as {path}/*")
    try:
        return read_clip(path, max_frames)
    except OSError as error:
        raise EchosynthError(f"{path} cannot be read ({error.strerror}); check its permissions") from None


def predict_clip(classifier: ViewClassifier, path: Path, max_frames: int) -> dict[str, Any]:
    """The view of one file.

    Args:
        classifier: a trained network with its preprocessing.
        path: a cine or a still that `echosynth.images.decode` can read.
        max_frames: so many evenly spaced frames are looked at, at most (1 or more).

    Returns:
        file; view: the most probable one; frames: how many were averaged; probabilities: view -> mean probability.

    Raises:
        EchosynthError: the file cannot be read.
    """
    clip = _read(path, max_frames)
    means = classifier.probabilities(list(clip.frames), clip.spacing).mean(axis=0, dtype="float64")
    return {
        "file": str(path),
        "view": classifier.card.views[means.argmax()],
        "frames": len(clip.frames),
        "probabilities": {view: float(mean) for view, mean in zip(classifier.card.views, means, strict=True)},
    }


def predict_clips(classifier: ViewClassifier, files: Sequence[Path], max_frames: int) -> list[dict[str, Any]]:
    """The views of many files, in their order; one that cannot be read does not stop the others.

    Args:
        classifier: a trained network with its preprocessing.
        files: cines and stills.
        max_frames: evenly spaced frames of a file, at most (1 or more).

    Returns:
        For each file what `predict_clip` returns, or its name as `file` and the reason as `error`.
    """
    results = []
    for path in progress(files, len(files), "prediction", "files"):
        try:
            results.append(predict_clip(classifier, path, max_frames))
        except EchosynthError as error:
            results.append({"file": str(path), "error": str(error)})
    return results
