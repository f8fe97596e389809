"""Tables 5.3 and 5.4: one training subset and its synthetic set under the other budget."""

from echosynth.config.parameters import Params
from echosynth.stages import stage
from echosynth.thesis import budgets


@stage
def main(params: Params, size: str) -> None:
    """Read a subset and its synthetic set, write reports/study/budgets/<size>."""
    budgets.run(params, size)


if __name__ == "__main__":
    main()
