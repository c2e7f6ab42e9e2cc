"""Of a package only its pages are unpacked, and a host that cannot fetch packages says so in one sentence."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from testbed.errors import TestbedError
from testbed.host.embedded.translation.packages import PACKAGES, fetch_packages, unpack


def test_only_pages_come_out_of_a_package_and_no_links(tmp_path: Path) -> None:
    root = tmp_path / "root"
    files = {
        "usr/share/help/de/x/index.page": "<page/>",
        "usr/share/help/fr/x/index.page": "<page/>",
        "usr/share/man/de/man1/ls.1.gz": "x",
        "usr/share/doc/x/changelog.gz": "x",
        "usr/share/doc/x/FAQ/index.de.html": "<p/>",
        "usr/bin/x": "x",
        "DEBIAN/control": "Package: x\nVersion: 1\nArchitecture: all\nMaintainer: x <x@x>\nDescription: x\n",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "usr/share/help/C").symlink_to("/etc")
    (root / "usr/share/help/de/x/link.page").symlink_to("/etc/passwd")
    subprocess.run(["dpkg-deb", "--build", root, tmp_path / "x.deb"], check=True, capture_output=True)
    unpack(tmp_path / "x.deb", tmp_path / "out")
    found = {
        str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()
    }
    assert found == {
        "usr/share/help/de/x/index.page",
        "usr/share/man/de/man1/ls.1.gz",
        "usr/share/doc/x/FAQ/index.de.html",
    }


def test_a_file_that_is_no_package_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.deb").write_text("no archive")
    with pytest.raises(TestbedError, match=r"x\.deb: dpkg-deb cannot read it; fetch it again"):
        unpack(tmp_path / "x.deb", tmp_path / "out")


def test_a_host_without_apt_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("TESTBED_CACHE", str(tmp_path))
    with pytest.raises(TestbedError, match="no apt-get here"):
        fetch_packages()


def test_every_package_is_pinned_once_with_a_licence() -> None:
    assert len({package.name for package in PACKAGES}) == len(PACKAGES)
    assert all(package.version and package.licence for package in PACKAGES)
