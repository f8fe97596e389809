"""The one exception whose text is meant for the person at the keyboard."""


class EchosynthError(Exception):
    """One clear sentence: which file or parameter is wrong, and what to do about it.

    Commands and stages print it without a stack trace and exit with status 1. Anything else that is raised is a defect
    of the project and shows its trace.
    """


class OptionError(EchosynthError, ValueError):
    """Options that are out of range or do not fit each other.

    It is a ValueError too, so that pydantic reports it with all else that is wrong in params.yaml; raised outside of
    pydantic, from the card of a stored model for instance, it says the same sentence.
    """
