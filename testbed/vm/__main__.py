"""``python -m testbed.vm [OPTIONS] -- COMMAND …``: the same as ``testbed vm``."""

from __future__ import annotations

import sys

from testbed.cli import main

if __name__ == "__main__":
    sys.argv.insert(1, "vm")
    main()
