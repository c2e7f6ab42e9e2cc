"""A Debian base image with Python, made from the host's package mirror: no image registry is needed."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import docker
from docker.errors import DockerException, ImageNotFound
from docker.models.images import Image
from docker.utils import parse_repository_tag

from testbed.errors import TestbedError
from testbed.host.commands import command_path, printed_by, search_path
from testbed.host.debian import APT_TIMEOUT_S, SUITE, mirrors
from testbed.host.engine_place import engine_url
from testbed.host.processes.children import DIES_WITH_US, killed_at_the_end, run_reported
from testbed.host.processes.reporting import Report

PYTHON_VERSION = "3.11"
"""Of the base; wheels are chosen for it."""
PULLED = "python:3.11-slim"
PACKAGES = ("python3", "ca-certificates")
LEAN = (
    "usr/share/man",
    "usr/share/info",
    "usr/share/locale",
    "var/cache/apt",
    "var/lib/apt/lists",
    "var/log",
)
RECIPE = f"debootstrap minbase {SUITE} {' '.join(PACKAGES)} without {' '.join(LEAN)}"
PLAIN = "/mnt"
"""A directory that every host has for mounts (hier(7))."""
REPOSITORY = "llm-testbed-base"
TAG = f"{REPOSITORY}:{hashlib.sha256(RECIPE.encode()).hexdigest()[:12]}"

BOOTSTRAP_TIMEOUT_S = 3600
"""A minute is usual; where CPUs were emulated, packages of that size took half an hour."""
PULL_SILENCE_S = 15


def ensure_base(client: docker.DockerClient, scratch: Path, report: Report) -> str:
    """The tag of the base image, made the first time; ``scratch`` is a directory for large files.

    ``TESTBED_BASE_IMAGE`` names another base with Python 3.11, pulled if the engine does not have it.

    Raises:
        TestbedError: neither a Debian mirror nor an image registry can be reached.
    """
    if wanted := os.environ.get("TESTBED_BASE_IMAGE"):
        if not find_image(client, wanted) and not _pull(wanted, report):
            raise TestbedError(f"TESTBED_BASE_IMAGE={wanted} is not here and no registry gives it; unset it")
        return wanted
    if find_image(client, TAG):
        return TAG
    try:
        _bootstrap(client, scratch, report)
    except TestbedError as error:
        report(f"{error}; asking an image registry for {PULLED}")
        if not _pull(PULLED, report):
            raise TestbedError(
                f"no base image: {error}, and no image registry gives {PULLED}; "
                "check the host's package mirror and network and try again"
            ) from error
        return PULLED
    return TAG


def find_image(client: docker.DockerClient, tag: str) -> Image | None:
    """The image of the engine with that tag; ``None`` if there is none."""
    try:
        return client.images.get(tag)
    except ImageNotFound:
        return None


def _pull(image: str, report: Report) -> bool:
    """Pull ``image``; return whether a registry had it. One silent for PULL_SILENCE_S is out of reach."""
    repository, tag = parse_repository_tag(image)
    try:
        api = docker.DockerClient(engine_url(), timeout=PULL_SILENCE_S).api
        for event in api.pull(repository, tag=tag or "latest", stream=True, decode=True):
            if "error" in event:
                return False
            if event.get("status", "").startswith("Status:"):
                report(event["status"].removeprefix("Status: "))
    except (DockerException, OSError):  # requests' time-outs are OSErrors
        return False
    return True


def _bootstrap(client: docker.DockerClient, scratch: Path, report: Report) -> None:
    if command_path("debootstrap") is None:
        raise TestbedError("debootstrap is not installed; testbed/provision.sh installs it")
    target = scratch / "base"
    target.mkdir()
    command = ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, PLAIN]
    environment = {**os.environ, "PATH": search_path(), **_apt_proxy()}
    try:
        run_reported(
            at_plain_path(target, [*command, *mirrors()]),
            "base system",
            report,
            BOOTSTRAP_TIMEOUT_S,
            environment,
        )
        _make_lean(target)
        report("base system: importing it as an image")
        _import(client, target)
    finally:
        shutil.rmtree(target, ignore_errors=True)


def at_plain_path(directory: Path, command: list[str]) -> list[str]:
    """``command`` in namespaces of its own, in which ``directory`` is at :data:`PLAIN`.

    debootstrap has its target's path read by a shell, so that a blank in it is the end of it. And whatever
    ends the command, its mounts and its children end with it: nobody deletes through a /proc or /dev that an
    interrupted debootstrap left mounted in the tree.
    """
    enter = ["unshare", "--mount", "--propagation=private", "--pid", "--fork", "--kill-child"]
    mount = f'mount --bind -- "$0" {PLAIN} && exec "$@"'
    return [*enter, "sh", "-c", mount, str(directory), *command]


def _apt_proxy() -> dict[str, str]:
    """The proxies of the host's apt, as environment variables, where the environment has none."""
    proxies = {}
    for scheme in ("http", "https"):
        option = f"Acquire::{scheme}::Proxy"
        address = printed_by("apt-config", "--format", "%v", "dump", option, timeout_s=APT_TIMEOUT_S).strip()
        if address.startswith("http") and f"{scheme}_proxy" not in os.environ:
            proxies[f"{scheme}_proxy"] = address
    return proxies


def _make_lean(root: Path) -> None:
    """Remove what no tier needs."""
    for name in LEAN:
        shutil.rmtree(root / name, ignore_errors=True)
        (root / name).mkdir(parents=True)
    (root / "var/cache/apt/archives/partial").mkdir(parents=True)
    for document in (root / "usr/share/doc").rglob("*"):
        if not document.is_dir() and document.name != "copyright":  # licences ask for those to stay
            document.unlink()
    (root / "etc/resolv.conf").unlink(missing_ok=True)  # the host's: Docker puts its own


def _import(client: docker.DockerClient, root: Path) -> None:
    packing = subprocess.Popen(
        [*DIES_WITH_US, "tar", "--numeric-owner", "-C", str(root), "-c", "."],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    with packing, killed_at_the_end(packing):
        client.api.import_image_from_stream(
            packing.stdout,
            repository=REPOSITORY,
            tag=TAG.partition(":")[2],
            changes=['CMD ["python3"]', "ENV LANG=C.UTF-8", f'LABEL llm-testbed.base="{RECIPE}"'],
        )
    if packing.returncode != 0 or not find_image(client, TAG):
        raise TestbedError(f"cannot import the base system of {root} as an image")
