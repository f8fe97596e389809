"""Figures 5.18 and 5.19: ways to help rare views, on one training subset."""

from echosynth.config.parameters import Params
from echosynth.stages import stage
from echosynth.thesis import rebalancing


@stage
def main(params: Params, size: str) -> None:
    """Read a subset and its synthetic set, write reports/study/rebalance/<size>."""
    rebalancing.run(params, size)


if __name__ == "__main__":
    main()
