"""What a row asks: one Row for every raw row, whatever its kind and however wrong it is."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

import orjson

from llmctl.batch.lines import MAX_LINE, RawRow
from llmctl.batch.messages import Messages, checked
from llmctl.batch.strict import RowError, Wrong, as_written, careful, kind, loads
from llmctl.config.schema import suggest
from llmctl.core.hidden import has_open_key, names_key
from llmctl.core.model import NOT_PARAMS, PROFILE_ONLY

NOTHING: Mapping[str, Any] = {}
FIELDS = frozenset({"prompt", "messages", "id", "model", "system", "params", "tag"})
OPENAI_FIELDS = frozenset({"custom_id", "method", "url", "body", "tag"})
NEVER_OPENAI = tuple(b'{"%b"' % name.encode() for name in sorted(FIELDS - OPENAI_FIELDS))
"""How a row begins that is none of OpenAI's batch API, or one with an error."""
STREAMING = frozenset({"stream", "stream_options"})
"""Left out: a row's answer comes whole."""
KEY_FIELDS = frozenset({"api_key", "apikey", "key", "token", "authorization", "headers", "extra_headers"})
"""Variables that are looked at for keys written in the open; prompt texts are not."""
EXACT_FLOAT = 2.0**63


class Row(NamedTuple):
    """One question of a batch, or `error` where it cannot be asked.

    `id` is the row's own (`id` or `custom_id`, `own_id` true) or else its number. Either `prompt` or
    `messages` is set; with a template neither needs to be, and `variables` holds the row's fields.
    """

    number: int
    line: int
    id: str
    own_id: bool = False
    prompt: str | None = None
    messages: Messages | None = None
    system: str | None = None
    model: str | None = None
    params: Mapping[str, Any] = NOTHING
    tag: str | None = None
    variables: Mapping[str, Any] | None = None
    openai: bool = False
    error: RowError | None = None


def parse(raw: RawRow, template: bool = False) -> Row:
    """The row that `raw` holds. Never raises: what is wrong stands in `error`, with line and remedy."""
    value: dict[str, Any] = {}
    try:
        if raw.error is not None or raw.too_long:
            return _unread(raw)
        if raw.text:
            return _text(raw, template)
        value = _object(raw.data)
        if template:
            return _variables(raw, value)
        if "body" in value or "custom_id" in value:
            return _openai(raw, value)
        return _plain(raw, value)
    except Wrong as wrong:
        return _failed(raw, RowError(raw.line, wrong.problem, wrong.hint), value)


def may_have_id(raw: RawRow) -> bool:
    """Whether the row may have an id of its own; where it surely has none, it need not be read for it."""
    return not raw.text and (b'id"' in raw.data or b"\\" in raw.data)


def openai_kind(raw: RawRow) -> bool | None:
    """Whether `parse` without a template finds a row of OpenAI's batch API, as far as its bytes tell.

    What stands first in an object is a key. True: that, or a row with an error. None: it has to be read.
    """
    data = raw.data
    if raw.text or data.startswith(NEVER_OPENAI):
        return False
    if data.startswith(b'{"custom_id"'):
        return True
    return None if b'"body"' in data or b'"custom_id"' in data or b"\\u00" in data else False


def _unread(raw: RawRow) -> Row:
    problem = f"a row of {raw.too_long:,} bytes; at most {MAX_LINE:,} are read"
    return _failed(raw, raw.error or RowError(raw.line, problem, "shorten or split the row"), {})


def _failed(raw: RawRow, error: RowError, value: Mapping[str, Any]) -> Row:
    name = value.get("id") or value.get("custom_id")
    if isinstance(name, str | int) and not isinstance(name, bool):
        return Row(raw.number, raw.line, str(name), True, error=error)
    return Row(raw.number, raw.line, str(raw.number), error=error)


def _object(data: bytes) -> dict[str, Any]:
    value = loads(data)
    if not isinstance(value, dict):
        raise Wrong(f"a row is a JSON object, not {kind(value)}", "one object a line")
    return value


def _text(raw: RawRow, template: bool) -> Row:
    try:
        prompt = raw.data.decode("utf-8")
    except UnicodeDecodeError:
        raise Wrong("not UTF-8", "convert the file, for example with iconv") from None
    if not prompt or prompt.isspace():
        raise Wrong("the prompt is empty", "write a prompt on the line, or delete it")
    variables = {"prompt": prompt} if template else None
    return Row(raw.number, raw.line, str(raw.number), prompt=prompt, variables=variables)


def _plain(raw: RawRow, value: dict[str, Any]) -> Row:
    if not value.keys() <= FIELDS:
        _unknown(value, FIELDS)
    prompt = value.get("prompt")
    messages = value.get("messages")
    if messages is None or messages == "":
        if prompt.__class__ is not str:
            _no_prompt(prompt)
        if not prompt or prompt.isspace():
            raise Wrong("the prompt is empty", "write a prompt")
        messages = None
    elif prompt is not None and prompt != "":
        raise Wrong("both 'prompt' and 'messages'", "keep one of the two")
    else:
        messages, prompt = checked(messages), None
    if len(value) == 1:
        return Row(raw.number, raw.line, str(raw.number), False, prompt, messages)
    name = _id(raw, value, "id")
    return Row(
        raw.number,
        raw.line,
        name or str(raw.number),
        name is not None,
        prompt,
        messages,
        _optional(value, "system"),
        _optional(value, "model"),
        _params(value["params"]) if "params" in value else NOTHING,
        _optional(value, "tag"),
    )


