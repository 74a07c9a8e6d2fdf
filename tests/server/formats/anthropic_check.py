"""What Anthropic refuses in a message's request."""

from __future__ import annotations

from typing import Any

from ..answer import Json, is_number, is_whole, require

FIELDS = {
    "model", "messages", "max_tokens", "system", "metadata", "stop_sequences", "stream", "temperature",
    "top_p", "top_k", "tools", "tool_choice", "thinking", "service_tier", "container", "mcp_servers",
    "context_management", "output_config", "output_format", "cache_control",
}  # fmt: skip
BLOCKS = {
    "text", "image", "document", "tool_use", "tool_result", "thinking", "redacted_thinking", "search_result"
}  # fmt: skip


def check(body: Json) -> None:
    """Raise `Refused` for what Anthropic answers 400 to; it takes no unknown field."""
    for name in body.keys() - FIELDS:
        require(False, f"{name}: Extra inputs are not permitted")
    require(isinstance(body.get("model"), str) and body["model"], "model: Field required")
    limit = body.get("max_tokens")
    require(limit is not None, "max_tokens: Field required")
    require(is_whole(limit) and (limit or 0) > 0, "max_tokens: Input should be greater than or equal to 1")
    messages = body.get("messages")
    require(messages is not None, "messages: Field required")
    require(isinstance(messages, list) and messages, "messages: at least one message is required")
    for index, message in enumerate(messages or []):
        _check_message(message, f"messages.{index}")
    require(messages and messages[0]["role"] == "user", 'messages: first message must use the "user" role')
    require(isinstance(body.get("stream", False), bool), "stream: Input should be a valid boolean")
    temperature = body.get("temperature")
    in_range = temperature is None or (is_number(temperature) and 0 <= temperature <= 1)
    require(in_range, "temperature: Input should be a number from 0 to 1")
    system = body.get("system", "")
    blocks = isinstance(system, list) and all(
        isinstance(each, dict) and each.get("type") == "text" for each in system
    )
    require(isinstance(system, str) or blocks, "system: Input should be a valid string or text blocks")
    for index, tool in enumerate(body.get("tools") or []):
        whole = isinstance(tool, dict) and tool.get("name") and (tool.get("input_schema") or tool.get("type"))
        require(whole, f"tools.{index}.custom.input_schema: Field required")
    require(body.get("tools") or not body.get("tool_choice"), "tool_choice: may only be given with tools")


def _check_message(message: Any, where: str) -> None:
    require(isinstance(message, dict), f"{where}: Input should be an object")
    require(
        message.get("role") in ("user", "assistant"), f"{where}.role: Input should be 'user' or 'assistant'"
    )
    content = message.get("content")
    require(isinstance(content, str | list), f"{where}.content: Input should be a valid list")
    require(content, f"{where}: all messages must have non-empty content")
    for index, block in enumerate(content if isinstance(content, list) else []):
        kind = block.get("type") if isinstance(block, dict) else None
        require(
            kind in BLOCKS,
            f"{where}.content.{index}: Input tag '{kind}' does not match any of the expected tags",
        )
        require(kind != "text" or block.get("text"), "messages: text content blocks must be non-empty")
        if kind == "image":
            source = block.get("source") or {}
            given = (
                source.get("url")
                or source.get("file_id")
                or (source.get("data") and source.get("media_type"))
            )
            require(given, f"{where}.content.{index}.image.source: Field required")
