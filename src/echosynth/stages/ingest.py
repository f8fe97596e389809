"""Turn one release into an image set."""

from pathlib import Path

from echosynth.common import paths
from echosynth.config.parameters import Params
from echosynth.ingest.image_set import ingest
from echosynth.sources.registry import find_source
from echosynth.stages import stage


@stage
def main(params: Params, source: str) -> None:
    """Read data.root/<source>, write data/sources/<source>, or data/shift/<source> for the domain-shift set."""
    out = (paths.SHIFT if source in params.data.shift_sources else paths.SOURCES) / source
    review = paths.SCREENING / source, paths.REVIEW / f"{source}.yaml"
    report = ingest(find_source(source), Path(params.data.root) / source, out, params, review)
    print(f"{source}: {report['images']} images; left out: {report['left_out']}")


if __name__ == "__main__":
    main()
