"""The tier image: named by its content, built without a registry or a network, lean and closed."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import docker
import pytest
from docker.models.containers import Container

from testbed.errors import TestbedError
from testbed.host import base_image
from testbed.host.cache import cache_dir
from testbed.host.engine import engine
from testbed.host.image import LABEL, REPOSITORY, TIERS, context_files, ensure_image, image_tag, prune
from testbed.host.wheels import TORCH
from tests.host.engines import own_engine

ROOT = TIERS.parent


@pytest.fixture
def tiers(tmp_path: Path) -> Path:
    """A copy of ``tiers/`` to change."""
    return Path(shutil.copytree(TIERS, tmp_path / "tiers", ignore=shutil.ignore_patterns("__pycache__")))


def test_one_byte_of_the_tiers_gives_another_image(tiers: Path) -> None:
    before = image_tag(context_files(tiers))
    with (tiers / "protocol.py").open("a") as module:
        module.write("\n")
    assert image_tag(context_files(tiers)) != before


def test_a_renamed_file_gives_another_image(tiers: Path) -> None:
    before = image_tag(context_files(tiers))
    (tiers / "protocol.py").rename(tiers / "protocols.py")
    assert image_tag(context_files(tiers)) != before


def test_times_caches_and_hidden_files_do_not(tiers: Path) -> None:
    before = image_tag(context_files(tiers))
    os.utime(tiers / "protocol.py", (0, 0))
    (tiers / "__pycache__").mkdir()
    (tiers / "__pycache__" / "protocol.cpython-311.pyc").write_bytes(b"cache")
    (tiers / ".swap").write_text("an editor's")
    assert image_tag(context_files(tiers)) == before


def test_the_same_tiers_elsewhere_give_the_same_image(tiers: Path) -> None:
    assert image_tag(context_files(tiers)) == image_tag(context_files())


def test_the_image_and_the_host_use_the_same_versions() -> None:
    host, image = _pins(ROOT / "requirements.lock"), _pins(TIERS / "requirements.lock")
    assert {name: host.get(name) for name in image} == image


def test_the_lock_holds_all_that_a_tier_asks_for() -> None:
    wanted = re.findall(r"^[a-z][\w-]*", (TIERS / "requirements.txt").read_text(), re.MULTILINE)
    assert wanted
    assert {_normal(name) for name in wanted} <= set(_pins(TIERS / "requirements.lock"))


def test_torch_alone_can_be_taken_out_of_the_lock() -> None:
    text = (TIERS / "requirements.lock").read_text()
    found = TORCH.search(text)
    assert found
    rest = text.replace(found[0], "")
    assert found[0].startswith(f"{found[1]} \\\n")
    assert rest.splitlines() == [line for line in text.splitlines() if line not in found[0].splitlines()]
    assert "torch==" not in rest
    assert not re.search(r"[^\\]\n *--hash", rest)  # a hash of torch's that is left belongs to no pin


@pytest.mark.root
@pytest.mark.docker
def test_the_image_is_there_the_second_time_at_once_and_under_its_size() -> None:
    first = ensure_image()
    said: list[str] = []
    assert ensure_image(said.append) == first
    assert said == []
    assert first.size_bytes < 1.5e9


@pytest.mark.root
@pytest.mark.docker
def test_a_tier_can_import_all_it_needs_closed_in_and_as_nobody() -> None:
    code = (
        "import flask, numpy, os, prometheus_client, safetensors, tokenizers, torch, urllib3, waitress\n"
        "import tiers.protocol\n"
        "from transformers import AutoModelForSequenceClassification, AutoTokenizer\n"
        "print(os.getuid(), torch.ones(2).sum().item(), tiers.protocol.__cached__)\n"
    )
    output = engine().containers.run(
        ensure_image().tag,
        ["python3", "-c", code],
        network_mode="none",
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        tmpfs={"/tmp": ""},
        remove=True,
    )
    assert output.decode().split()[:2] == ["65532", "2.0"]


@pytest.mark.root
@pytest.mark.docker
def test_two_builds_of_one_thing_at_once_make_one_image(tiers: Path) -> None:
    (tiers / "marker.py").write_text(f"MARK = {os.urandom(8).hex()!r}\n")
    code = (
        "import pathlib, sys; from testbed.host.image import ensure_image\n"
        "print(ensure_image(tiers=pathlib.Path(sys.argv[1])).id)"
    )
    command = [sys.executable, "-c", code, str(tiers)]
    builds = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in "ab"]
    ids = {build.communicate(timeout=600)[0].strip() for build in builds}
    tag = image_tag(context_files(tiers))
    try:
        assert ids == {engine().images.get(tag).id}
    finally:
        engine().images.remove(tag)


@pytest.mark.root
@pytest.mark.docker
def test_a_build_that_fails_says_why_and_leaves_nothing(tiers: Path) -> None:
    (tiers / "Dockerfile").write_text(
        (tiers / "Dockerfile").read_text() + "\nRUN echo the sky is green >&2; exit 7\n"
    )
    with pytest.raises(TestbedError, match=r"the sky is green.*non-zero code: 7") as caught:
        ensure_image(tiers=tiers)
    assert "\n" not in str(caught.value)
    assert not list(cache_dir().glob("build*"))
    assert not [left for left in engine().containers.list(all=True, ignore_removed=True) if _is_of(left)]


@pytest.mark.root
@pytest.mark.docker
def test_a_full_disk_is_told_before_anything_is_built(
    tiers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=10m", "none", str(small)], check=True, timeout=30)
    try:
        monkeypatch.setenv("TESTBED_CACHE", str(small))
        (tiers / "marker.py").write_text(f"MARK = {os.urandom(8).hex()!r}\n")
        with pytest.raises(TestbedError, match=r"has 0\.0 GB free and a build needs 4; make room"):
            ensure_image(tiers=tiers)
        assert not list(small.glob("build*"))
    finally:
        subprocess.run(["umount", str(small)], check=True, timeout=30)


class _EmptyRegistry(BaseHTTPRequestHandler):
    """Notes what it is asked for and has none of it."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(200 if self.path == "/v2/" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET


