"""Started as a directory, ``python -I -S …/link_process``: with the standard library alone in reach."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[3]))

from testbed.network.link_process.loop import main

main()
