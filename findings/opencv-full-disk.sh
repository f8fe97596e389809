#!/usr/bin/env bash
# On a full disk OpenCV's own Motion JPEG writer leaves a video that ends somewhere, and nothing says so.
#
# A good engineer's guess: as every writer does, VideoWriter raises, returns False or warns when the disk is full, at the latest when
# it is released; FFmpeg's writer below it does warn, and is not open any more. The built-in one, whose bytes do not depend on a build
# of FFmpeg, stays open and is silent. Shown on 100 frames of noise, with a limit on the size of files in place of a full disk.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check opencv-python-headless==5.0.0.93 numpy==2.4.6

venv/bin/python - <<'PY'
import resource
from pathlib import Path

import cv2
import numpy as np

frames = np.random.default_rng(0).integers(0, 256, (100, 112, 112, 3), np.uint8)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 17, resource.RLIM_INFINITY))  # Python ignores the signal: writes fail
print("OpenCV", cv2.__version__)
writer = cv2.VideoWriter("a.avi", cv2.CAP_OPENCV_MJPEG, cv2.VideoWriter.fourcc(*"MJPG"), 25, (112, 112))
said = [writer.isOpened(), *(writer.write(frame) for frame in frames), writer.isOpened(), writer.release()]
video, read = cv2.VideoCapture("a.avi"), 0
while video.isOpened() and video.read()[0]:
    read += 1
data = Path("a.avi").read_bytes()
print(f"100 frames written; what it said: {sorted({str(word) for word in said})}")
print(f"{len(data)} bytes, of which its header says {int.from_bytes(data[4:8], 'little')}; {read} frames can be read")
assert set(said) == {True, None} and read < 100
PY
