"""What Gemini refuses in a request; field names are in camel case by then."""

from __future__ import annotations

from typing import Any

from ..answer import Json, is_number, is_whole, require

FIELDS = {
    "contents", "systemInstruction", "tools", "toolConfig", "safetySettings", "generationConfig",
    "cachedContent", "labels", "model",
}  # fmt: skip
PARTS = {
    "text", "inlineData", "fileData", "functionCall", "functionResponse", "executableCode",
    "codeExecutionResult",
}  # fmt: skip


def check(body: Json) -> None:
    """Raise `Refused` for what Gemini answers 400 to; it takes no unknown field."""
    for name in body.keys() - FIELDS:
        require(False, f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.')
    contents = body.get("contents")
    require(
        isinstance(contents, list) and contents,
        "* GenerateContentRequest.contents: contents is not specified",
    )
    for index, content in enumerate(contents or []):
        _check_content(content, f"contents[{index}]")
    if "systemInstruction" in body:
        _check_content(body["systemInstruction"], "system_instruction")
    config = body.get("generationConfig", {})
    require(isinstance(config, dict), "Invalid value at 'generation_config'.")
    temperature = config.get("temperature")
    in_range = temperature is None or (is_number(temperature) and 0 <= temperature <= 2)
    require(
        in_range, "* GenerateContentRequest.generation_config.temperature: must be in the range [0.0, 2.0]."
    )
    limit = config.get("maxOutputTokens")
    require(limit is None or (is_whole(limit) and limit > 0), "max_output_tokens must be positive.")
    schemas = config.get("responseSchema") or config.get("responseJsonSchema")
    require(
        not schemas or config.get("responseMimeType") == "application/json",
        "A response schema needs 'response_mime_type' application/json.",
    )


def _check_content(content: Any, where: str) -> None:
    require(isinstance(content, dict), f"Invalid value at '{where}'.")
    require(
        content.get("role", "user") in ("user", "model", "function", "system"),
        "Please use a valid role: user, model.",
    )
    parts = content.get("parts")
    require(isinstance(parts, list) and parts, f"* GenerateContentRequest.{where}.parts: must not be empty.")
    for part in parts or []:
        data = part.keys() & PARTS if isinstance(part, dict) else ()
        require(
            len(data) == 1,
            f"* GenerateContentRequest.{where}.parts: required oneof field 'data' must have one value.",
        )
        blob = part.get("inlineData")
        whole = blob is None or (blob.get("data") and (blob.get("mimeType") or blob.get("mime_type")))
        require(whole, f"* GenerateContentRequest.{where}.parts: inline_data needs mime_type and data.")
