"""The stage that `bench.cells` compares with the study's: it trains one cell of Figure 5.17 alone."""

from echosynth.common import paths
from echosynth.config.parameters import Params
from echosynth.stages import stage
from echosynth.thesis.cells import Cell, run_cells
from echosynth.thesis.fractions import QUESTION, train


def run(params: Params, size: str, arm: str, seed: str) -> None:
    """Train a cell, write reports/study/fractions/<size>-<arm>-<seed>."""
    cell = Cell(arm, size, params.arms.architectures[0], int(seed))
    inputs = [paths.subset_file(size), paths.synthetic_set("diffusion", size)]
    run_cells(QUESTION, f"{size}-{arm}-{seed}", params, [cell], train, inputs)


main = stage(run)

if __name__ == "__main__":
    main()
