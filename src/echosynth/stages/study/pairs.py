"""Sample what sets balanced over view and source need beside the synthetic set of one subset."""

from echosynth.common import paths
from echosynth.common.files import atomic_folder, write_json
from echosynth.config.parameters import Params
from echosynth.diffusion.synthetic_set import SyntheticSet, Team, make_set
from echosynth.imagesets.preview import first_images
from echosynth.stages import stage
from echosynth.thesis.pairs import plan_more
from echosynth.tracking.runs import child_run


@stage(several_processes=True)
def main(params: Params, size: str) -> None:
    """Read models/diffusion/<size>, its subset and its synthetic set, write data/pairs/<size>; without images where
    none are needed or none can be asked for, which metrics.json says."""
    plan, facts = plan_more(params, size)
    team, model, out = Team.joined(), paths.DIFFUSION / size, paths.more_pairs(size)
    if plan is None:
        if team.main:
            with atomic_folder(out) as part:
                write_json(part / "metrics.json", facts)
            print(f"{out} holds no images: {facts['why']}")
        return
    # Another seed than that of the synthetic set, whose image n would begin with the same noise.
    settings = params.sample.model_copy(update={"seed": params.sample.seed ^ 1})
    wanted = SyntheticSet(model, plan, settings, params.diffusion.precision)
    name, what = f"synthetic-pairs-{size}", f"sampling pairs of {size}"
    if not team.main:
        make_set(wanted, out, name, what, team)
        return
    with child_run(f"study pairs {size}", "study", {"sample": settings.model_dump(), "subset": size}) as run:
        run.dataset(f"diffusion-{size}", model, "evaluation")
        with atomic_folder(out) as part:
            speed = make_set(wanted, part, name, what, team)
            run.metrics({"images": len(plan)}, speed={"images_per_second": speed})
            run.save(part, "metrics.json", pictures={"samples.png": first_images(part / "images.zip")})


if __name__ == "__main__":
    main()
