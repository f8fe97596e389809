#!/usr/bin/env bash
# prdc: a generator that only copies ten training images gets the best precision, and recall 0.
#
# A good engineer's guess: the recall of a set that consists of real images is above 0, and a set of copies is given away by
# some number. Recall asks whether real images lie inside the balls round the synthetic ones, whose radius is the distance to
# the k-th neighbour: with more than k copies of each that radius is 0. And precision and density reward copies: copying has
# to be looked for by itself. Here: ten of 1,000 real vectors, ten times each, k = 5.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check \
  prdc==0.2 numpy==2.4.6 scikit-learn==1.9.1 scipy==1.17.1

venv/bin/python - <<'PY'
from importlib.metadata import version

import numpy as np
from prdc import compute_prdc

real = np.random.default_rng(0).normal(size=(1000, 64))
once = compute_prdc(real, real[:100], nearest_k=5)
copied = compute_prdc(real, np.tile(real[:10], (10, 1)), nearest_k=5)

print("prdc", version("prdc"))
print("100 real vectors:          ", {name: round(float(value), 3) for name, value in once.items()})
print("10 real vectors, ten times:", {name: round(float(value), 3) for name, value in copied.items()})
assert copied["precision"] == 1 and copied["recall"] == 0
assert once["precision"] == 1 and once["recall"] > 0
PY
