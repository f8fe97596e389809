#!/usr/bin/env bash
# "Cubic" of OpenCV and "bicubic" of Pillow are two operations when a picture is made smaller.
#
# A good engineer's guess: both resize with the cubic kernel, so that a classifier trained on pictures of one serves those
# of the other. Pillow widens the kernel by the factor of the reduction, which averages; OpenCV keeps it 4 pixels wide and
# passes over what lies between. On speckle, which ultrasound is made of, OpenCV's picture keeps the noise of single pixels.
# Here: 512 to 32 pixels.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check \
  opencv-python-headless==5.0.0.93 pillow==12.0.0 numpy==2.4.6

venv/bin/python - <<'PY'
import cv2
import numpy as np
import PIL
from PIL import Image

speckle = np.random.default_rng(0).rayleigh(40, (512, 512)).clip(0, 255).astype(np.uint8)
by_opencv = cv2.resize(speckle, (32, 32), interpolation=cv2.INTER_CUBIC)
by_pillow = np.asarray(Image.fromarray(speckle).resize((32, 32), Image.Resampling.BICUBIC))
difference = np.abs(by_opencv.astype(int) - by_pillow)

print("OpenCV", cv2.__version__, "Pillow", PIL.__version__)
print(f"standard deviation: {speckle.std():.1f} before, {by_opencv.std():.1f} OpenCV, {by_pillow.std():.1f} Pillow")
print(f"largest difference: {difference.max()} grey levels")
assert by_opencv.std() > 0.5 * speckle.std()
assert by_pillow.std() < 0.1 * speckle.std()
assert difference.max() > 60
PY
