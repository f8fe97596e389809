"""Try a GPU in minutes: `make gpu-check`, or `python -m bench.gpu_check`.

For a machine that has nothing of this project but the checkout: no DVC, no MLflow, no data, no network. One part after
another: the tests that need a GPU; preset `gpu-small`, trained on phantoms for some minutes and judged; speed, memory
and the solvers. What no time is left for is named in the results. They go to bench/results/<GPU>-gpu.json after each
part, beside the curve of the training (CSV, PNG) and a grid of samples (PNG).
"""

import argparse
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

BEGAN = time.monotonic()
RESULTS = Path(__file__).parent / "results"
NEEDED = (
    *("accelerate", "cv2", "diffusers", "filelock", "joblib", "matplotlib", "numpy", "pandas", "pandera", "pydantic"),
    *("pydicom", "ruamel", "safetensors", "timm", "torch", "torchvision", "tqdm", "yaml"),
)
# diffusers imports these where it finds them. Nothing here uses them, and a machine may hold versions of them that do
# not go with the packages that were brought.
UNUSED = ("transformers", "peft")


def hide_unused() -> None:
    """Make the process find no `UNUSED` package."""
    sys.modules.update(dict.fromkeys(UNUSED))  # type: ignore[arg-type]


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu_check", description="Try this project on a GPU.")
    parser.add_argument("--minutes", type=float, default=8.0, help="time for all parts (default: 8)")
    parser.add_argument("--folder", type=Path, default=RESULTS, help="folder for the results (default: bench/results)")
    parser.add_argument("--quick", action="store_true", help="toy sizes, on the CPU too; the numbers mean nothing")
    parsed = parser.parse_args(arguments)
    if lacking := [name for name in NEEDED if find_spec(name) is None]:
        print(
            f"error: {', '.join(lacking)} cannot be imported here: put what is missing, and what that needs, as wheels "
            "into a folder and call `make gpu-check WHEELS=folder`",
            file=sys.stderr,
        )
        return 1
    hide_unused()
    # Only now, when all that they import is known to be there.
    from bench.gpu_run import run
    from echosynth.common.errors import EchosynthError

    try:
        return run(BEGAN + 60 * parsed.minutes, parsed.folder, parsed.quick)
    except EchosynthError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
