"""Phantoms straight into memory: no files, no DVC, and of each patient one picture, so that any two sets of them hold
different patients."""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import numpy as np

from echosynth.common.arrays import Image
from echosynth.common.views import VIEW_INDEX
from echosynth.imagesets.dataset import LabelledImages
from echosynth.imagesets.prepare import prepare
from echosynth.phantom.media import in_parallel
from echosynth.phantom.options import PhantomParams
from echosynth.phantom.plan import STUDY, parts
from echosynth.phantom.recordings import draw_recording
from echosynth.phantom.screen import overlaid

Item = tuple[str, str, int]  # source, view, number of the patient


def picture(params: PhantomParams, size: int, item: Item) -> Image:
    """One frame (size, size) of a patient at a random phase, with the overlays of its source."""
    source, view, patient = item
    recording = draw_recording(params, source, patient, 0, view)
    phase = float(np.random.default_rng(recording.seed).random())
    return prepare(overlaid(recording.picture(phase, 0), recording, phase), size)


def phantoms(
    params: PhantomParams, sources: Sequence[str], size: int, counts: Sequence[int], workers: int = 0
) -> list[LabelledImages]:
    """Make sets of images.

    Args:
        params: seed and difficulty.
        sources: whose look they have; views and sources are as frequent as in the study.
        size: side in pixels.
        counts: images of each set, at least one for each pair of a source and its view.
        workers: processes; 0 is one for each core.

    Returns:
        One set for each count, in random order.
    """
    groups = [(source, view) for source in sources for view in STUDY[source]]
    rng, items, first = np.random.default_rng(params.seed), list[Item](), 0
    for count in counts:
        shares = parts(count, [STUDY[source][view] for source, view in groups])
        dealt = [group for group, share in zip(groups, shares, strict=True) for _ in range(share)]
        items += [(*dealt[place], first + number) for number, place in enumerate(rng.permutation(count))]
        first += count
    images = np.stack(list(in_parallel(partial(picture, params, size), items, workers, "phantoms", "images")))
    names = np.array([f"{source}-{patient}" for source, _, patient in items])
    labels = np.array([VIEW_INDEX[view] for _, view, _ in items], np.int64)
    whole = LabelledImages(images, labels, names, np.array([source for source, _, _ in items]), names)
    edges = np.cumsum([0, *counts])
    return [whole.rows(np.arange(start, end)) for start, end in pairwise(edges)]
