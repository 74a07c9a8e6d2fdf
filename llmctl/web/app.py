"""The addresses of the dashboard. Needs the extra `serve`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import orjson

from llmctl.core.canonical import digest
from llmctl.core.errors import LlmctlError, UsageError
from llmctl.formats.prometheus import CONTENT_TYPE
from llmctl.services import Services
from llmctl.web.api import Api
from llmctl.web.events import events
from llmctl.web.openapi import document

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
PAGES = {"/": "index.html", "/docs": "docs.html"}
WATCHERS = 64
"""Pages that may listen to events at the same time."""


def application(opened: Services, closing: Callable[[], bool]) -> Starlette:
    """The app over the ledger and state of `opened`; `closing` says when open connections have to end."""
    from starlette.applications import Starlette
    from starlette.routing import Route

    api = Api(opened)
    objects = {
        "/metrics/llm": api.metrics,
        "/api/series": api.series,
        "/api/calls": api.calls,
        "/api/state": api.state,
        "/api/batches": api.batches,
        "/api/names": api.names,
        "/healthz": lambda asked: {"status": "ok"},
        "/openapi.json": lambda asked: document(),
    }
    routes = [Route(path, _json(answer, bare=path == "/openapi.json")) for path, answer in objects.items()]
    routes.append(Route("/metrics", _text(api.prometheus)))
    routes.append(Route("/api/events", _events(opened, closing)))
    static = _static()
    routes += [Route(path, _file(static[name])) for path, name in PAGES.items()]
    routes += [Route(f"/static/{name}", _file(found)) for name, found in static.items()]
    return Starlette(routes=routes)


def _static() -> dict[str, tuple[bytes, str, str]]:
    """Body, type and mark of each file by its name."""
    found = {}
    for file in (files("llmctl.web") / "static").iterdir():
        kind = KINDS.get("." + file.name.rpartition(".")[2])
        if kind is not None:
            body = file.read_bytes()
            found[file.name] = (body, kind, f'"{digest(body)[:20]}"')
    return found


def _file(found: tuple[bytes, str, str]) -> Callable[[Request], Awaitable[Response]]:
    from starlette.responses import Response

    body, kind, mark = found
    headers = {"etag": mark, "cache-control": "no-cache"}

    async def answer(request: Request) -> Response:
        if request.headers.get("if-none-match") == mark:
            return Response(status_code=304, headers=headers)
        return Response(body, headers=headers, media_type=kind)

    return answer


def _json(
    ask: Callable[[Mapping[str, str]], Mapping[str, Any]], *, bare: bool
) -> Callable[[Request], Response]:
    """Not async: it runs in a thread, since it reads files."""

    def answer(request: Request) -> Response:
        try:
            return _object(ask(request.query_params), 200, bare=bare)
        except LlmctlError as error:
            return _failure(error)

    return answer


def _text(ask: Callable[[Mapping[str, str]], str]) -> Callable[[Request], Response]:
    from starlette.responses import Response

    def answer(request: Request) -> Response:
        try:
            body = ask(request.query_params).encode("utf-8", "backslashreplace")
        except LlmctlError as error:
            return _failure(error)
        return Response(body, media_type=CONTENT_TYPE, headers={"cache-control": "no-store"})

    return answer


def _events(opened: Services, closing: Callable[[], bool]) -> Callable[[Request], Awaitable[Response]]:
    from starlette.responses import StreamingResponse

    watching = 0

    async def answer(request: Request) -> Response:
        nonlocal watching
        if watching >= WATCHERS:
            return _failure(LlmctlError(f"{WATCHERS} pages are listening already"))

        async def counted() -> Any:
            nonlocal watching
            watching += 1
            try:
                async for event in events(opened.home, closing):
                    yield event
            finally:
                watching -= 1

        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(counted(), media_type="text/event-stream", headers=headers)

    return answer


def _failure(error: LlmctlError) -> Response:
    return _object({"error": error.envelope()}, 400 if isinstance(error, UsageError) else 503, bare=False)


def _object(body: Mapping[str, Any], status: int, *, bare: bool) -> Response:
    from starlette.responses import Response

    data = orjson.dumps(body if bare else {"schema": 1, **body}, option=orjson.OPT_NON_STR_KEYS)
    headers = {"cache-control": "no-store"}
    return Response(data + b"\n", status, headers=headers, media_type="application/json")
