"""The tiers' image: built once for each content of ``tiers/``, without an image registry or a network.

Its name says what it contains: ``llm-testbed-tier:<hash of tiers/ and of the recipe>``. Wheels are fetched
on the host by pip with the host's settings, for the image's Python, and are part of the context.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import platform
import re
import shutil
import tarfile
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import docker
from docker.errors import APIError, DockerException

from testbed.errors import TestbedError, is_disk_full
from testbed.host import base_image
from testbed.host.base_image import ensure_base, find_image
from testbed.host.cache import cache_dir, scratch_in
from testbed.host.engine import engine, engine_if_up
from testbed.host.files import text_of
from testbed.host.processes.locking import exclusive
from testbed.host.processes.program import program
from testbed.host.processes.reporting import REPORT_EVERY_S, Report, silent
from testbed.host.wheels import INSTALLER, TORCH_ORIGIN, ensure_wheels

TIERS = Path(__file__).resolve().parents[2] / "tiers"
REPOSITORY = "llm-testbed-tier"
PACKAGES_REPOSITORY = "llm-testbed-packages"
"""The build's first stage, kept by name so that a change of code alone installs no package again."""
LABEL = "llm-testbed=tier"
"""What the Dockerfile marks the image and its unfinished builds with."""
TORCH_LABEL = "llm-testbed.torch-origin"
LOCK = "tiers/requirements.lock"
BUILD_SILENCE_S = 900
BUILDER_NOISE = ("Removing intermediate container", "--->", "Running in")
LOCK_TIMEOUT_S = 3600.0
NEEDED_BYTES = 4_000_000_000
PRUNED_AFTER = timedelta(hours=1)
"""Younger images may be those of another clone, which is about to start them."""

Files = dict[str, bytes]


@dataclass(frozen=True)
class ImageRef:
    """An image of the engine: ``tag`` for people, ``id`` (its digest) for the record, unpacked size.

    ``torch_origin``: where its torch is from, if the lock has no hash of it.
    """

    tag: str
    id: str
    size_bytes: int
    torch_origin: str | None = None


def ensure_image(report: Report = silent, tiers: Path = TIERS) -> ImageRef:
    """The image of ``tiers/`` as it is now; it is built if there is none.

    Raises:
        TestbedError: no engine, no room, no packages to be had, or the build failed.
    """
    client = engine(report)
    files = context_files(tiers)  # read once: what is hashed is what is built, whoever edits meanwhile
    tag = image_tag(files)
    if image := _find(client, tag):
        return image
    with exclusive(cache_dir() / "image.lock", "building the image", LOCK_TIMEOUT_S, report):
        if image := _find(client, tag):
            return image
        with scratch_in(cache_dir(), "build") as scratch:
            _require_room(client, scratch)
            with _explained(tag):
                _build(client, tag, files, scratch, report)
    built = _find(client, tag)
    if built is None:
        raise TestbedError(
            f"the build of {tag} said that it succeeded, and there is no such image; try again"
        )
    report(f"image {tag}: {built.size_bytes / 1e6:.0f} MB")
    prune(client, {tag, _packages_tag(files), base_image.TAG})
    return built


def image_there() -> bool | None:
    """Whether the engine has the image of ``tiers/`` as it is now; ``None`` if no engine answers this user.

    Raises:
        TestbedError: an engine answers that is not of this host.
    """
    client = engine_if_up()
    if client is None:
        return None
    with contextlib.closing(client):
        return _find(client, image_tag(context_files())) is not None


def image_tag(files: Files) -> str:
    """``llm-testbed-tier:<hash>``, of all that decides what is in the image."""
    digest = hashlib.sha256(_recipe().encode())
    for name, content in files.items():
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return f"{REPOSITORY}:{digest.hexdigest()[:12]}"


def context_files(tiers: Path = TIERS) -> Files:
    """The files of ``tiers/`` by their names in the build's context, in order; no caches, no hidden files."""
    files = {}
    for path in sorted(tiers.rglob("*")):
        parts = path.relative_to(tiers).parts
        hidden = any(part.startswith(".") or part == "__pycache__" for part in parts)
        if path.is_file() and not hidden and path.suffix != ".pyc":
            files["/".join(("tiers", *parts))] = path.read_bytes()
    return files


def _packages_tag(files: Files) -> str:
    return f"{PACKAGES_REPOSITORY}:{_hash(files[LOCK], files['tiers/Dockerfile'])}"


def _hash(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join((_recipe().encode(), *parts))).hexdigest()[:12]


def _recipe() -> str:
    base = os.environ.get("TESTBED_BASE_IMAGE") or base_image.TAG
    return "\0".join((base, INSTALLER, platform.machine()))


def _find(client: docker.DockerClient, tag: str) -> ImageRef | None:
    image = find_image(client, tag)
    if image is None:
        return None
    origin = image.labels.get(TORCH_LABEL)
    return ImageRef(tag=tag, id=str(image.id), size_bytes=int(image.attrs["Size"]), torch_origin=origin)


