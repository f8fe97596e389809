"""Frames of one cine of a release."""

import numpy as np

from echosynth.common.files import atomic_folder
from echosynth.config.parameters import Params
from echosynth.imagesets.store import encode
from echosynth.imagesets.tiles import contact_grid
from echosynth.stages import stage
from echosynth.thesis.cells import SCORES
from echosynth.thesis.cine_frames import FRAMES, frames_of_one


@stage
def main(params: Params, source: str) -> None:
    """Read a cine of data.root/<source>, write reports/study/cine/<source>, empty for a release of stills."""
    taken = frames_of_one(source, params)
    with atomic_folder(SCORES / "cine" / source) as folder:
        if taken:
            (folder / "frames.png").write_bytes(encode(contact_grid(np.stack(taken), FRAMES // 2, gap=2)))
    print(f"{source}: {len(taken)} frames of one cine")


if __name__ == "__main__":
    main()
