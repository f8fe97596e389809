"""Measure everything, or some sections: `python -m bench.run [SECTION ...]`.

Prints a table and writes bench/results/<name>-<section>.json.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import cells, cines, data, diffusion, frozen, measurements, pipeline, serving, sync, tracking
from bench.machine import facts, file_name
from bench.results import Result, as_json, table
from echosynth.common.errors import EchosynthError
from echosynth.common.files import write_json
from echosynth.common.progress import progress
from echosynth.compute.device import Precision
from echosynth.config.parameters import Params, load_params

RESULTS = Path(__file__).parent / "results"
Task = Callable[[], Result | list[Result]]
SECTIONS: dict[str, Callable[[Params, bool, Precision], Sequence[Task]]] = {
    "data": data.measurements,
    "cines": cines.measurements,
    "networks": measurements.measurements,
    "frozen": frozen.measurements,
    "diffusion": diffusion.measurements,
    "tracking": tracking.measurements,
    "pipeline": pipeline.measurements,
    "cells": cells.measurements,
    "serving": serving.measurements,
    "sync": sync.measurements,
}


def do(tasks: Sequence[Task], section: str) -> list[Result]:
    """The results of all tasks of a section; one may give several, or none where it cannot be measured."""
    results: list[Result] = []
    for task in progress(tasks, len(tasks), section, "measurements"):
        outcome = task()
        results += outcome if isinstance(outcome, list) else [outcome]
    return results


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.run", description="Measure the project on this machine.")
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"{', '.join(SECTIONS)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it works; the rates mean nothing")
    parser.add_argument("--name", help="name of the files with the results (default: from the GPU or CPU)")
    parser.add_argument("--folder", type=Path, default=RESULTS, help="folder for the results (default: bench/results)")
    parsed = parser.parse_args(arguments)
    if unknown := [section for section in parsed.sections if section not in SECTIONS]:
        parser.error(f"there is no section {unknown[0]}; choose from {', '.join(SECTIONS)}")
    machine = facts()
    name = parsed.name or file_name(machine)
    auto: Precision = "bf16" if machine["auto_precision"] == "bf16" else "fp32"
    print(", ".join(f"{key} {value}" for key, value in machine.items()))
    try:
        params = load_params()
        for section in parsed.sections or SECTIONS:
            results = do(SECTIONS[section](params, parsed.quick, auto), section)
            content = {"quick": parsed.quick, "machine": machine, "results": [as_json(result) for result in results]}
            write_json(parsed.folder / f"{name}-{section}{'-quick' * parsed.quick}.json", content)
            print(f"\n{section}\n{table(results)}", flush=True)
    except EchosynthError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
