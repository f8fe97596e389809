"""What tests in the toy project hand to each other."""

from dataclasses import dataclass


@dataclass
class Experiment:
    """An experiment that ran, and what it left in the store.

    Attributes:
        name: as DVC knows it.
        printed: what `dvc exp run` said.
        rows_before: how many rows of executions there were before it.
        rows_after: how many there were after it.
        newest: the newest version of the classifier after it.
    """

    name: str
    printed: str
    rows_before: int
    rows_after: int
    newest: str
