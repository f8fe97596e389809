"""Measure everything: `python -m bench.run`. Prints a table and writes bench/results/<name>.json."""

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from bench.machine import facts, file_name
from bench.measurements import (
    QUICK,
    Rate,
    Sizes,
    measure_classifier_inference,
    measure_classifier_training,
    measure_diffusion_training,
    measure_ingest,
    measure_sampling,
)
from echosynth.config import Params, load_params
from echosynth.device import Precision
from echosynth.errors import EchosynthError
from echosynth.files import write_json
from echosynth.progress import progress

RESULTS = Path(__file__).parent / "results"


def measurements(params: Params, sizes: Sizes, auto: Precision) -> list[Callable[[], Rate]]:
    """All measurements, in the order of the pipeline; `auto` is what that precision stands for on this machine."""
    precisions: tuple[Precision, ...] = ("fp32",) if auto == "fp32" else ("fp32", auto)
    return [
        partial(measure_ingest, params, sizes, "echonet-dynamic"),
        partial(measure_ingest, params, sizes, "tmed2"),
        *(partial(measure_diffusion_training, params, sizes, precision) for precision in precisions),
        *(partial(measure_sampling, params, sizes, precision) for precision in precisions),
        *(partial(measure_classifier_training, params, sizes, precision) for precision in precisions),
        partial(measure_classifier_inference, params, sizes),
    ]


def table(rates: Sequence[Rate]) -> str:
    """One line a rate, under a heading."""
    wide = max(len(rate.task) for rate in rates)
    lines = [f"{'task':<{wide}}  {'a second':>9}  unit    setting"]
    lines += [f"{rate.task:<{wide}}  {rate.per_second:>9.4g}  {rate.unit:<6}  {rate.setting}" for rate in rates]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.run", description="Measure the project on this machine.")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it works; the rates mean nothing")
    parser.add_argument("--name", help="name of the file with the results (default: from the GPU or CPU)")
    parser.add_argument("--folder", type=Path, default=RESULTS, help="folder for the results (default: bench/results)")
    parsed = parser.parse_args(arguments)
    sizes = QUICK if parsed.quick else Sizes()
    machine = facts()
    name = (parsed.name or file_name(machine)) + ("-quick" if parsed.quick else "")
    auto: Precision = "bf16" if machine["auto_precision"] == "bf16" else "fp32"
    try:
        tasks = measurements(load_params(), sizes, auto)
        rates = [task() for task in progress(tasks, len(tasks), "measurements", "measurements")]
        results = {"quick": parsed.quick, "machine": machine, "results": [rate.as_json() for rate in rates]}
        write_json(parsed.folder / f"{name}.json", results)
    except EchosynthError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(", ".join(f"{key} {value}" for key, value in machine.items()))
    print(table(rates))
    return 0


if __name__ == "__main__":
    sys.exit(main())
