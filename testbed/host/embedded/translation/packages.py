"""The Debian packages whose text is in English and in German, fetched by apt and unpacked.

apt compares each package with the archive's signed index, so no checksum of ours is needed. A point release
of Debian may replace a version; then the archive's is taken and told. Sentences that changed drop out of the
held-out set, which is found by hashes (:mod:`testbed.host.embedded.translation.heldout`).
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from testbed.errors import TestbedError
from testbed.host.cache import cache_dir, scratch_in
from testbed.host.debian import is_suite, sources
from testbed.host.processes.children import run_reported
from testbed.host.processes.locking import exclusive
from testbed.host.processes.reporting import Report, silent

DOWNLOAD_TIMEOUT_S = 900.0
_WANTED = re.compile(
    r"usr/share/(doc/.*\.html|debian-reference/.*\.html|developers-reference/.*\.html|libreoffice/help/.*\.html"
    r"|help/(C|de)/.*\.page|man/(de/)?man[^/]*/.*\.gz|trans/de-en)"
)
"""Of a package, only these files are unpacked, and no links: nothing of it is ever run."""
DESCRIPTIONS = "descriptions"
"""The folder for the archive's package descriptions, apt's ``Translation-en`` and ``Translation-de``."""


@dataclass(frozen=True)
class Package:
    """A package of Debian 12, with the licence of its text."""

    name: str
    version: str
    licence: str


def _packages(licence: str, *pinned: str) -> tuple[Package, ...]:
    named = (pin.partition("=") for pin in pinned)
    return tuple(Package(name, version, licence) for name, _, version in named)


PACKAGES = (
    *_packages(
        "MPL-2.0", "libreoffice-help-en-us=4:7.4.7-1+deb12u14", "libreoffice-help-de=4:7.4.7-1+deb12u14"
    ),
    *_packages("CC-BY-SA-3.0", "gnome-user-docs=43.0-2"),
    *_packages("GPL-2+ or CC-BY-SA-3.0", "debian-handbook=11.20220922"),
    *_packages("GPL-2+", "debian-reference-en=2.100", "debian-reference-de=2.100", "trans-de-en=1.9-6"),
    *_packages("GPL-2+", "developers-reference=12.18", "developers-reference-de=12.18"),
    *_packages("GPL-2+", "debian-faq=11.1", "debian-faq-de=11.1"),
    # help of applications, both languages in one package
    *_packages(
        "CC-BY-SA-3.0 or GFDL-1.1+",
        *("accerciser=3.40.0-2", "anjuta-common=2:3.34.0-8", "baobab=43.0-1", "brasero-common=3.12.3-2"),
        *("eog=43.2-1+deb12u1", "evince-common=43.1-2+deb12u1", "evolution-common=3.46.4-2+deb12u1"),
        *(
            "file-roller=43.0-1",
            "gedit-common=44.2-1",
            "gnome-robots=1:40.0-2",
            "gnome-terminal-data=3.46.8-1",
        ),
        *("gnome-system-monitor=42.0-2", "gthumb-data=3:3.12.2-3", "orca=43.1-1", "seahorse=43.0-1"),
        *("simple-scan=42.5-2", "totem-common=43.0-2"),
    ),
    # manual pages: German ones, then the packages of the English ones
    *_packages(
        "GPL-3+ and each page's own", "manpages-de=4.18.1-1", "manpages=6.03-2", "manpages-dev=6.03-2"
    ),
    *_packages(
        "each page's own",
        *("systemd=252.39-1~deb12u2", "systemd-container=252.39-1~deb12u2", "systemd-boot=252.39-1~deb12u2"),
        *("systemd-homed=252.39-1~deb12u2", "libpam-systemd=252.39-1~deb12u2", "udev=252.39-1~deb12u2"),
        *("systemd-timesyncd=252.39-1~deb12u2", "bzip2=1.0.8-5+b1", "coreutils=9.1-1", "dosfstools=4.2-1"),
        *("findutils=4.9.0-4", "grep=3.8-5", "gzip=1.12-1", "iptables=1.8.9-2", "keyutils=1.6.3-2"),
        *("less=590-2.1~deb12u2", "libsane-common=1.2.1-2", "make=4.3-4.1", "mtools=4.0.33-1+really4.0.32-1"),
        *("mutt=2.2.12-0.1~deb12u2", "nfs-common=1:2.6.2-4+deb12u1", "sane-utils=1.2.1-2"),
        *("tar=1.34+dfsg-1.2+deb12u1", "util-linux=2.38.1-5+deb12u3", "wodim=9:1.1.11-3.4"),
        # both languages in one package
        *("apt-listchanges=3.24", "debconf-doc=1.5.82", "debhelper=13.11.4", "devscripts=2.23.4+deb12u2"),
        *("man-db=2.11.2-2", "passwd=1:4.13+dfsg1-1+deb12u2", "po4a=0.69-1", "procps=2:4.0.2-3"),
        *("psmisc=23.6-1", "schroot=1.6.13-3+b2", "xz-utils=5.4.1-1+deb12u2"),
    ),
)
"""What pairs are made from; beside them, the package descriptions of the archive (each under its package's
licence)."""


def unpacked(packages: Sequence[Package] = PACKAGES) -> Path:
    """Where :func:`fetch_packages` puts them: named by the hash of names and versions."""
    names = "\n".join(f"{package.name}={package.version}" for package in packages)
    return cache_dir() / "debian" / hashlib.sha256(names.encode()).hexdigest()[:12]


def fetch_packages(report: Report = silent, packages: Sequence[Package] = PACKAGES) -> Path:
    """The directory with a folder for each package, unpacked; they are downloaded the first time.

    Raises:
        TestbedError: there is no apt, or its archive cannot be reached or has not got one of them.
    """
    target = unpacked(packages)
    if target.is_dir():
        return target
    if shutil.which("apt-get") is None:
        raise TestbedError("no apt-get here: the text comes from Debian's packages; use Debian 12")
    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        exclusive(target.parent / ".lock", "fetching Debian's packages", 4 * DOWNLOAD_TIMEOUT_S, report),
        scratch_in(target.parent, ".fetch-") as scratch,
    ):
        if target.is_dir():
            return target
        made = scratch / "packages"
        apt = _private_apt(scratch)
        try:
            run_reported([*apt, "update"], "reading the package lists", report, DOWNLOAD_TIMEOUT_S)
            debs = _download(apt, packages, scratch, report)
        except TestbedError as error:
            raise TestbedError(f"{error}; check apt's sources and network settings and try again") from error
        for deb in debs:
            unpack(deb, made / deb.name.partition("_")[0])
        _keep_descriptions(scratch / "lists", made / DESCRIPTIONS)
        made.chmod(0o755)
        made.rename(target)
    return target


def _private_apt(scratch: Path) -> list[str]:
    """apt-get with lists of Debian 12 of its own, uncompressed, with the descriptions in both languages."""
    for folder in ("lists/partial", "archives/partial"):
        (scratch / folder).mkdir(parents=True)
    scratch.chmod(0o755)  # apt reads and writes these as a user of its own
    settings = {
        "Dir::State::lists": scratch / "lists",
        "Dir::Cache": scratch,
        "Dir::Cache::archives": scratch / "archives",
        "Acquire::Languages": "en,de",
        "Acquire::GzipIndexes": "false",
        "APT::Sandbox::User": "root",
    }
    if not is_suite():
        listed = scratch / "sources.list"
        listed.write_text(sources())
        settings |= {"Dir::Etc::sourcelist": listed, "Dir::Etc::sourceparts": "/dev/null"}
    return [
        "apt-get",
        "-q",
        *(part for name, value in settings.items() for part in ("-o", f"{name}={value}")),
    ]


def _download(apt: list[str], packages: Sequence[Package], scratch: Path, report: Report) -> list[Path]:
    """Fetch the pinned versions at once or, if one is gone, each by itself, then of whatever version."""
    into = scratch / "debs"
    into.mkdir()
    pins = [f"{package.name}={package.version}" for package in packages]
    apt = ["env", "-C", str(into), *apt, "download"]
    try:
        run_reported([*apt, *pins], f"downloading {len(pins)} packages", report, DOWNLOAD_TIMEOUT_S)
    except TestbedError:
        for package, pin in zip(packages, pins, strict=True):
            try:
                run_reported([*apt, pin], f"downloading {pin}", report, DOWNLOAD_TIMEOUT_S)
            except TestbedError:
                what = f"downloading {package.name}, as the archive has no version {package.version}"
                run_reported([*apt, package.name], what, report, DOWNLOAD_TIMEOUT_S)
    return sorted(into.glob("*.deb"))


def unpack(deb: Path, into: Path) -> None:
    """Write the pages of a package, and nothing else of it.

    Raises:
        TestbedError: it is no package.
    """
    command = ["dpkg-deb", "--fsys-tarfile", str(deb)]
    try:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
                for member in archive:
                    _write_page(archive, member, into)
            process.communicate()  # what follows the archive's end
    except tarfile.TarError:
        raise TestbedError(f"{deb.name}: dpkg-deb cannot read it; fetch it again") from None


def _write_page(archive: tarfile.TarFile, member: tarfile.TarInfo, into: Path) -> None:
    """Write a member if it is a regular file with a page."""
    name = PurePosixPath(member.name)  # "./usr/share/…"
    if member.isfile() and _WANTED.fullmatch(str(name)) and ".." not in name.parts:
        content = archive.extractfile(member)
        assert content is not None  # as it is a file
        (into / name).parent.mkdir(parents=True, exist_ok=True)
        (into / name).write_bytes(content.read())


def _keep_descriptions(lists: Path, into: Path) -> None:
    into.mkdir(parents=True)
    for language in ("en", "de"):
        found = sorted(lists.glob(f"*_main_i18n_Translation-{language}"))
        if not found:
            raise TestbedError(f"the archive has no package descriptions in {language!r}; use a full mirror")
        largest = max(found, key=lambda path: path.stat().st_size)  # not those of updates
        shutil.copyfile(largest, into / f"Translation-{language}")
