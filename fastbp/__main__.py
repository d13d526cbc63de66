"""``python -m fastbp``: the command line, where no script ``fastbp`` is on the path."""

import sys

from fastbp.commands.main import main

if __name__ == "__main__":
    sys.exit(main())
