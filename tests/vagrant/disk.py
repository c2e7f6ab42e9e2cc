"""An empty disk becomes a Debian that boots: nothing in it but what a box has."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.vagrant.settings import bring_settings, directories, pip_settings, write_files

PACKAGES = "linux-image-amd64,systemd-sysv,libpam-systemd,dbus,openssh-server,sudo,rsync,ca-certificates"
APART = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
"""What mmdebstrap starts and mounts ends with it, however it ends."""
USER = "vagrant"
NETWORK = "[Match]\nName=eth0 en*\n\n[Network]\nDHCP=ipv4\n"


def make_disk(kept: Path, release: str, mirror: str | None, disk_gb: int, hostname: str) -> None:
    """Write disk.raw, vmlinuz, initrd and the key of the user to a directory. Needs root.

    Raises:
        CalledProcessError, TimeoutExpired: the mirror does not answer, or there is no room.
    """
    key = kept / "key"
    key.unlink(missing_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], timeout=60, check=True)
    with tempfile.TemporaryDirectory(prefix="tree-", dir=kept) as made:
        tree = Path(made)
        command = [*APART, "mmdebstrap", "--variant=important", f"--include={PACKAGES}"]
        sources = [mirror] if mirror else []
        subprocess.run([*command, release, str(tree), *sources], timeout=1800, check=True)
        _set_up(tree, hostname, key.with_suffix(".pub").read_text())
        for name in ("vmlinuz", "initrd.img"):
            shutil.copy(tree / name, kept / name)
        partial = kept / "disk.partial"
        partial.unlink(missing_ok=True)
        made_by = ["mke2fs", "-q", "-t", "ext4", "-L", "root", "-d", str(tree), str(partial), f"{disk_gb}G"]
        subprocess.run(made_by, timeout=1800, check=True)
        partial.rename(kept / "disk.raw")


def _set_up(tree: Path, hostname: str, public_key: str) -> None:
    """A user as Vagrant expects one, a network by DHCP, and the host's way to packages."""
    shares = directories(pip_settings())
    written = {
        "etc/hostname": f"{hostname}\n",
        "etc/hosts": f"127.0.0.1 localhost {hostname}\n",
        "etc/fstab": "/dev/vda / ext4 errors=remount-ro 0 1\n"
        + "".join(
            f"share{i} {share} 9p ro,trans=virtio,version=9p2000.L,nofail 0 0\n"
            for i, share in enumerate(shares)
        ),
        "etc/systemd/network/wired.network": NETWORK,
        f"etc/sudoers.d/{USER}": f"{USER} ALL=(ALL) NOPASSWD: ALL\n",
        f"home/{USER}/.ssh/authorized_keys": public_key,
        "root/.ssh/authorized_keys": public_key,
    }
    in_tree = ["chroot", str(tree)]
    subprocess.run([*in_tree, "useradd", "-m", "-s", "/bin/bash", USER], timeout=60, check=True)
    write_files(tree, written)
    bring_settings(tree)
    (tree / f"etc/sudoers.d/{USER}").chmod(0o440)
    for command in (
        ["chown", "-R", f"{USER}:", f"/home/{USER}"],
        ["chmod", "-R", "go=", f"/home/{USER}/.ssh", "/root/.ssh"],
        ["systemctl", "enable", "systemd-networkd"],
    ):
        subprocess.run([*in_tree, *command], timeout=120, check=True, capture_output=True)
    (tree / "etc/resolv.conf").unlink(missing_ok=True)
    (tree / "etc/resolv.conf").write_text("nameserver 10.0.2.3\n")  # QEMU's, which asks the host's
