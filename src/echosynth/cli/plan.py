"""`echosynth plan`: what the parameters ask for, before anything starts."""

import shutil
import subprocess

import click

from echosynth.cli.shared import aligned, json_option, print_json
from echosynth.config.parameters import load_params
from echosynth.planning.work import Job, free_bytes, jobs, training_images

GIB = 2**30


@click.command()
@click.option("--images", type=click.IntRange(8), help="Training images in all; else as the split says.")
@click.option("--seconds", type=click.FloatRange(1), default=30.0, show_default=True, help="To try this machine for.")
@click.option("--watts", type=click.FloatRange(1), help="Power of this machine; else what its GPU says of its limit.")
@json_option
def run(images: int | None, seconds: float, watts: float | None, as_json: bool) -> int:
    """Estimate what `dvc repro` would take here: trainings, steps, hours, GPU memory, disk and energy.

    Each kind of network is tried for some seconds with params.yaml as it is. Reading files, scores and pages are not
    counted; neither are stages that DVC finds up to date.
    """
    params = load_params()
    sizes = training_images(params, images)
    found = list(jobs(params, sizes, seconds))
    hours, disk = sum(job.hours for job in found), sum(job.disk for job in found)
    power = watts or _gpu_watts()
    energy = None if power is None else hours * power / 1000
    if as_json:
        print_json(
            {
                "subsets": sizes,
                "jobs": [_facts(job) for job in found],
                "hours": hours,
                "disk_bytes": disk,
                "free_bytes": free_bytes(),
                "kilowatt_hours": energy,
            }
        )
        return 0
    heading = ("work", "number", "steps", "seconds a step", "hours", "GPU memory", "disk")
    print("\n".join(aligned([heading, *map(_row, found)])))
    free = free_bytes() / GIB
    print(f"\nin all {hours:,.1f} hours and {disk / GIB:,.1f} GiB; {free:,.0f} GiB are free here")
    if free * GIB < disk:
        print("that is too little: free some, or put DVC's cache elsewhere (`dvc cache dir`)")
    print("energy: " + (f"{energy:,.1f} kWh at {power:,.0f} W" if energy is not None else "say the power with --watts"))
    return 0


def _facts(job: Job) -> dict[str, object]:
    return {
        "work": job.name,
        "number": job.number,
        "steps": job.steps,
        "seconds_a_step": job.speed.seconds,
        "hours": job.hours,
        "gpu_bytes": job.speed.memory,
        "disk_bytes": job.disk,
    }


def _row(job: Job) -> tuple[str, ...]:
    memory = "-" if job.speed.memory is None else f"{job.speed.memory / GIB:.1f} GiB"
    return (
        job.name,
        f"{job.number:,}",
        f"{job.steps:,}",
        f"{job.speed.seconds:.3f}",
        f"{job.hours:,.2f}",
        memory,
        f"{job.disk / GIB:,.2f} GiB",
    )


def _gpu_watts() -> float | None:
    """The limit of the first GPU's power, as its driver says; None without one."""
    tool = shutil.which("nvidia-smi")
    if not tool:
        return None
    query = [tool, "--query-gpu=power.limit", "--format=csv,noheader,nounits"]
    done = subprocess.run(query, capture_output=True, text=True, check=False)
    try:
        return float(done.stdout.splitlines()[0])
    except (ValueError, IndexError):
        return None
