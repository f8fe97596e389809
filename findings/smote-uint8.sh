#!/usr/bin/env bash
# SMOTE of imbalanced-learn on 8-bit pictures wraps round without a word.
#
# A good engineer's guess: a sample between two pictures has each grey level between those of the two. The difference of two
# uint8 arrays is taken in uint8, so that 90 - 100 is 246: new pictures hold levels far outside. As float32 they are right.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check \
  imbalanced-learn==0.14.2 numpy==2.4.6 scikit-learn==1.9.1 scipy==1.17.1

venv/bin/python - <<'PY'
import imblearn
import numpy as np
from imblearn.over_sampling import SMOTE

random = np.random.default_rng(0)
pictures = random.integers(90, 111, (40, 256), dtype=np.uint8)  # all levels lie in 90 to 110
labels = np.array([0] * 30 + [1] * 10)


def new(dtype):
    """The pictures that SMOTE adds to the smaller class."""
    return SMOTE(random_state=0).fit_resample(pictures.astype(dtype), labels)[0][len(pictures) :]


print("imbalanced-learn", imblearn.__version__)
print("levels of new pictures as uint8:  ", new(np.uint8).min(), "to", new(np.uint8).max())
print("levels of new pictures as float32:", new(np.float32).min(), "to", new(np.float32).max())
assert new(np.uint8).max() > 110 or new(np.uint8).min() < 90
assert new(np.float32).min() >= 90 and new(np.float32).max() <= 110
PY
