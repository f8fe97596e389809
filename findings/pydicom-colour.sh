#!/usr/bin/env bash
# pydicom's `pixel_array` has turned YBR into RGB already, while the header still says YBR.
#
# A good engineer's guess: an array whose header says YBR_FULL_422 holds YBR, and wants converting. Who converts it again
# makes a grey ultrasound picture green, and a screening for colour Doppler then finds colour in every recording.
# Here: pixels that are grey before (channels that differ by at most 30) and coloured after the second conversion.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check pydicom==3.0.2 numpy==2.4.6 pillow==12.0.0

venv/bin/python - <<'PY'
import pydicom
from pydicom import examples
from pydicom.pixels import convert_color_space

cine = examples.ybr_color  # an echocardiogram of 30 frames that comes with pydicom
first = cine.pixel_array[0]
again = convert_color_space(first, "YBR_FULL", "RGB")


def grey(picture):
    """Share of the pixels whose channels differ by no more than 30."""
    return float(((picture.max(axis=-1).astype(int) - picture.min(axis=-1)) <= 30).mean())


print("pydicom", pydicom.__version__)
print("header after pixel_array:", cine.PhotometricInterpretation)
print(f"grey pixels as decoded: {grey(first):.3f}, after another conversion: {grey(again):.3f}")
assert cine.PhotometricInterpretation == "YBR_FULL_422"
assert grey(first) > 0.9 and grey(again) < 0.1
PY
