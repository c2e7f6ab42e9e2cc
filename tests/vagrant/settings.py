"""The host's own way to packages (proxies, indexes, certificates), which a machine gets as well."""

from __future__ import annotations

import ast
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

CERTIFICATES = Path("/usr/local/share/ca-certificates")
PROXIES = ("http_proxy", "https_proxy", "no_proxy")
APT_KEYS = ("Acquire::http::", "Acquire::https::", "Acquire::Check-", "Acquire::Retries")


def pip_settings() -> dict[str, str]:
    """What pip's files and variables say on the host, by key of ``[global]``; variables win."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    read = [line.partition("=")[::2] for line in listed.splitlines()]
    values = {key: str(ast.literal_eval(value)) for key, value in read}
    of_files = {key.partition(".")[2]: value for key, value in values.items() if key.startswith("global.")}
    of_variables = {key.removeprefix(":env:."): value for key, value in values.items() if ":env:" in key}
    return of_files | of_variables


def pip_file(settings: dict[str, str]) -> str:
    """The same as a pip.conf; several words on lines of their own, as pip reads lists and nothing else."""
    lists = {key: value.split() for key, value in settings.items()}
    lines = [
        f"{key} = " + "".join(f"\n    {word}" for word in words) if words[1:] else f"{key} = {words[0]}"
        for key, words in lists.items()
        if words
    ]
    return "\n".join(["[global]", *lines, ""])


def files(settings: dict[str, str]) -> list[Path]:
    """Files of this host that pip's settings name, such as one of constraints."""
    return [place for place in _places(settings) if place.is_file()]


def directories(settings: dict[str, str]) -> list[Path]:
    """Directories of this host that pip takes packages from; the machine needs them at the same paths."""
    found = [place for place in _places(settings) if place.is_dir()]
    # The pages of an index may lead to files beside it.
    return sorted({place.parent if place.name == "simple" else place for place in found})


def _places(settings: dict[str, str]) -> list[Path]:
    words = [word.removeprefix("file://") for value in settings.values() for word in value.split()]
    return [Path(word) for word in words if word.startswith("/")]


def apt_file() -> str:
    """How the host's apt fetches, as a file for apt.conf.d."""
    listed = subprocess.run(
        ["apt-config", "dump"], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    return "".join(f"{line}\n" for line in listed.splitlines() if line.startswith(APT_KEYS))


def debian_mirror() -> str:
    """The mirror from which the host's own apt gets Debian's packages.

    Raises:
        SubprocessError: it gets none.
    """
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)"]
    listed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    for line in listed.splitlines():
        if line.endswith("/debian/"):
            return line
    raise subprocess.SubprocessError(
        "this host's apt has no Debian mirror, which packages ubuntu-keyring; install that"
    )


def exported(names: tuple[str, ...]) -> str:
    """Those variables that the host has, as words before a command."""
    return " ".join(f"{name}={shlex.quote(os.environ[name])}" for name in names if os.environ.get(name))


def write_files(tree: Path, texts: dict[str, str]) -> None:
    """Write texts to the files of a tree that they are named by."""
    for name, text in texts.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)


def bring_settings(tree: Path) -> None:
    """Have pip and apt in a tree fetch as the host's do, and give it the host's own certificates.

    Directories that pip takes packages from are made, and are to be mounted.
    """
    settings = pip_settings()
    write_files(tree, {"etc/pip.conf": pip_file(settings), "etc/apt/apt.conf.d/90host": apt_file()})
    for share in directories(settings):
        _in(tree, share).mkdir(parents=True, exist_ok=True)
    for file in files(settings):
        if file.name != "ca-certificates.crt":  # made of CERTIFICATES below
            _in(tree, file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, _in(tree, file))
    if CERTIFICATES.is_dir():
        shutil.copytree(CERTIFICATES, _in(tree, CERTIFICATES), dirs_exist_ok=True)
    update = ["chroot", str(tree), "update-ca-certificates"]
    subprocess.run(update, timeout=120, check=True, capture_output=True)


def _in(tree: Path, path: Path) -> Path:
    return tree / str(path)[1:]
