"""What of this host a scenario may name, and what it may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.host.places import unfit_beside, unfit_file, unfit_folder


@pytest.mark.parametrize(
    "path",
    ["/", "/etc", "/etc/ssl", "/home", "/home/ada", "/root", "/tmp", "/proc/1", "/dev/shm", "/run/docker"],
)  # fmt: skip
def test_directories_of_the_system_and_of_all_are_nobodys_models(path: str) -> None:
    assert unfit_folder(Path(path))


@pytest.mark.parametrize(
    "path",
    ["/home/ada/model", "/root/model", "/data", "/srv/models", "/dev/shm/model", "/run/media/ada/disk",
     "/usr/share/models", "/etcetera"],
)  # fmt: skip
def test_directories_of_a_user_are(path: str) -> None:
    assert unfit_folder(Path(path)) is None


def test_a_link_beside_leads_to_no_file_of_the_system(tmp_path: Path) -> None:
    link, own = tmp_path / "link", tmp_path / "own"
    own.touch()
    assert unfit_beside(own) is None
    link.symlink_to(own)
    assert unfit_beside(link) is None
    link.unlink()
    link.symlink_to("/etc/passwd")
    assert unfit_file(link.resolve()) is None
    assert unfit_beside(link) == "leads to /etc/passwd, a file of the system"
