"""The one exception whose text is meant for the person at the keyboard."""


class EchosynthError(Exception):
    """One clear sentence: which file or parameter is wrong, and what to do about it.

    Commands and stages print it without a stack trace and exit with status 1. Anything else that is raised is a defect
    of the project and shows its trace.
    """
