"""List the files of one release and group its recordings by the colours of their first frames."""

from pathlib import Path

from echosynth.common import paths
from echosynth.config.parameters import Params
from echosynth.screening.screen import screen_release
from echosynth.sources.registry import find_source
from echosynth.stages import stage


@stage
def main(params: Params, source: str) -> None:
    """Read the first frames of data.root/<source>, write data/screening/<source>."""
    found = screen_release(find_source(source), Path(params.data.root) / source, paths.SCREENING / source, params)
    print(f"{source}: {found['recordings']} recordings in {found['groups']} groups: {found['groups_by_proposal']}")


if __name__ == "__main__":
    main()
