"""From a template and its variables to chat messages.

A line that holds nothing but `<|system|>`, `<|user|>` or `<|assistant|>` starts a turn. Only such lines
of the template itself do: what variables bring in can never open a turn, since the markers are replaced
before anything is rendered, by words that no value can know.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import cache
from typing import Any

from llmctl.core.model import Message
from llmctl.prompts.model import Template, TemplateError, Variable, nearest
from llmctl.prompts.variables import complete

MARKER = re.compile(r"^<\|(system|user|assistant)\|>[ \t]*$", re.MULTILINE)
DOLLAR = re.compile(r"\$(?:(?P<escaped>\$)|(?P<named>[A-Za-z_]\w*)|\{(?P<braced>[A-Za-z_]\w*)\})")
UNDEFINED = re.compile(r"'(\w+)' is undefined\Z")
PROMPT_NAMES = ("content", "input", "text", "prompt")


class Renderer:
    """A template compiled once, to be rendered for any number of rows, from any thread."""

    def __init__(self, template: Template) -> None:
        """TemplateError (exit 3) with file and line where the text is no template."""
        self.template = template
        self.names: frozenset[str] = frozenset()
        self._system = self._compile(template.system, template.system_line) if template.system else None
        self._body = self._compile(template.body, template.body_line)

    def __reduce__(self) -> tuple[type[Renderer], tuple[Template]]:
        """Compiled code does not travel between processes: it is compiled anew there."""
        return Renderer, (self.template,)

    def messages(self, values: Mapping[str, Any], *, extra: bool = True) -> tuple[Message, ...]:
        """The chat messages for these values (JSON values or texts, converted to the declared types).

        `extra` False makes values that the template does not know an error. TemplateError for missing,
        ill-typed or undefined variables and for a rendering that passes the bounds of `sandbox`.
        """
        given = complete(self.template, values, used=None if extra else self.names)
        turns = (
            []
            if self._system is None
            else [("system", self._run(self._system, given, self.template.system_line))]
        )
        turns += _turns(self._run(self._body, given, self.template.body_line))
        messages = [{"role": role, "content": text} for role, text in _joined(turns)]
        if not any(message["role"] != "system" for message in messages):
            raise TemplateError(f"{self.template.source}: renders to nothing", hint="fill its variables")
        return tuple(messages)

    def prompt_variable(self, given: Collection[str]) -> str | None:
        """The variable that a prompt given beside the template fills; None where it joins as a text.

        The first of `content`, `input`, `text`, `prompt` that the template uses, else the only required
        variable that is not given.
        """
        wanted = (self.names | set(self.template.variables)) - set(given)
        for name in PROMPT_NAMES:
            if name in wanted:
                return name
        known = self.template.variables
        open_ = [name for name in wanted if name not in known or known[name].required]
        return open_[0] if len(open_) == 1 else None

    def _compile(self, text: str, line: int) -> Any:
        from jinja2 import meta
        from jinja2.exceptions import TemplateSyntaxError

        from llmctl.prompts import sandbox

        marked = MARKER.sub(lambda match: _sentinel(match[1]), text)
        try:
            tree = _dollar(marked) if self.template.syntax == "dollar" else sandbox.parse(marked)
            self.names |= meta.find_undeclared_variables(tree)
            return sandbox.compiled(tree)
        except TemplateSyntaxError as error:
            place = f"{self.template.source}:{error.lineno + line - 1}"
            raise TemplateError(f"{place}: {error.message}", hint=_syntax_hint(error.message or "")) from None
        except (RecursionError, SyntaxError, MemoryError):
            raise TemplateError(
                f"{self.template.source}: nested too deeply", hint="write simpler expressions"
            ) from None
        except ValueError as error:
            raise TemplateError(f"{self.template.source}: {error}", hint="mend the expression") from None

    def _run(self, compiled: Any, values: dict[str, Any], line: int) -> str:
        from llmctl.prompts import sandbox

        try:
            return sandbox.run(compiled, values)
        except Exception as error:  # noqa: BLE001  # whatever a template's expressions raise is its own fault
            raise self._told(error, compiled, values, line) from None

    def _told(self, error: Exception, compiled: Any, values: Mapping[str, Any], line: int) -> TemplateError:
        """What went wrong in the rendering, with its place and the nearest right name."""
        at = _line(error, compiled)
        place = f"{self.template.source}:{at + line - 1}" if at else self.template.source
        undefined = UNDEFINED.search(str(error))
        if undefined:
            hint = nearest(undefined[1], set(values) | set(self.template.variables))
            return TemplateError(
                f"{place}: the variable {undefined[1]!r} is undefined", hint=hint or f"-V {undefined[1]}=…"
            )
        if isinstance(error, RecursionError):
            return TemplateError(f"{place}: nested too deeply", hint="write simpler expressions")
        return TemplateError(f"{place}: {error}", hint="docs/templates.md says what a template may do")


def render(template: Template, values: Mapping[str, Any]) -> tuple[Message, ...]:
    """As `Renderer.messages`, for one use."""
    return Renderer(template).messages(values)


@cache
def _nonce() -> str:
    """Unknown to every template and value, so that no text can forge a turn."""
    from secrets import token_hex

    return token_hex(16)


def _sentinel(role: str) -> str:
    return f"\0{_nonce()}:{role}\0"


def _turns(text: str) -> list[tuple[str, str]]:
    """(role, text) of each turn; what stands before the first marker is the user's."""
    head, *rest = re.split(f"\0{_nonce()}:([a-z]+)\0", text) if "\0" in text else [text]
    return [("user", head), *zip(rest[::2], rest[1::2], strict=True)]


