"""What a served model answers: requests, read with the help of a child process, and the views of what they hold."""

import atexit
import os
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from typing import Final

import numpy as np

from echosynth.classifier.network import predict
from echosynth.common.children import Children, Job
from echosynth.common.errors import EchosynthError
from echosynth.common.views import VIEWS
from echosynth.media.options import DecodingParams
from echosynth.serving import requests
from echosynth.serving.options import SERVED
from echosynth.serving.preprocessing import Preprocessing
from echosynth.serving.requests import Read, read_inputs, received
from echosynth.serving.view_classifier import ViewClassifier

Answer = dict[str, str | float | int]
READERS = Children(requests.__name__)
atexit.register(READERS.close)
MAX_PREPARED: Final = 64 * 2**20  # bytes that the network sees of a request: a frame is size x size of them
BATCH: Final = 64  # frames
_PLACES = threading.BoundedSemaphore(max(4, os.cpu_count() or 1))  # else many requests would take much memory together
_NETWORK = ThreadPoolExecutor(1)  # one batch at a time, in the order in which they come: requests take turns


def answers(classifier: ViewClassifier, inputs: object, limits: DecodingParams = SERVED) -> list[Answer]:
    """Name the view of each input of a request that was read from JSON already. Files are decoded in a child process.

    Args:
        classifier: a trained network with its preprocessing.
        inputs: see `echosynth.serving.requests.read_inputs`.
        limits: what one file may use.

    Returns:
        For each input the most probable view as `view`, and the probability of each view under its name: the mean over
        `frames` frames, which were used of `chosen`, evenly spaced, of all `total` of the file.

    Raises:
        EchosynthError: the request is none, or a file takes more than the limits allow.
    """
    how = classifier.preprocessing

    def read_file(text: str) -> Read:
        with _job("serve_file", "has a file that", how, limits, text.encode("utf-8", "replace")) as job:
            (read,) = received(job, how, MAX_PREPARED)
            return read

    return _named(classifier, _collected(read_inputs(inputs, how, read_file, limits.pixels), how))


def answers_to_json(
    classifier: ViewClassifier,
    body: bytes | bytearray,
    limits: DecodingParams = SERVED,
    stopped: threading.Event | None = None,
) -> list[Answer]:
    """Name the view of each input of a request as it was sent; all of it is read in a child process.

    Args:
        classifier: a trained network with its preprocessing.
        body: {"inputs": [...]} in JSON.
        limits: what the request may use.
        stopped: set it to have the request end soon, unless it waits for its child process; see `Children.end`.

    Returns:
        See `answers`.

    Raises:
        EchosynthError: see `answers`; or the request was stopped.
    """
    how = classifier.preprocessing
    with _job("serve_request", "something in the request", how, limits, body, stopped) as job:
        read = _collected(received(job, how, MAX_PREPARED), how)
    return _named(classifier, read, stopped)


@contextmanager
def _job(
    name: str,
    subject: str,
    how: Preprocessing,
    limits: DecodingParams,
    payload: bytes | bytearray,
    stopped: threading.Event | None = None,
) -> Iterator[Job]:
    """One of the jobs of `echosynth.serving.requests`, when there is a place for it."""
    arguments = asdict(how) | {"pixels": limits.pixels, "usable": limits.usable}
    with _PLACES:
        _go_on(stopped)
        with READERS.job(f"{requests.__name__}:{name}", subject, limits, payload, **arguments) as job:
            _go_on(stopped)  # else a child that has just started would outlive `READERS.end`
            yield job


def _go_on(stopped: threading.Event | None) -> None:
    if stopped and stopped.is_set():
        raise EchosynthError("the server is being stopped; send the request again when it is back")


def _collected(reads: Iterable[Read], how: Preprocessing) -> list[Read]:
    """All inputs of a request, if they are not more than the network may be given."""
    found, frames, most = [], 0, MAX_PREPARED // how.size**2
    for place, read in enumerate(reads):
        found.append(read)
        frames += len(read.images)
        if frames > most:
            raise EchosynthError(
                f"inputs[{place}] brings the request to {frames:,} frames; this model takes {most:,} of {how.size} x "
                f"{how.size} pixels, send the rest in another one"
            )
    return found


def _named(classifier: ViewClassifier, read: list[Read], stopped: threading.Event | None = None) -> list[Answer]:
    """The answers; the network sees the frames of all inputs in batches."""
    images, parts = np.concatenate([one.images for one in read]), []
    for first in range(0, len(images), BATCH):
        _go_on(stopped)
        parts.append(_NETWORK.submit(predict, classifier.network, images[first : first + BATCH]).result())
    ends = np.cumsum([len(one.images) for one in read])
    means = (frames.mean(axis=0, dtype=np.float64) for frames in np.split(np.concatenate(parts), ends[:-1]))
    return [
        {"view": VIEWS[mean.argmax()]}
        | {view: float(share) for view, share in zip(VIEWS, mean, strict=True)}
        | {"frames": len(one.images), "chosen": one.chosen, "total": one.total}
        for one, mean in zip(read, means, strict=True)
    ]
