"""What tests in the toy project hand to each other."""

from dataclasses import dataclass


@dataclass
class Temporary:
    """An experiment that ran aside, and how many rows of executions there were before and after it."""

    name: str
    rows_before: int
    rows_after: int
