"""What a stage does with its run, as a process of its own: python worker.py NUMBER POINTS GATE."""

import sys
import time
from pathlib import Path

from echosynth.tracking import answers
from echosynth.tracking.runs import child_run

answers.PROBE_SECONDS = 600  # a server on a slow machine is no server that is gone


def main(number: int, points: int, gate: Path) -> None:
    """Log parameters, a data set, a curve and an artifact, at the same moment as the others at the gate."""
    (gate / f"ready-{number}").touch()
    until = time.monotonic() + 1800
    while not (gate / "open").exists():
        assert time.monotonic() < until, "the gate did not open within 1800 s"
        time.sleep(0.01)
    settings = {"classifier": {"seed": number, "learning_rate": 0.1 * number}}
    with child_run(f"worker {number}", "classify", settings) as run:
        run.dataset("subset-60", f"{number:032x}.dir", "training")
        for step in range(points):
            run.metrics({"loss": number + 1 / (step + 1), "macro_auprc": step / points}, step)
        curve = Path(f"curve-{number}.csv")
        curve.write_text(f"worker {number}\n" * 1000)
        run.artifact(curve, "curves")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
