#!/usr/bin/env bash
# Asked for frame n by CAP_PROP_POS_FRAMES, OpenCV gives another frame where the frames of a video are unevenly spaced.
#
# A good engineer's guess: "0-based index of the frame to be decoded next" is an index. It is a time, n divided by the average
# rate, and the frame shown at that time; CAP_PROP_POS_FRAMES read back says n all the same. Screen recorders and phones write such
# videos. Shown on 120 frames, 40 at each of 50, 10 and 30 a second, each with its number drawn into it.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check opencv-python-headless==5.0.0.93 av==18.1.0 numpy==2.4.6

venv/bin/python - <<'PY'
from fractions import Fraction

import av
import cv2
import numpy as np

times = np.cumsum([0] + [20] * 40 + [100] * 40 + [33] * 39)
with av.open("uneven.mp4", "w") as container:
    stream = container.add_stream("libx264", rate=30, options={"crf": "12", "g": "40"})
    stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
    stream.codec_context.time_base = Fraction(1, 1000)
    for number, time in enumerate(times):
        picture = np.full((96, 128, 3), 128, np.uint8)
        for bit in range(8):
            picture[:, 16 * bit : 16 * bit + 16] = 250 if number >> bit & 1 else 5
        frame = av.VideoFrame.from_ndarray(picture, "rgb24")
        frame.pts, frame.time_base = int(time), Fraction(1, 1000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


def number_of(picture):
    return sum(int(picture[:, 16 * bit + 4 : 16 * bit + 12].mean() > 125) << bit for bit in range(8))


video = cv2.VideoCapture("uneven.mp4", cv2.CAP_FFMPEG)
in_turn = [number_of(video.read()[1]) for _ in range(120)]
asked, said = [], []
for number in range(120):
    video = cv2.VideoCapture("uneven.mp4", cv2.CAP_FFMPEG)
    video.set(cv2.CAP_PROP_POS_FRAMES, number)
    said.append(int(video.get(cv2.CAP_PROP_POS_FRAMES)))
    done, picture = video.read()
    asked.append(number_of(picture) if done else None)
others = sum(found != number for number, found in enumerate(asked))
print("OpenCV", cv2.__version__)
print(f"in turn: {sum(a != b for a, b in enumerate(in_turn))} of 120 wrong; asked for: {others} of 120 are another frame, such as {asked[60]} for 60")
print(f"that it stands at the frame asked for is said of {sum(a == b for a, b in enumerate(said))} of 120")
assert in_turn == list(range(120)) and others > 40
PY
