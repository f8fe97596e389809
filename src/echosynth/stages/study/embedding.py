"""Embed the features of real and synthetic images."""

from echosynth.common.files import atomic_folder, write_json
from echosynth.config.parameters import Params
from echosynth.stages import stage
from echosynth.thesis.cells import SCORES
from echosynth.thesis.embedding import embed


@stage
def main(params: Params) -> None:
    """Read a classifier of all real images, these images and the synthetic set made from them, write
    reports/study/embedding."""
    table, metrics = embed(params)
    with atomic_folder(SCORES / "embedding") as folder:
        table.round(5).to_csv(folder / "embedding.csv", index=False, lineterminator="\n")
        write_json(folder / "metrics.json", metrics)
    print(f"{len(table)} images embedded, perplexity {metrics['perplexity']:g}, {metrics['iterations']} iterations")


if __name__ == "__main__":
    main()