@pytest.mark.root
@pytest.mark.docker
@pytest.mark.parametrize("wanted", ["3.11", f"sha256:{'0' * 64}"])
def test_a_base_of_a_registry_with_a_port_is_asked_for_by_its_name(wanted: str) -> None:
    engine()
    _EmptyRegistry.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), _EmptyRegistry) as registry:
        threading.Thread(target=registry.serve_forever, daemon=True).start()
        joint = "@" if wanted.startswith("sha256") else ":"
        assert not base_image._pull(f"localhost:{registry.server_port}/python{joint}{wanted}", print)
        registry.shutdown()
    assert f"/v2/python/manifests/{wanted}" in _EmptyRegistry.asked


@pytest.fixture
def empty_engine() -> Iterator[docker.DockerClient]:
    """An engine of its own beside the host's, so that images may be removed without regard."""
    with own_engine() as paths:
        yield engine(paths=paths)


@pytest.mark.root
@pytest.mark.docker
def test_old_images_go_unless_they_are_kept_or_used(empty_engine: docker.DockerClient) -> None:
    tags = [f"{REPOSITORY}:{name}" for name in ("current", "used", "old")]
    for tag in [*tags, "somebody:else"]:
        repository, _, version = tag.partition(":")
        empty_engine.api.import_image_from_data(_tar_with(tag), repository=repository, tag=version)
    empty_engine.api.import_image_from_data(_tar_with("unfinished"), changes=[f"LABEL {LABEL}"])
    empty_engine.containers.create(tags[1], ["nothing"], network_mode="none")

    prune(empty_engine, {tags[0]})
    assert _tags(empty_engine) == {*tags, "somebody:else"}  # all are young: another clone's, perhaps
    prune(empty_engine, {tags[0]}, older_than=timedelta(seconds=-60))
    assert _tags(empty_engine) == {tags[0], tags[1], "somebody:else"}
    assert not empty_engine.images.list(filters={"dangling": True})


def _is_of(container: Container) -> bool:
    return "sky is green" in str(container.attrs["Config"]["Cmd"])


def _tar_with(content: str) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo("content")
        entry.size = len(content.encode())
        archive.addfile(entry, io.BytesIO(content.encode()))
    return packed.getvalue()


def _tags(client: docker.DockerClient) -> set[str]:
    return {tag for image in client.images.list() for tag in image.tags}


def _pins(lock: Path) -> dict[str, str]:
    pins = re.findall(r"^([\w.-]+)==(\S+)", lock.read_text(), re.MULTILINE)
    return {_normal(name): version for name, version in pins}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
