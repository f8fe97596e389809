"""Frames of one cine of a release: figures 3.4 and 3.5."""

from pathlib import Path

import cv2
import numpy as np

from echosynth.common import paths
from echosynth.common.arrays import Image
from echosynth.config.parameters import Params
from echosynth.ingest.frames import read_record
from echosynth.ingest.rules import own_seed
from echosynth.screening.decisions import verdicts
from echosynth.screening.listing import read_listing
from echosynth.sources.base import read_salt, record_id, relative
from echosynth.sources.registry import find_source

FRAMES = 12


def frames_of_one(name: str, params: Params) -> list[Image]:
    """Evenly spaced frames, prepared like images of the set, of a cine that its screening keeps: the first one by the
    hash of its name; none where the release holds stills.

    Args:
        name: of the release.
        params: of the project.

    Raises:
        EchosynthError: the release was not screened, or no cine of it can be read.
    """
    source, folder = find_source(name), Path(params.data.root) / name
    if not source.has_cines:
        return []
    salt, screening = read_salt(params.data.salt_file, params.data.salt_id), paths.SCREENING / name
    listing, unreadable = read_listing(screening, source, folder, salt, params.decoding)
    dropped = verdicts(screening, paths.REVIEW / f"{name}.yaml", params.review)
    ids = {record_id(salt, name, relative(record, folder)): record for record in listing.records}
    settings = params.ingest.model_copy(update={"frames": "spaced", "frames_per_cine": FRAMES})
    for key, record in sorted(ids.items()):
        if not dropped.get(key) and record not in unreadable:
            reading = read_record(record, True, own_seed(settings.seed, name, key), settings, params.decoding)
            if reading.taken:
                return [_decoded(one.png) for one in reading.taken]
    return []


def _decoded(png: bytes) -> Image:
    return np.asarray(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE), np.uint8)
