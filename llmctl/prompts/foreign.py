"""Templates of other tools: `llm` (YAML, `$name`) and Prompty (`.prompty`, roles as `system:` lines)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from llmctl.config.nodes import Node
from llmctl.prompts.model import Missing, Template, Variable
from llmctl.prompts.templates import flag_of, mapping, schema_of, text_of, wrong, yaml_head

LLM_KEYS = [
    "name",
    "prompt",
    "system",
    "model",
    "defaults",
    "options",
    "schema_object",
    "extract",
    "extract_last",
]
LLM_REFUSED = ["tools", "functions", "fragments", "system_fragments", "attachments", "attachment_types"]
ROLE = re.compile(r"^\s{0,3}(?:#{1,6}\s*)?(system|user|assistant)\s*:[ \t]*$", re.MULTILINE | re.IGNORECASE)
TYPES = {
    "string": "string",
    "number": "number",
    "integer": "integer",
    "boolean": "boolean",
    "float": "number",
    "array": "list",
}
PARAMETERS = {
    "maxOutputTokens": "max_tokens",
    "topP": "top_p",
    "topK": "top_k",
    "frequencyPenalty": "frequency_penalty",
    "presencePenalty": "presence_penalty",
    "stopSequences": "stop",
}
"""Names of Prompty's second version for what requests call otherwise."""
HOUSES = {"openai": "openai", "azure_openai": "azure", "azure": "azure", "anthropic": "anthropic"}


def from_llm(text: str, source: str, path: Path | None = None) -> Template:
    """A template of `llm`. What would change its meaning when left out (tools, fragments) is refused."""
    prompt = _scalar(text)
    if prompt is not None:
        return Template(path.stem if path else "template", source, prompt, path=path, syntax="dollar")
    head = yaml_head(text, source)
    assert isinstance(head.value, dict)
    for key in LLM_REFUSED:
        if key in head.value:
            raise wrong(head.value[key], key, "not supported in templates of `llm`", "remove the key")
    keys = mapping(head, "", LLM_KEYS)
    texts = {key: text_of(keys[key], key) for key in ("name", "prompt", "system", "model") if key in keys}
    defaults = mapping(keys["defaults"], "defaults") if "defaults" in keys else {}
    options = mapping(keys["options"], "options") and keys["options"].plain() if "options" in keys else {}
    return Template(
        name=texts.get("name") or (path.stem if path else "template"),
        source=source,
        body=texts.get("prompt", "$input"),
        body_line=keys["prompt"].line if "prompt" in keys else 1,
        path=path,
        system=texts.get("system"),
        system_line=keys["system"].line if "system" in keys else 1,
        model=texts.get("model"),
        params=options,
        variables={name: Variable(name, default=node.plain()) for name, node in defaults.items()},
        schema=schema_of(keys["schema_object"], "schema_object") if "schema_object" in keys else None,
        syntax="dollar",
        extract=_extract(keys),
    )


def _scalar(text: str) -> str | None:
    """The prompt of a file that is one text and no map; None for any other."""
    import yaml

    try:
        node = yaml.compose(text, yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError):
        return None
    return (
        str(node.value) if isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:str" else None
    )


def _extract(keys: dict[str, Node]) -> Literal["first", "last"] | None:
    if "extract_last" in keys and flag_of(keys["extract_last"], "extract_last"):
        return "last"
    return "first" if "extract" in keys and flag_of(keys["extract"], "extract") else None


def from_prompty(head: Node, body: str, line: int, source: str, path: Path | None = None) -> Template:
    """A `.prompty` file of either version: its inputs are the variables, its samples are not defaults."""
    keys = mapping(head, "")
    model, parameters = _model(keys["model"]) if "model" in keys else (None, {})
    schema = parameters.pop("response_format", None)
    return Template(
        name=text_of(keys["name"], "name") if "name" in keys else (path.stem if path else "template"),
        source=source,
        body=ROLE.sub(lambda match: f"<|{match[1].lower()}|>", body),
        body_line=line,
        path=path,
        description=text_of(keys["description"], "description") if "description" in keys else "",
        model=model,
        params=parameters,
        variables=_inputs(keys["inputs"]) if "inputs" in keys else {},
        schema=_schema(schema),
    )


def _model(node: Node) -> tuple[str | None, dict[str, Any]]:
    """`openai` and the name as one, None where the file leaves the model to its caller; and parameters."""
    if isinstance(node.value, str):
        return node.value, {}
    keys = {key: child.plain() for key, child in mapping(node, "model").items()}
    about = keys.get("configuration")
    about = about if isinstance(about, dict) else {}
    house = HOUSES.get(str(about.get("type") or keys.get("provider") or ""))
    name = about.get("azure_deployment") or about.get("name") or about.get("model") or keys.get("id")
    params: dict[str, Any] = {}
    for key in ("parameters", "options"):
        if isinstance(keys.get(key), dict):
            params |= {PARAMETERS.get(each, each): value for each, value in keys[key].items()}
    known = house and isinstance(name, str) and "$" not in name
    return (f"{house}/{name}" if known else None), params


def _inputs(node: Node) -> dict[str, Variable]:
    """A map of names, or a list of maps with `name`; a bare value is the default."""
    if isinstance(node.value, list):
        listed = [(mapping(item, "inputs"), item) for item in node.value]
        inputs = {text_of(keys["name"], "inputs.name"): item for keys, item in listed if "name" in keys}
    else:
        inputs = mapping(node, "inputs")
    found = {}
    for name, child in inputs.items():
        bare = {} if child.value is None else {"default": child.plain()}
        plain = child.plain() if isinstance(child.value, dict) else bare
        kind = plain.get("type") or plain.get("kind")
        found[name] = Variable(
            name,
            type=TYPES.get(str(kind), "json" if kind else "string"),  # type: ignore[arg-type]
            default=plain.get("default", Missing),
            help=str(plain.get("description", "")),
            required="default" not in plain,
        )
    return found


def _schema(response_format: Any) -> dict[str, Any] | None:
    """The JSON schema inside OpenAI's `response_format`, where there is one."""
    if not isinstance(response_format, dict):
        return None
    inner = response_format.get("json_schema")
    schema = inner.get("schema") if isinstance(inner, dict) else None
    return schema if isinstance(schema, dict) else None
