"""Templates of `llm` and Prompty files."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmctl.prompts.model import TemplateError
from llmctl.prompts.render import Renderer
from llmctl.prompts.templates import read

LLM = """model: gpt-4o-mini
system: You speak $language
prompt: |
  Summarise for $$5: $input
defaults:
  language: French
options:
  temperature: 0.5
schema_object:
  type: object
"""
PROMPTY = """---
name: Shop
description: answers customers
model:
  api: chat
  configuration: {type: azure_openai, azure_deployment: gpt-35}
  parameters: {max_tokens: 30}
inputs:
  question: {type: string, description: what is asked}
  tone: {type: string, default: kind}
sample: {question: why}
---
system:
You are {{tone}}.

# user:
{{question}}
{% for d in ["a"] %}{{ d }}{% endfor %}
"""


PROMPTY_2 = """---
model:
  id: gpt-4o
  provider: openai
  options: {temperature: 0.5, maxOutputTokens: 100}
inputs:
  first: {kind: string, default: Jane}
  last: Doe
  question:
---
user:
{{ first }} {{ last }}: {{ question }}
"""


def test_the_second_version_of_prompty(tmp_path: Path) -> None:
    """Its files end alike, and say the same in other words."""
    path = tmp_path / "x.prompty"
    path.write_text(PROMPTY_2, encoding="utf-8")
    template = read(path)
    assert (template.model, template.params) == ("openai/gpt-4o", {"temperature": 0.5, "max_tokens": 100})
    assert [v.required for v in template.variables.values()] == [False, False, True]
    assert Renderer(template).messages({"question": "why?"})[0]["content"] == "Jane Doe: why?"
    path.write_text("---\nmodel: gpt-4o\ninputs: [{name: a}]\n---\n{{ a }}", encoding="utf-8")
    assert (read(path).model, list(read(path).variables)) == ("gpt-4o", ["a"])
    path.write_text("---\nmodel: {parameters: null}\ninputs: 3\n---\nx", encoding="utf-8")
    with pytest.raises(TemplateError, match="inputs: a map"):
        read(path)


def test_a_template_of_llm_may_be_one_text(tmp_path: Path) -> None:
    """`llm` takes a file that is nothing but the prompt."""
    path = tmp_path / "x.yaml"
    path.write_text("Summarise $input\n  in one line\n", encoding="utf-8")
    assert Renderer(read(path)).messages({"input": "it"})[0]["content"] == "Summarise it in one line"
    path.write_text("5", encoding="utf-8")
    with pytest.raises(TemplateError, match="not a map"):
        read(path)


def test_which_code_block_an_llm_template_wants(tmp_path: Path) -> None:
    """Left out, a script would get prose where it expects code."""
    path = tmp_path / "x.yaml"
    path.write_text("prompt: x\nextract: true\n", encoding="utf-8")
    assert read(path).extract == "first"
    path.write_text("prompt: x\nextract_last: true\n", encoding="utf-8")
    assert read(path).extract == "last"
    assert read(Path(__file__).parents[2] / "llmctl/prompts/library/classify.md").extract is None


def test_a_template_of_llm_is_read(tmp_path: Path) -> None:
    """People bring the templates they have."""
    path = tmp_path / "x.yaml"
    path.write_text(LLM, encoding="utf-8")
    template = read(path)
    assert (template.name, template.params, template.schema) == (
        "x",
        {"temperature": 0.5},
        {"type": "object"},
    )
    renderer = Renderer(template)
    assert renderer.prompt_variable([]) == "input"
    assert [m["content"] for m in renderer.messages({"input": "the {{ text }}"})] == [
        "You speak French",
        "Summarise for $5: the {{ text }}",
    ]


def test_a_system_alone_takes_the_prompt(tmp_path: Path) -> None:
    """Most templates of `llm` are a system text only."""
    path = tmp_path / "pirate.yaml"
    path.write_text("system: Talk like a pirate", encoding="utf-8")
    assert Renderer(read(path)).messages({"input": "Hi"})[1]["content"] == "Hi"


def test_what_would_be_lost_is_refused(tmp_path: Path) -> None:
    """Leaving out tools or fragments would change what the template means."""
    path = tmp_path / "x.yaml"
    path.write_text("prompt: hi\ntools: [a]\n", encoding="utf-8")
    with pytest.raises(TemplateError, match=r":2: tools: not supported"):
        read(path)


def test_a_prompty_file_is_read(tmp_path: Path) -> None:
    """Its roles become turns and its inputs variables."""
    path = tmp_path / "shop.prompty"
    path.write_text(PROMPTY, encoding="utf-8")
    template = read(path)
    assert (template.name, template.model, template.params) == ("Shop", "azure/gpt-35", {"max_tokens": 30})
    assert template.variables["question"].required
    assert Renderer(template).messages({"question": "Why?"}) == (
        {"role": "system", "content": "You are kind."},
        {"role": "user", "content": "Why?\na"},
    )
