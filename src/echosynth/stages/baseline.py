"""Make the synthetic sets of the baselines from one training subset."""

from echosynth.baselines.baseline_set import make_set
from echosynth.common import paths
from echosynth.common.files import atomic_folder
from echosynth.config.parameters import Params
from echosynth.imagesets.dataset import read_subset
from echosynth.imagesets.preview import first_images
from echosynth.stages import stage
from echosynth.tracking.runs import child_run


@stage
def main(params: Params, size: str) -> None:
    """Read a subset, write data/baselines/<size>/<generator>."""
    training, settings = read_subset(params.data.train_sources, size), params.baselines
    with atomic_folder(paths.BASELINES / size) as part:
        for generator in settings.generators:
            options = params.sample.model_dump(include={"seed", "per_view", "views", "sources"})
            facts = {"sample": options, "baselines": settings.model_dump(), "subset": size, "generator": generator}
            with child_run(f"{generator} {size}", "baseline", facts) as run:
                run.dataset(f"subset-{size}", paths.subset_file(size), "training")
                out = part / generator
                plan = make_set(generator, training, params.sample, settings, out, f"synthetic-{generator}-{size}")
                run.metrics(
                    {"images": len(plan)} | {f"images_{view}": n for view, n in plan.facts()["by_view"].items()}
                )
                # A mixture may show a patient's picture: where they are patients', none goes to MLflow.
                shown = {"samples.png": first_images(out / "images.zip")} if paths.simulated(params.data.root) else {}
                run.save(out, "metrics.json", pictures=shown)


if __name__ == "__main__":
    main()
