"""Words of libjpeg over damaged pictures."""

import os

import cv2
import numpy as np

from echosynth.media.complaints import complaints

PICTURE = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (64, 80), dtype=np.uint8), (0, 0), 2)
DATA = cv2.imencode(".jpg", PICTURE)[1].tobytes()
END = b"\xff\xd9"


def damaged(data: bytes) -> bool:
    with complaints() as heard:
        assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE) is not None
    return heard.damage


def test_a_picture_that_ends_early():
    assert not damaged(DATA)
    assert damaged(DATA[: len(DATA) // 2] + END)
    assert not damaged(DATA)


def test_padding_is_no_damage():
    assert not damaged(DATA.removesuffix(END) + bytes(20) + END)
    assert not damaged(DATA + bytes(20))


def test_what_others_say_is_no_damage_and_stderr_comes_back(capfd):
    with complaints() as heard:
        os.write(2, b"a note\n")
    os.write(2, b"later\n")
    assert not heard.damage
    assert capfd.readouterr().err == "later\n"
