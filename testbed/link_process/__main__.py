"""Started as a directory, ``python -I -S testbed/link_process``: with the standard library alone in reach."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))

from testbed.link_process.loop import main

main()
