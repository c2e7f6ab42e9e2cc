"""What must be the same on each machine of a cluster, so that its runs belong into one table."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed.host.facts import PACKAGES, REPOSITORY, commit, package_version
from testbed.host.fingerprints import code_sha256, sha256_of
from testbed.scenario.named import named_files
from testbed.scenario.scenario import Scenario
from testbed.scenario.workload.datasets import Dataset


@dataclass(frozen=True)
class Alike:
    """What a machine has of all that a sweep's numbers depend on, beside its hardware.

    Attributes:
        code: the SHA-256 of all files of ``testbed`` and ``tiers``.
        commit: the checkout's, for people; two with the same code may differ in it.
        packages: the versions of Python packages, by their names; only those that are installed.
        files: the SHA-256 of each file that a scenario names, by its path; ``None`` if it is not there.
        datasets: what each data set's rows come from, by its name.
    """

    code: str
    commit: str | None
    python: str
    packages: Mapping[str, str]
    files: Mapping[str, str | None]
    datasets: Mapping[str, Mapping[str, Any]]


def alike_here(files: Iterable[str], datasets: Iterable[Dataset]) -> Alike:
    """What this machine has.

    Raises:
        TestbedError: a data set cannot be had here, or a file not be read.
    """
    versions = {name: package_version(name) for name in PACKAGES}
    return Alike(
        code=code_sha256(REPOSITORY),
        commit=commit(),
        python=platform.python_version(),
        packages={name: version for name, version in versions.items() if version is not None},
        files={path: _sha256(Path(path)) for path in files},
        datasets={dataset.name: _source(dataset) for dataset in datasets},
    )


def difference(there: Alike, here: Alike) -> str | None:
    """In what the machine ``there`` differs from ``here``, where the sweep was started, if it does.

    A sentence without its subject, which is the machine.
    """
    if there.python != here.python:
        return f"has Python {there.python}, not {here.python}; install the same"
    if there.code != here.code:
        return (
            f"has another version of the testbed (commit {there.commit or 'unknown'}; here it is "
            f"{here.commit or 'unknown'}); bring the same files there"
        )
    for name, version in here.packages.items():
        if (other := there.packages.get(name)) != version:
            return f"has {name} {other or 'missing'}, not {version}; install the same (requirements.lock)"
    for path, digest in here.files.items():
        if (other := there.files.get(path)) == digest:
            continue
        if digest is None:
            return f"has a file {path}, which is not here; remove it there, or bring it here"
        lack = "lacks the file" if other is None else "has another file"
        return f"{lack} {path}; bring the same one to the same place"
    for name, source in here.datasets.items():
        if there.datasets.get(name) != source:
            return f"has other rows of the data set {name}; bring the same files there"
    return None


def files_of(scenario: Scenario) -> set[str]:
    """The files that a scenario names, by their absolute paths; of models' directories those that are loaded.

    A file of learnt figures beside a plug-in is one of them, whether it is there or not.
    """
    return {str(path) for named in named_files(scenario) for path in named.files}


def _source(dataset: Dataset) -> dict[str, Any]:
    """Where a data set's rows come from, without where that lies on a disk."""
    return {key: value for key, value in dataset.source().items() if key != "path"}


def _sha256(path: Path) -> str | None:
    return sha256_of(path) if path.is_file() else None
