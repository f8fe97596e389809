#!/usr/bin/env bash
# OpenCV 5.0 reads an interlaced H.264 video as black frames, and says that all went well.
#
# A good engineer's guess: where VideoCapture.read() returns True there is a picture. FFmpeg's converter (8.1)
# refuses to turn a frame that is marked as interlaced into one that is not, and OpenCV does not look at what it returns: the
# array stays as it was allocated, mostly zeros. One line on stderr, which OPENCV_FFMPEG_LOGLEVEL=-8 takes away, is the only trace.
# Old recorders and PACS exports of analogue video are interlaced. Shown on 10 frames of 128 x 96 by x264 with "tff=1"; PyAV, with
# the same version of FFmpeg, gives the picture.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check opencv-python-headless==5.0.0.93 av==18.1.0 numpy==2.4.6

OPENCV_FFMPEG_LOGLEVEL=-8 venv/bin/python - <<'PY'
import av
import cv2
import numpy as np

grey = np.full((96, 128, 3), 120, np.uint8)
for name, fields in (("progressive.mp4", ""), ("interlaced.mp4", "tff=1")):
    with av.open(name, "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"x264-params": fields})
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for _ in range(10):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, "rgb24")))
        container.mux(stream.encode())


def by_opencv(name):
    video, read = cv2.VideoCapture(name, cv2.CAP_FFMPEG), []
    while (found := video.read())[0]:
        read.append(found[1])
    return np.stack(read)


def by_pyav(name):
    with av.open(name) as container:
        return np.stack([frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)])


print("OpenCV", cv2.__version__, "PyAV", av.__version__)
for name in ("progressive.mp4", "interlaced.mp4"):
    one, other = by_opencv(name), by_pyav(name)
    print(f"{name}: {len(one)} and {len(other)} frames, mean {one.mean():.1f} by OpenCV, {other.mean():.1f} by PyAV; written was 120")
    assert len(one) == len(other) == 10 and abs(other.mean() - 120) < 2
    assert (abs(one.mean() - 120) < 2) == (name == "progressive.mp4")
PY
