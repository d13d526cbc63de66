"""``python -m fastbp``: the command line, by the Python that has fastbp, whatever is on the PATH."""

import sys

from fastbp.commands.main import main

if __name__ == "__main__":
    sys.exit(main())