def _variables(raw: RawRow, value: dict[str, Any]) -> Row:
    """With a template every field is a variable; the fields with a meaning of their own keep it too."""
    if any(child.__class__ is float and abs(child) >= EXACT_FLOAT for child in value.values()):
        careful(raw.data)
    if suspects := [name for name in value if name.lower() in KEY_FIELDS]:
        _refuse_open_keys({name: value[name] for name in suspects})
    name = _id(raw, value, "id" if value.get("id") is not None else "custom_id")
    prompt = value.get("prompt")
    return Row(
        raw.number,
        raw.line,
        name or str(raw.number),
        name is not None,
        prompt=prompt if isinstance(prompt, str) else None,
        system=_optional(value, "system"),
        model=_optional(value, "model"),
        params=_params(value["params"]) if "params" in value else NOTHING,
        tag=_optional(value, "tag"),
        variables=value,
    )


def _openai(raw: RawRow, value: dict[str, Any]) -> Row:
    """A row of OpenAI's batch API: the body's fields beside model and messages are parameters."""
    if not value.keys() <= OPENAI_FIELDS:
        _unknown(value, OPENAI_FIELDS)
    method, url, body = value.get("method", "POST"), value.get("url"), value.get("body")
    if not isinstance(method, str) or method.upper() != "POST":
        raise Wrong("'method' must be POST", 'write "method": "POST"')
    if url is not None and not _chat(url):
        hint = '"url": "/v1/chat/completions" is the one that is asked; the server is the profile\'s api_base'
        raise Wrong("'url' must be the path of chat completions", hint)
    if not isinstance(body, dict):
        raise Wrong(f"'body' must be a map, not {kind(body)}", 'write "body": {"model": …, "messages": […]}')
    if body.get("messages") is None:
        raise Wrong("'body' has no 'messages'", 'write "messages": [{"role": "user", "content": …}]')
    name = _id(raw, value, "custom_id")
    messages, model = checked(body.pop("messages")), _optional(body, "model")
    body.pop("model", None)
    return Row(
        raw.number,
        raw.line,
        name or str(raw.number),
        name is not None,
        None,
        messages,
        model=model,
        params=_params(body),
        tag=_optional(value, "tag"),
        openai=True,
    )


def _chat(url: Any) -> bool:
    return isinstance(url, str) and url.startswith("/") and url.rstrip("/").endswith("/chat/completions")


def _id(raw: RawRow, value: Mapping[str, Any], field: str) -> str | None:
    """The row's own id; a number is taken as it is written."""
    name = value.get(field)
    if name.__class__ is str or name is None:
        return name or None
    if name.__class__ is int:
        return str(name)
    if name.__class__ is float:
        return str(as_written(raw.data, field))
    raise Wrong(f"{field!r} must be a text or a number, not {kind(name)}", "write it as a text, in quotes")


def _optional(value: Mapping[str, Any], field: str) -> str | None:
    """A text; null and the empty text (an empty cell of a table) are no text."""
    found = value.get(field)
    if found is None or found.__class__ is str:
        if found and field in ("tag", "model") and has_open_key(found):
            raise _open_key()
        return found or None
    raise Wrong(f"{field!r} must be a text, not {kind(found)}", f"write {field!r} in quotes, or leave it out")


def _params(params: Any) -> Mapping[str, Any]:
    if params is None or params == "":
        return NOTHING
    if params.__class__ is not dict:
        raise Wrong(f"'params' must be a map, not {kind(params)}", 'for example {"temperature": 0.2}')
    if not STREAMING.isdisjoint(params):
        if params.get("stream") not in (None, True, False):
            raise Wrong("'stream' must be true or false", "leave it out: a row's answer comes whole")
        params = {key: child for key, child in params.items() if key not in STREAMING}
    if not NOT_PARAMS.isdisjoint(params):
        name = min(NOT_PARAMS & params.keys())
        where = "the profile" if name in PROFILE_ONLY else "the row itself"
        raise Wrong(f"{name!r} is no parameter of a model", f"it belongs in {where}")
    for child in params.values():
        if child.__class__ is float and abs(child) >= EXACT_FLOAT:
            raise Wrong("a parameter is beyond 64 bits", "write a smaller number")
    if any(names_key(name) for name in params):
        raise _open_key()
    _refuse_open_keys(params)
    return params  # type: ignore[no-any-return]  # a dict, as just seen


def _refuse_open_keys(fields: Mapping[str, Any]) -> None:
    """A key in the open is refused without repeating it."""
    texts = [child for child in fields.values() if isinstance(child, str | dict | list)]
    if texts and has_open_key(orjson.dumps(texts).decode("utf-8")):
        raise _open_key()


def _open_key() -> Wrong:
    return Wrong("a key is written out in the open", "take it out; the profile says where keys are")


def _unknown(value: Mapping[str, Any], known: frozenset[str]) -> NoReturn:
    name = min(value.keys() - known)
    if has_open_key(name):
        raise _open_key()
    if name in PROFILE_ONLY:
        raise Wrong(f"{name!r} has no place in a row", "it belongs in the profile")
    raise Wrong(f"unknown field {name[:80]!r}", _nearest(name[:80], known))


@functools.lru_cache(maxsize=256)
def _nearest(name: str, known: frozenset[str]) -> str:
    """Kept, since in a file with a wrong column every row asks the same."""
    return f"{suggest(name, sorted(known))}; with -t TEMPLATE every field is a variable"


def _no_prompt(prompt: Any) -> NoReturn:
    if prompt is None:
        raise Wrong("no prompt", "give the row 'prompt' or 'messages', or use -t TEMPLATE")
    raise Wrong(f"'prompt' must be a text, not {kind(prompt)}", "write it in quotes")