def _build(client: docker.DockerClient, tag: str, files: Files, scratch: Path, report: Report) -> None:
    base = ensure_base(client, scratch, report)
    wheels = ensure_wheels(files[LOCK], cache_dir() / "wheels" / _hash(files[LOCK]), scratch, report)
    report("image: packing its context")
    with tempfile.TemporaryFile(dir=scratch) as context:
        _pack(files, wheels, context)
        report("image: installing its packages")
        for stage, name in (("packages", _packages_tag(files)), (None, tag)):
            context.seek(0)
            _build_stage(client, context, base, stage, name, _labels(wheels), report)


def _labels(wheels: Path) -> dict[str, str]:
    origin = text_of(wheels / TORCH_ORIGIN)
    return {TORCH_LABEL: origin} if origin else {}


def _pack(files: Files, wheels: Path, context: io.BufferedRandom) -> None:
    with tarfile.open(fileobj=context, mode="w") as archive:
        for name, content in files.items():
            archive.addfile(_entry(name, len(content)), io.BytesIO(content))
        for wheel in sorted(wheels.glob("*.whl")):
            with wheel.open("rb") as opened:
                archive.addfile(_entry(f"wheels/{wheel.name}", wheel.stat().st_size), opened)


def _entry(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)  # root's, of no time and no host: Docker's build cache compares it
    entry.size, entry.mode = size, 0o644
    return entry


def _build_stage(
    client: docker.DockerClient,
    context: io.BufferedRandom,
    base: str,
    stage: str | None,
    tag: str,
    labels: dict[str, str],
    report: Report,
) -> None:
    """Build with Docker's classic builder, which every engine has; ``RUN`` gets no network."""
    events = client.api.build(
        fileobj=context,
        custom_context=True,
        dockerfile="tiers/Dockerfile",
        buildargs={"BASE_IMAGE": base},
        target=stage,
        tag=tag,
        labels=labels,
        network_mode="none",
        rm=True,
        forcerm=True,
        timeout=BUILD_SILENCE_S,
        decode=True,
    )
    last, reported_at = "", time.monotonic()
    for event in events:
        line = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", str(event.get("stream", ""))).split())
        last = line if line and not line.startswith(BUILDER_NOISE) else last
        if "error" in event:
            raise TestbedError(f"the build of {tag} failed ({last[-400:]}; {str(event['error'])[-200:]})")
        if time.monotonic() - reported_at >= REPORT_EVERY_S:
            reported_at = time.monotonic()
            report(f"image: {last[:100]}")


def prune(client: docker.DockerClient, keep: set[str], older_than: timedelta = PRUNED_AFTER) -> None:
    """Remove our images that are older, not in ``keep``, and used by no container.

    The untagged remains of builds that failed are removed as well.
    """
    used = {container.attrs["ImageID"] for container in client.containers.list(all=True, sparse=True)}
    ours = client.images.list(filters={"dangling": True, "label": LABEL})
    for repository in (REPOSITORY, PACKAGES_REPOSITORY, base_image.REPOSITORY):
        ours += client.images.list(name=repository)
    for image in ours:
        created = datetime.fromisoformat(image.attrs["Created"][:19]).replace(tzinfo=UTC)
        if image.id in used or datetime.now(UTC) - created < older_than:
            continue
        for name in set(image.tags or [str(image.id)]) - keep:
            with contextlib.suppress(APIError):  # another process removed it, or uses it since
                client.images.remove(name)


@contextlib.contextmanager
def _explained(tag: str) -> Iterator[None]:
    """Turn what the engine and the host raise during the build into one sentence."""
    try:
        yield
    except (TestbedError, DockerException, OSError) as error:
        if is_disk_full(error):
            raise TestbedError(
                f"no space is left on the disk to build {tag}; make room under {cache_dir()} and in Docker's "
                "data directory and try again"
            ) from error
        if isinstance(error, TestbedError):
            raise
        raise TestbedError(f"cannot build {tag} ({error}); try again") from error


def _require_room(client: docker.DockerClient, scratch: Path) -> None:
    for place in (scratch, Path(client.info().get("DockerRootDir", "/"))):
        free = shutil.disk_usage(place).free if place.is_dir() else NEEDED_BYTES
        if free < NEEDED_BYTES:
            raise TestbedError(
                f"{place} has {free / 1e9:.1f} GB free and a build needs {NEEDED_BYTES / 1e9:.0f}; make room"
            )


def main() -> None:
    """``python -m testbed.host.image``: make the image, for scripts."""
    with program("image"):
        image = ensure_image(lambda line: print(line, flush=True))
        print(f"{image.tag} is ready ({image.size_bytes / 1e6:.0f} MB)")


if __name__ == "__main__":
    main()
