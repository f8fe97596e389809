"""Echosynth: synthetic echocardiograms for view classification, judged and compared."""

import os
from importlib.util import find_spec

__version__ = "0.1.0"

# Threads that wait for each other should soon sleep instead of spinning: with two trainings on two cores, a step takes
# 0.24 s so and 1.35 s without; alone it costs 0.10 s in place of 0.08 s. OpenMP reads this once, when torch is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

# A notebook hands the back end of its figures on to what `!dvc repro` starts, where it may not be installed: matplotlib
# does not load then. Figures are drawn into files here.
_backend = os.environ.get("MPLBACKEND", "")
if _backend.startswith("module://") and find_spec(_backend.removeprefix("module://").partition(".")[0]) is None:
    del os.environ["MPLBACKEND"]
