"""Train architectures for the question of early selection."""

from echosynth.config.parameters import Params
from echosynth.stages import stage
from echosynth.thesis.ranking import rank


@stage
def main(params: Params) -> None:
    """Read the subsets and a synthetic set, write reports/study/ranking."""
    rank(params)


if __name__ == "__main__":
    main()
