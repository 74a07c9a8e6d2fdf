"""llmctl profile: which profiles there are, and what one says."""

from __future__ import annotations

import sys
from dataclasses import fields, is_dataclass
from typing import Annotated, Any

import orjson
import typer

from llmctl.cli.options import current
from llmctl.cli.session import services
from llmctl.config.find import LEVELS
from llmctl.config.resolve import resolve
from llmctl.core.errors import LlmctlError
from llmctl.core.money import to_usd
from llmctl.formats.envelope import write_json
from llmctl.services import Services

app = typer.Typer(
    help="Profiles: which there are, and what one says.", rich_markup_mode=None, no_args_is_help=True
)
MONEY = ("limit", "min_cost")
Name = Annotated[str | None, typer.Argument(help="A profile's name or path; default: the one in use.")]


@app.command("list")
def list_() -> int:
    """Every profile found, the strongest of each name."""
    opened = services()
    rows: dict[str, dict[str, Any]] = {}
    for name, path, level in opened.places.all():
        rows.setdefault(name, {"name": name, "from": LEVELS[level], "path": str(path), **_said(opened, name)})
    in_use = _in_use(opened)
    found = [{**rows[name], "in_use": name == in_use} for name in sorted(rows)]
    if current().json:
        write_json({"profiles": found})
        return 0
    width = max((len(name) for name in rows), default=0)
    for row in found:
        mark = "*" if row["in_use"] else " "
        said = row["error"] or row["description"] or ""
        sys.stdout.write(
            f"{mark} {row['name']:<{width}}  {row['from']:<8}  {row['model'] or '-':<24}  {said}\n"
        )
    return 0


def _in_use(opened: Services) -> str | None:
    try:
        return opened.resolved.name
    except LlmctlError:
        return None


def _said(opened: Services, name: str) -> dict[str, Any]:
    """Its description and first model, or why it cannot be read."""
    try:
        profile = resolve(name, opened.places).profile
    except LlmctlError as error:
        return {"description": None, "model": None, "error": error.message}
    first = next(iter(profile.models.values()), None)
    return {"description": profile.description, "model": first.model if first else None, "error": None}


@app.command()
def show(name: Name = None) -> int:
    """One profile resolved: each value, and the file and line it came from."""
    opened = services()
    resolved = resolve(name, opened.places) if name else opened.resolved
    values = [(path, plain(value, path), origin) for path, value, origin in resolved.origins()]
    if current().json:
        listed = [{"path": path, "value": value, "from": origin} for path, value, origin in values]
        write_json(
            {"profile": resolved.name, "files": [str(file) for file in resolved.files], "values": listed}
        )
        return 0
    width = max(len(path) for path, _, _ in values)
    for path, value, origin in values:
        sys.stdout.write(f"{path:<{width}}  {orjson.dumps(value).decode():<40}  {origin}\n")
    return 0


def plain(value: Any, path: str) -> Any:
    """A profile's value as JSON; money in USD as it was written."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name), field.name) for field in fields(value)}
    if isinstance(value, list | tuple):
        return [plain(item, path) for item in value]
    if isinstance(value, int) and path.rpartition(".")[2] in MONEY:
        return to_usd(value)
    return value


@app.command()
def check(name: Name = None) -> int:
    """Whether a profile is right; exit 3 names file, line and remedy where it is not."""
    opened = services()
    names = [name] if name else sorted({found for found, _, _ in opened.places.all()})
    for each in names:
        resolve(each, opened.places)
    if current().json:
        write_json({"profiles": names, "ok": True})
    else:
        sys.stdout.write("".join(f"{each}: fine\n" for each in names))
    return 0


@app.command()
def path(name: Name = None) -> int:
    """The files a profile is made of, weakest first; without a name, the folders looked into."""
    opened = services()
    if name:
        found = [str(file) for file in resolve(name, opened.places).files]
    else:
        found = [str(opened.places.folder(level)) for level in (2, 1, 0)]
    if current().json:
        write_json({"paths": found})
    else:
        sys.stdout.write("".join(f"{each}\n" for each in found))
    return 0
