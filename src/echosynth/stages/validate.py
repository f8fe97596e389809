"""Group the recordings of one release by the colours of their first frames."""

from pathlib import Path

from echosynth import paths
from echosynth.config import Params
from echosynth.images.validation import validate
from echosynth.sources.registry import find_source
from echosynth.stages import stage


@stage
def main(params: Params, source: str) -> None:
    """Read the first frames of data.root/<source>, write data/validation/<source>."""
    found = validate(find_source(source), Path(params.data.root) / source, paths.VALIDATION / source, params)
    print(f"{source}: {found['recordings']} recordings in {found['groups']} groups: {found['groups_by_proposal']}")


if __name__ == "__main__":
    main()
