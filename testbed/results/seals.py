"""SHA-256 sums of a run directory's files, by which it shows that one was changed since."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from testbed.errors import TestbedError
from testbed.host.files import write_whole

SUMS = "SHA256SUMS"
"""The file that has them, in the format of sha256sum(1)."""
MOST_BYTES = 1 << 26
"""Of it: a run has some files for each link and method."""
PAGE = "report.html"
FIGURES = "figures"
"""A directory of figures; it and the page are made later, from what is sealed."""


def seal(directory: Path) -> None:
    """Write the sums of all files."""
    _write(directory, {str(path.relative_to(directory)): _sha256(path) for path in _files(directory)})


def reseal(directory: Path, names: Iterable[str]) -> None:
    """Write the sums of these files anew. The others keep theirs, so that no change is sealed unseen.

    Raises:
        TestbedError: one of them is not there.
    """
    try:
        sums = sealed(directory) | {name: _sha256(directory / name) for name in names}
    except OSError as error:
        raise TestbedError(f"{directory} cannot be sealed again ({error})") from error
    _write(directory, sums)


def sealed(directory: Path) -> dict[str, str]:
    """The sum of each file by its name, as the run left it.

    Raises:
        OSError: it left none.
    """
    lines = (directory / SUMS).read_text(errors="replace").splitlines()
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def broken(directory: Path, names: Collection[str] | None = None) -> list[str]:
    """What of the files is not as the run left it, in sentences; that a run was never sealed is one.

    ``names``: look at these alone, not at all that the run left.
    """
    if not (directory / SUMS).is_file():
        return [f"{SUMS} is missing: the run did not end, or was tampered with"]
    if (directory / SUMS).stat().st_size > MOST_BYTES:
        return [f"{SUMS} is not as the run left it (it has more than {MOST_BYTES >> 20} MiB)"]
    sums = sealed(directory)
    present = {str(path.relative_to(directory)): path for path in _files(directory)}
    if names is not None:
        sums = {name: digest for name, digest in sums.items() if name in names}
        present = {name: path for name, path in present.items() if name in names}
    wrong = [f"{name} is missing" for name in sums if name not in present]
    wrong += [f"{name} is not in {SUMS}" for name in present if name not in sums]
    wrong += [
        f"{name} is not as the run left it (its SHA-256 differs)"
        for name, path in present.items()
        if name in sums and _sha256(path) != sums[name]
    ]
    return sorted(wrong)


def _write(directory: Path, sums: Mapping[str, str]) -> None:
    write_whole(directory / SUMS, "".join(f"{digest}  {name}\n" for name, digest in sums.items()).encode())


def _files(directory: Path) -> Iterable[Path]:
    made_later = {directory / SUMS, directory / PAGE}
    return sorted(
        path
        for path in directory.rglob("*")
        if path.is_file()
        and path not in made_later
        and directory / FIGURES not in path.parents
        and not path.name.startswith(".")
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
