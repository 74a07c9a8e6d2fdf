"""What stands between an address and a connection: forbidden places, proxies, certificates.

Names are judged when they are looked up (`providers.lookup`): one that leads to a metadata service is
refused before a byte is sent, and so is http:// to one that leads off this machine.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from llmctl.core.addresses import host_of, is_loopback, refuse_address
from llmctl.core.errors import ConfigError

if TYPE_CHECKING:
    from ssl import SSLContext

CA_FILES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
CA_FOLDER = "SSL_CERT_DIR"
LOOKED_UP_S = 60
"""How long it is believed where a name led to."""


class Gate:
    """`plain_http`: hosts that http:// may lead to. `environ`: where proxies and certificates are named."""

    def __init__(self, plain_http: Collection[str] = (), environ: Mapping[str, str] | None = None) -> None:
        self.plain_http = {name.strip("[]").lower() for name in plain_http}
        self._environ = environ or {}
        self._proxies = _proxies(self._environ)
        self._admitted: set[str] = set()
        self._resolved: dict[str, float] = {}
        self.plain: set[str] = set()
        """Names that are asked by http:// and not allowed to: they have to lead to this machine."""

    def admit(self, url: str) -> bool:
        """ForbiddenAddress where the URL may not be asked. True where its host joined `plain`."""
        if url in self._admitted:
            return False
        refuse_address(url, self.plain_http)
        self._admitted.add(url)
        host = host_of(url)
        if not url.lower().startswith("http:") or host in self.plain_http or is_loopback(host):
            return False
        self.plain.add(host)
        return True

    async def admit_resolved(self, url: str) -> None:
        """As `admit`, for who connects by other means than our wire: the name is looked up here too.

        What it led to holds for LOOKED_UP_S, as on our own wire.
        """
        import socket

        from llmctl.providers.lookup import Lookup

        is_new = self.admit(url)
        if not is_new and time.monotonic() < self._resolved.get(url, 0.0):
            return
        with suppress(OSError):  # unknown: whoever connects says so
            await Lookup(self.plain).resolve(host_of(url), family=socket.AF_UNSPEC)
            self._resolved[url] = time.monotonic() + LOOKED_UP_S

    def proxy(self, url: str) -> str | None:
        """The proxy for the URL by HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY, small letters first."""
        if not self._proxies:
            return None
        found = self._proxies.get(url.partition(":")[0].lower()) or self._proxies.get("all")
        if found is None or self._is_direct(url):
            return None
        if found.partition(":")[0].lower() not in ("http", "https"):
            hint = "name one that begins with http://, or exempt the host by NO_PROXY"
            raise ConfigError("the proxy of the environment is not an http proxy", hint=hint)
        return found

    def _is_direct(self, url: str) -> bool:
        from urllib.parse import urlsplit
        from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # typeshed: macOS alone

        return bool(proxy_bypass_environment(urlsplit(url).netloc.rpartition("@")[2], self._proxies))

    def tls(self) -> SSLContext | bool:
        """Certificates as the environment wants them checked; True: as the system does."""
        name = next((name for name in CA_FILES if self._environ.get(name)), None)
        folder = self._environ.get(CA_FOLDER)
        if name is None and not folder:
            return True
        import ssl

        path = self._environ[name] if name else None
        for variable, place in ((name, path), (CA_FOLDER, folder)):
            if place and not Path(place).exists():
                raise ConfigError(f"{variable}: {place} does not exist", hint=f"mend or unset {variable}")
        try:
            if path and Path(path).is_dir():  # REQUESTS_CA_BUNDLE may name a folder too
                return ssl.create_default_context(capath=path)
            return ssl.create_default_context(cafile=path, capath=folder or None)
        except (OSError, ssl.SSLError):
            hint = "name a file of certificates in PEM form"
            raise ConfigError(f"{name}: {path} holds no certificates", hint=hint) from None


def _proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """Scheme to proxy, and `no`: small letters win, and CGI's HTTP_PROXY is no proxy (httpoxy)."""
    found = {}
    for small in (False, True):
        for name, value in environ.items():
            if name.lower().endswith("_proxy") and name.islower() == small and value:
                found[name.lower().removesuffix("_proxy")] = value
    if "REQUEST_METHOD" in environ and "http_proxy" not in environ:
        found.pop("http", None)
    return found
