"""apt takes the sources of Debian 12 that are written for a host which is not Debian 12."""

from __future__ import annotations

import subprocess
from pathlib import Path

from testbed.host.debian import KEYRING, SUITE, mirrors, sources


def test_apt_reads_the_sources_of_debian_12_and_no_others(tmp_path: Path) -> None:
    listed = tmp_path / "sources.list"
    listed.write_text(sources())
    settings = [f"-oDir::Etc::sourcelist={listed}", "-oDir::Etc::sourceparts=/dev/null"]
    found = subprocess.run(
        ["apt-get", *settings, "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages"],
        capture_output=True, text=True, timeout=60, check=True,
    ).stdout.splitlines()  # fmt: skip
    suites = {suite: uri.rstrip("/") for uri, suite in map(str.split, found)}
    assert {SUITE, f"{SUITE}-updates"} <= suites.keys() <= {SUITE, f"{SUITE}-updates", f"{SUITE}-security"}
    assert KEYRING.is_file()
    mirror = suites[SUITE]
    assert not mirrors() or mirror == mirrors()[0].rstrip("/")
