"""Figure 5.17: one training subset with more and more synthetic images."""

from echosynth.config.parameters import Params
from echosynth.stages import stage
from echosynth.thesis import fractions


@stage
def main(params: Params, size: str) -> None:
    """Read a subset, its synthetic set and the training set, write reports/study/fractions/<size>."""
    fractions.run(params, size)


if __name__ == "__main__":
    main()
