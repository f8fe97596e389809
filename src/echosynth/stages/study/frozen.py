"""Tables 5.3, A.1 and A.2: networks with pretrained weights, on one training subset."""

from echosynth.config.parameters import Params
from echosynth.stages import stage
from echosynth.thesis import frozen


@stage
def main(params: Params, size: str) -> None:
    """Read a subset and its synthetic set, write reports/study/frozen/<size>."""
    frozen.run(params, size)


if __name__ == "__main__":
    main()