def _joined(turns: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Without blank turns, the system's texts as one at the start."""
    kept = [(role, stripped) for role, text in turns if (stripped := text.strip())]
    system = "\n\n".join(text for role, text in kept if role == "system")
    others = [turn for turn in kept if turn[0] != "system"]
    return [("system", system), *others] if system else others


def _dollar(text: str) -> Any:
    """The tree of a text with `$name`, `${name}` and `$$`; nothing else in it has a meaning."""
    from jinja2 import nodes

    from llmctl.prompts.sandbox import environment

    parts: list[Any] = []
    end = 0
    for match in DOLLAR.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        parts.append(nodes.Output([nodes.TemplateData(text[end : match.start()], lineno=line)], lineno=line))
        name = match["named"] or match["braced"]
        node = nodes.Name(name, "load", lineno=line) if name else nodes.TemplateData("$", lineno=line)
        parts.append(nodes.Output([node], lineno=line))
        end = match.end()
    parts.append(nodes.Output([nodes.TemplateData(text[end:], lineno=1)], lineno=1))
    tree = nodes.Template(parts, lineno=1)
    return tree.set_environment(environment())


def _line(error: Exception, compiled: Any) -> int | None:
    """The template's line that raised, from the frames of the code that Jinja2 made of it."""
    found = None
    trace = error.__traceback__
    while trace is not None:
        template = trace.tb_frame.f_globals.get("__jinja_template__")
        if template is not None and template is compiled:
            found = int(template.get_corresponding_lineno(trace.tb_lineno))
        trace = trace.tb_next
    return found


def _syntax_hint(message: str) -> str:
    match = re.match(r"No (filter|test) named '(\w+)'", message)
    if not match:
        return "write {{ name }}, {% if name %}…{% endif %} or {% for item in list %}…{% endfor %}"
    from llmctl.prompts.sandbox import environment

    env = environment()
    return nearest(
        match[2], [name for name in (env.filters if match[1] == "filter" else env.tests) if "!" not in name]
    )


def undeclared(variables: Mapping[str, Variable], names: Collection[str]) -> list[str]:
    """Names that a body uses and its head does not declare."""
    return sorted(set(names) - set(variables) - {"range", "namespace"})
