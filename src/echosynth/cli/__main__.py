"""`python -m echosynth.cli`."""

import sys

from echosynth.cli import main

if __name__ == "__main__":
    sys.exit(main())
