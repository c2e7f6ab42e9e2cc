"""apt takes the sources of Debian 12 that are written for a host which is not Debian 12."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from testbed.host.debian import KEYRING, SUITE, mirrors, sources


def test_apt_reads_the_sources_of_debian_12_and_no_others(tmp_path: Path) -> None:
    listed = tmp_path / "sources.list"
    listed.write_text(sources())
    settings = [f"-oDir::Etc::sourcelist={listed}", "-oDir::Etc::sourceparts=/dev/null"]
    told = subprocess.run(
        ["apt-get", *settings, "--print-uris", "update"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    suites = {suite: uri for uri, suite in re.findall(r"'(.*?)/*/dists/([^/]*)/InRelease'", told)}
    assert {SUITE, f"{SUITE}-updates"} <= suites.keys() <= {SUITE, f"{SUITE}-updates", f"{SUITE}-security"}
    assert KEYRING.is_file()
    assert not mirrors() or suites[SUITE] == mirrors()[0].rstrip("/")
