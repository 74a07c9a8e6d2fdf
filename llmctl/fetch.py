"""Where newer price files come from: litellm's newest wheel on the user's index, a file, an address."""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path
from typing import IO, Any

from llmctl.core.errors import ConfigError, ConnectionFailed, StorageError
from llmctl.core.files import expanded
from llmctl.pricing.book import FILE
from llmctl.pricing.update import MOST_BYTES

REQUIREMENT = "litellm>=1.90"
"""Without an upper limit: the file is read as data, and nothing of the wheel is installed or run."""
WAIT_S = 60.0


def newest() -> bytes:
    """The price file in the newest wheel that the user's pip (or uv) finds on their index.

    ConnectionFailed where it cannot be fetched, ConfigError where there is no installer or no file.
    """
    from llmctl.providers.weights import ADVICE, fetch

    try:
        with tempfile.TemporaryDirectory(prefix="llmctl-") as room:
            fetch(REQUIREMENT, Path(room))
            wheel = next(Path(room).glob("*.whl"), None)
            if wheel is None:
                return _whole((Path(room) / "litellm" / FILE).open("rb"))
            with zipfile.ZipFile(wheel) as packed:
                return _whole(packed.open(f"litellm/{FILE}"))
    except (KeyError, FileNotFoundError, zipfile.BadZipFile) as error:
        raise ConfigError(f"{REQUIREMENT} came without its price file", hint=ADVICE) from error
    except OSError as error:
        raise StorageError(f"{tempfile.gettempdir()}: {error.strerror}", hint="free some space") from error


def of(place: str) -> bytes:
    """The bytes of a file, or of what an http(s) address gives. ConfigError, ConnectionFailed."""
    if place.startswith(("https://", "http://")):
        return _address(place)
    try:
        return _whole(expanded(place).open("rb"))
    except OSError as error:
        raise ConfigError(f"{place}: cannot be read: {error.strerror}", hint="check the path") from None


def _whole(file: IO[bytes]) -> bytes:
    """Of a file that is far too long only the beginning, which will not be taken for a price file."""
    with file:
        return file.read(MOST_BYTES + 1)


def _address(url: str) -> bytes:
    """Certificates are checked, and an https address is not left for a plain one."""
    from http.client import HTTPException
    from urllib.error import URLError
    from urllib.request import HTTPRedirectHandler, Request, build_opener

    class Guarded(HTTPRedirectHandler):
        def redirect_request(
            self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
        ) -> Any:
            if req.full_url.startswith("https://") and not newurl.startswith("https://"):
                raise ConnectionFailed(f"{url}: leads to an address without https", hint="name another one")
            return super().redirect_request(req, fp, code, msg, headers, newurl)

    try:
        return _whole(build_opener(Guarded).open(url, timeout=WAIT_S))
    except (URLError, HTTPException, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise ConnectionFailed(f"{url}: {reason}", hint="check the address, or give a file") from None
