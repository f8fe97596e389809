"""What the name of an arm says of it."""

import re

MIXED = "mixed"  # what the names of arms of real and synthetic images begin with


def percent_of(arm: str) -> int | None:
    """How many synthetic images an arm such as mixed-70 holds, in per cent of its real ones; None of other arms."""
    named = re.fullmatch(rf"{MIXED}-([1-9]\d{{0,3}})", arm)
    return int(named[1]) if named else None
