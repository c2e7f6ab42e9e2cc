"""Runs the link process: ``python -I -S …/link_process``, with nothing but the standard library installed."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[3]))

from testbed.network.link_process.loop import main

main()
