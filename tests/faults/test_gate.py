"""Proxies and certificates by the usual variables, seen by a real process."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Run
from tests.needs import lacking
from tests.server.client import TestServer, self_signed


def asked(server: TestServer) -> list[str]:
    return [entry["headers"].get("host", "") for entry in server.log()]


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_of_the_environment_is_used(
    llmctl: Run, server: TestServer, other_server: TestServer, name: str
) -> None:
    """Where a company lets nothing out but by its proxy, llmctl must know it as curl does."""
    done = llmctl("-p", "dev", "run", "hi", env={name: other_server.url})
    assert asked(other_server) == [server.url.removeprefix("http://")] and asked(server) == []
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("exempt", ["127.0.0.1", "*"])
def test_no_proxy_exempts(llmctl: Run, server: TestServer, other_server: TestServer, exempt: str) -> None:
    """Models inside the company are not reached by the way out of it."""
    env = {"HTTP_PROXY": other_server.url, "NO_PROXY": exempt}
    assert llmctl("-p", "dev", "run", "hi", env=env).returncode == 0
    assert asked(other_server) == [] and len(asked(server)) == 1


def test_a_proxy_of_another_kind_is_named(llmctl: Run, server: TestServer) -> None:
    """Going around a proxy that cannot be used would be a leak; its password stays unsaid."""
    done = llmctl("-p", "dev", "run", "hi", env={"ALL_PROXY": "socks5://me:hush@127.0.0.1:9"})
    assert done.returncode == 3 and "not an http proxy" in done.stderr and "hush" not in done.stderr
    assert asked(server) == []


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_certificate_authority_of_ones_own(llmctl: Run, tmp_path: Path, name: str) -> None:
    """A company's own authority is trusted by naming its file, and no other way."""
    pair = self_signed(tmp_path)
    if pair is None:
        lacking("openssl is not installed")
    server = TestServer.start(tls=pair)
    try:
        env = {"OPENAI_BASE_URL": server.openai}
        assert llmctl("-p", "dev", "run", "hi", env=env).returncode == 7
        done = llmctl("-p", "dev", "run", "hi", env={**env, name: str(pair[0])})
        assert done.returncode == 0, done.stderr
    finally:
        server.stop()


def test_a_missing_authority_is_named(llmctl: Run, server: TestServer, tmp_path: Path) -> None:
    """Else every certificate is refused and nobody knows why."""
    gone = {"SSL_CERT_FILE": str(tmp_path / "gone.pem")}
    done = llmctl("-p", "dev", "run", "hi", env=gone)
    assert done.returncode == 3 and "SSL_CERT_FILE: " in done.stderr and "does not exist" in done.stderr
    (tmp_path / "gone.pem").write_text("nothing")
    done = llmctl("-p", "dev", "run", "hi", env=gone)
    assert done.returncode == 3 and "holds no certificates" in done.stderr
