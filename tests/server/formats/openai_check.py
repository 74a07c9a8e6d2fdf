"""What OpenAI refuses in a chat completion's request."""

from __future__ import annotations

import re
from typing import Any

from ..answer import Json, is_number, is_whole, require

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
PARTS = ("text", "image_url", "input_audio", "file", "refusal", "thinking")
REASONING_MODEL = re.compile(r"(.*/)?(o\d|gpt-5)\b")


def check(body: Json, model: str) -> None:
    """Raise `Refused` for what OpenAI answers 400 to."""
    messages = body.get("messages")
    require(messages is not None, "Missing required parameter: 'messages'.", "messages")
    require(
        isinstance(messages, list) and messages, "Invalid 'messages': expected a non-empty array.", "messages"
    )
    for index, message in enumerate(messages or []):
        _check_message(message, f"messages[{index}]")
    require(isinstance(body.get("stream", False), bool | None), "Invalid type for 'stream'.", "stream")
    require(
        not body.get("stream_options") or body.get("stream"),
        "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
        "stream_options",
    )
    temperature = body.get("temperature")
    require(
        temperature is None or (is_number(temperature) and 0 <= temperature <= 2),
        "Invalid 'temperature': expected a number between 0 and 2.",
        "temperature",
    )
    for name in ("max_tokens", "max_completion_tokens"):
        limit = body.get(name)
        require(
            limit is None or (is_whole(limit) and limit > 0),
            f"Invalid '{name}': expected an integer above 0.",
            name,
        )
    require(body.get("n") in (None, 1), "Invalid 'n': this server gives one answer.", "n")
    _check_tools(body)
    _check_response_format(body.get("response_format"))
    if REASONING_MODEL.match(model):
        _check_reasoning(body)


def _check_message(message: Any, where: str) -> None:
    require(isinstance(message, dict), f"Invalid type for '{where}': expected an object.", where)
    role, content = message.get("role"), message.get("content")
    require(role in ROLES, f"Invalid value for '{where}.role': '{role}'.", f"{where}.role")
    require(
        role != "tool" or message.get("tool_call_id"),
        f"Missing required parameter: '{where}.tool_call_id'.",
        where,
    )
    if role == "assistant" and content is None:
        require(
            message.get("tool_calls") or message.get("function_call"),
            f"Invalid value for '{where}.content': expected a string, got null.",
            f"{where}.content",
        )
        return
    require(isinstance(content, str | list), f"Invalid type for '{where}.content'.", f"{where}.content")
    for part in content if isinstance(content, list) else []:
        kind = part.get("type") if isinstance(part, dict) else None
        require(kind in PARTS, f"Invalid value for '{where}.content[].type': '{kind}'.", f"{where}.content")
        require(kind in part, f"Missing required parameter: '{where}.content[].{kind}'.", f"{where}.content")
        if kind == "image_url":
            image = part["image_url"]
            url = image.get("url") if isinstance(image, dict) else image  # mistral takes a bare string
            require(
                isinstance(url, str) and url, f"Missing image URL in '{where}.content'.", f"{where}.content"
            )


def _check_tools(body: Json) -> None:
    tools = body.get("tools")
    require(
        tools is None or (isinstance(tools, list) and tools),
        "Invalid 'tools': expected a non-empty array.",
        "tools",
    )
    for tool in tools or []:
        function = tool.get("function") if isinstance(tool, dict) and tool.get("type") == "function" else None
        named = isinstance(function, dict) and function.get("name")
        require(named, "Missing required parameter: 'tools[].function.name'.", "tools")
    require(
        tools or not body.get("tool_choice"), "'tool_choice' is only allowed with 'tools'.", "tool_choice"
    )


def _check_response_format(wanted: Any) -> None:
    if wanted is None:
        return
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    require(
        kind in ("text", "json_object", "json_schema"),
        f"Invalid response_format type '{kind}'.",
        "response_format",
    )
    if kind == "json_schema":
        given = wanted.get("json_schema")
        whole = isinstance(given, dict) and given.get("name") and isinstance(given.get("schema"), dict)
        require(
            whole, "Missing required parameter: 'response_format.json_schema'.", "response_format.json_schema"
        )


def _check_reasoning(body: Json) -> None:
    require(
        body.get("max_tokens") is None,
        "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.",
        "max_tokens",
    )
    require(
        body.get("temperature") in (None, 1),
        "Unsupported value: 'temperature'. Only 1 is supported.",
        "temperature",
    )
