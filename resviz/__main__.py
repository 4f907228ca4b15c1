"""``python -m resviz``: the same as the command ``resviz``."""

from __future__ import annotations

import sys

from resviz.cli import main

if __name__ == "__main__":
    sys.exit(main())
