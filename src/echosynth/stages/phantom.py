"""Write the embedded demo data."""

from pathlib import Path

from echosynth.config.parameters import Params
from echosynth.phantom.release import write_all
from echosynth.stages import stage

OUT = Path("data/raw/phantom")


@stage
def main(params: Params) -> None:
    """Simulate the five releases under data/raw/phantom."""
    write_all(params.phantom, OUT, params.ingest.workers)


if __name__ == "__main__":
    main()
