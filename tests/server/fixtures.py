"""Fixtures over the test server; a conftest imports them: `from .server.fixtures import *`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ..needs import lacking
from .client import TestServer, self_signed

__all__ = [
    "other_server",
    "other_server_process",
    "server",
    "server_process",
    "tls_server",
    "tls_server_process",
]


@pytest.fixture(scope="session")
def server_process() -> Iterator[TestServer]:
    """One server for all the tests of a worker."""
    with TestServer.start() as started:
        yield started


@pytest.fixture
def server(server_process: TestServer) -> TestServer:
    """A server that answers normally, with an empty log."""
    server_process.reset()
    return server_process


@pytest.fixture(scope="session")
def other_server_process() -> Iterator[TestServer]:
    """A second server for all the tests of a worker."""
    with TestServer.start() as started:
        yield started


@pytest.fixture
def other_server(other_server_process: TestServer) -> TestServer:
    """Another house: where a redirect leads, or what a fallback turns to."""
    other_server_process.reset()
    return other_server_process


@pytest.fixture(scope="session")
def tls_server_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestServer]:
    """A server with a certificate that nobody trusts."""
    pair = self_signed(tmp_path_factory.mktemp("tls"))
    if pair is None:
        lacking("openssl is not installed")
    with TestServer.start(tls=pair) as started:
        yield started


@pytest.fixture
def tls_server(tls_server_process: TestServer) -> TestServer:
    """The same, reset."""
    tls_server_process.reset()
    return tls_server_process
