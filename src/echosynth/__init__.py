"""Echosynth: synthetic echocardiograms for view classification, judged and compared."""

import os

__version__ = "0.1.0"

# Threads that wait for each other should soon sleep instead of spinning: with two trainings on two cores, a step takes
# 0.24 s so and 1.35 s without; alone it costs 0.10 s in place of 0.08 s. OpenMP reads this once, when torch is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
