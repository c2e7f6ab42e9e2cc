"""Real parts that some tests need: Docker's engine, the tier image."""

from __future__ import annotations

import docker
import pytest

import testbed.host.engine
from testbed.host.image import ensure_image


@pytest.fixture(scope="session")
def engine() -> docker.DockerClient:
    """The host's Docker engine."""
    return testbed.host.engine.engine()


@pytest.fixture(scope="session")
def image(engine: docker.DockerClient) -> str:
    """The tier image; what it runs here is ``sleep``."""
    return ensure_image().tag
