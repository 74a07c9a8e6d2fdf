"""llmctl dashboard: the page, and metrics for programs."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from llmctl.cli.options import current
from llmctl.cli.session import services, warn
from llmctl.core.errors import AccountError, ConfigError, UsageError
from llmctl.services import Services

app = typer.Typer(rich_markup_mode=None, add_completion=False)
PORT = 8484
SHORT = 16


@app.callback(invoke_without_command=True)
def dashboard(
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on. All but this machine's own need a token.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    ] = PORT,
    token_ref: Annotated[
        str | None,
        typer.Option(
            "--token-ref",
            metavar="REF",
            help="Where the token stands, as env:NAME or file:PATH; asked of all.",
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option("--allow-host", metavar="NAME", help="A further name it is called by; repeatable."),
    ] = None,
) -> int:
    """Serve the page on http://127.0.0.1:8484/, with /metrics/llm, /metrics and /healthz."""
    from llmctl.web.serve import available, bind, is_loopback, serve

    available()
    opened = services()
    token = None if token_ref is None else _token(opened, token_ref)
    if token is None and not is_loopback(host):
        raise UsageError(
            f"--host {host}: others could read it without a token",
            hint="add --token-ref env:NAME, or leave --host away",
        )
    if token is not None and len(token) < SHORT and not current().quiet:
        warn(f"{token_ref}: a token of less than {SHORT} characters can be guessed")
    name = opened.resolved.name  # what is wrong with the profile is said before the door opens
    door = bind(host, port)
    if current().json:
        from llmctl.formats.envelope import write_json

        write_json({"url": door.url, "host": door.host, "port": door.port, "profile": name})
    else:
        sys.stdout.write(f"{door.url}\n")
    sys.stdout.flush()
    serve(opened, door, token, allow_host or (), _told)
    return 0


def _token(opened: Services, reference: str) -> str:
    """ConfigError where there is none: that is this machine's matter, no provider has refused anything."""
    try:
        return opened.secrets.resolve(reference)
    except AccountError as error:
        raise ConfigError(error.message, hint=error.hint) from None


def _told(error: Exception) -> None:
    warn(f"a request could not be answered: {type(error).__name__}")
