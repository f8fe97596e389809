"""A synthetic set that is balanced over view and source: classifiers on one training subset, under domain shift too."""

from echosynth.config.parameters import Params
from echosynth.stages import stage
from echosynth.thesis import sources


@stage
def main(params: Params, size: str) -> None:
    """Read a subset, its synthetic sets and the domain shift, write reports/study/sources/<size>."""
    sources.run(params, size)


if __name__ == "__main__":
    main()
