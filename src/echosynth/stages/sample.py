"""Sample the synthetic set of one diffusion model."""

from echosynth.common import paths
from echosynth.common.files import atomic_folder
from echosynth.config.parameters import Params
from echosynth.diffusion.model import read_card
from echosynth.diffusion.set_plan import make_plan
from echosynth.diffusion.synthetic_set import SyntheticSet, Team, make_set
from echosynth.imagesets.preview import first_images
from echosynth.stages import stage
from echosynth.tracking.runs import child_run


@stage(several_processes=True)
def main(params: Params, size: str) -> None:
    """Read models/diffusion/<size>, write data/synthetic/<size>."""
    settings, model, out = params.sample, paths.DIFFUSION / size, paths.SYNTHETIC / size
    plan = make_plan(read_card(model), settings)
    wanted = SyntheticSet(model, plan, settings, params.diffusion.precision)
    team, name = Team.joined(), f"synthetic-{size}"
    if not team.main:
        make_set(wanted, out, name, f"sampling {size}", team)
        return
    facts = {"sample": settings.model_dump(), "subset": size}
    with child_run(f"sample {size}", "sample", facts) as run, atomic_folder(out) as part:
        run.dataset(f"diffusion-{size}", model, "evaluation")
        speed = make_set(wanted, part, name, f"sampling {size}", team)
        views = {f"images_{view}": float(sum(row.values())) for view, row in plan.counts().items()}
        run.metrics({"images": len(plan), **views}, speed={"images_per_second": speed})
        run.save(part, "metrics.json", pictures={"samples.png": first_images(part / "images.zip")})


if __name__ == "__main__":
    main()
