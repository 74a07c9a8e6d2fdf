"""The sandbox: hostile templates end early, small and with a reason; honest ones work."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from llmctl.prompts.model import Template, TemplateError
from llmctl.prompts.render import render

LOOP = "{% for i in range(100000) %}"
END = "{% endfor %}"
NS = "{% set ns = namespace(a='x' * 1000, l=[1], t=(1,)) %}{% for i in range(100) %}"
HOSTILE = {
    "mro": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "attr": "{{ ''|attr('__class__') }}",
    "map attribute": "{{ ['']|map(attribute='__class__')|list }}",
    "str.format": "{{ '{0.__class__}'.format(1) }}",
    "globals": "{{ range.__globals__ }}",
    "namespace globals": "{{ namespace.__init__.__globals__ }}",
    "loop private": "{% for a in [1] %}{{ loop._iterable }}{% endfor %}",
    "generator frame": "{{ (range(3)|map('abs')).gi_frame }}",
    "mutation": "{{ [].append(1) }}",
    "include": "{% include '/etc/passwd' %}",
    "import": "{% import 'os' as o %}",
    "extends": "{% extends 'x' %}",
    "macro": "{% macro a() %}{{ a() }}{{ a() }}{% endmacro %}{{ a() }}",
    "recursive loop": "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    "text times": "{{ 'a'*10**9 }}",
    "times text": "{{ 10**9*'a' }}",
    "list times": "{{ [1]*10**9 }}",
    "list of lists times": "{{ [['a'*1000]*1000]*1000 }}",
    "tower": "{{ 99**99**99 }}",
    "big number": "{{ 10**100000 }}",
    "percent": "{{ '%1000000000d' % 1 }}",
    "format": "{{ '%1000000000d'|format(1) }}",
    "format star": "{{ '%*d'|format(1000000000, 1) }}",
    "many formats": "{{ ('%99s'*1000000)|format(1) }}",
    "ljust": "{{ 'a'.ljust(10**9) }}",
    "zfill": "{{ 'a'.zfill(10**9) }}",
    "expandtabs": "{{ 'a\t'.expandtabs(10**9) }}",
    "to_bytes": "{{ (1).to_bytes(10**9, 'big') }}",
    "center": "{{ 'a'|center(10**9) }}",
    "indent": "{{ 'a\n'|indent(10**9) }}",
    "round": "{{ 1.5|round(10**9) }}",
    "range": "{{ range(10**9)|list }}",
    "huge range": "{{ range(10**30) }}",
    "endless loops": LOOP * 2 + END * 2,
    "filtered loops": LOOP + "{% for b in range(100000) if false %}" + END * 2,
    "loop.length": LOOP * 2 + "{{ loop.length }}" + END * 2,
    "long output": LOOP + "x" * 1000 + END,
    "long set block": "{% set x %}" + LOOP + "x" * 1000 + END + "{% endset %}",
    "doubled by ~": NS + "{% set ns.a = ns.a ~ ns.a %}{% endfor %}{{ ns.a }}",
    "doubled by +": NS + "{% set ns.a = ns.a + ns.a %}{% endfor %}{{ ns.a }}",
    "doubled by join": NS + "{% set ns.a = [ns.a, ns.a]|join %}{% endfor %}{{ ns.a }}",
    "doubled by str.join": NS + "{% set ns.a = ns.a.join([ns.a, ns.a, ns.a]) %}{% endfor %}{{ ns.a }}",
    "doubled by replace": NS + "{% set ns.a = ns.a|replace('x', 'xx') %}{% endfor %}{{ ns.a }}",
    "shared lists": NS + "{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l }}",
    "shared tuples": NS + "{% set ns.t = (ns.t, ns.t) %}{% endfor %}{{ {ns.t: 1} }}",
    "slices": "{% set s = 'a' * 1000000 %}{% for i in range(99999) %}{% set x = s[i:] %}{% endfor %}",
    "big split": "{{ ('a ' * 3000000).split(' ')|length }}",
    "big list": "{{ ('é' * 4000000)|list }}",
    "strip": "{{ ('a' * 2000000).strip(('b' * 2000000) ~ 'a') }}",
    "trim": "{{ ('a' * 2000000)|trim(('b' * 2000000) ~ 'a') }}",
    "comparisons": "{% set s = 'a' * 1000000 %}{% set t = 'a' * 1000000 %}"
    + LOOP
    + "{% if s == t %}{% endif %}"
    + END,
    "searches": "{% set l = range(90000)|list %}" + LOOP + "{% if 'a' in l %}{% endif %}" + END,
    "sorts": "{% set l = range(90000)|list %}{% for i in range(100000) %}{{ l|sort|first }}{% endfor %}",
    "sum of lists": "{{ range(100000)|map('string')|map('list')|sum(start=[]) }}",
    "own filter by name": "{{ [1]|map('each!', -10**9)|list }}",
    "deep parentheses": "{{ " + "(" * 900 + "1" + ")" * 900 + " }}",
    "deep lists": "{{ " + "[" * 900 + "]" * 900 + " }}",
    "deep attributes": "{{ a" + ".a" * 4000 + " }}",
    "deep loops": "{% for a in 'b' %}" * 500 + "{% endfor %}" * 500,
    "long chain": "{{ range(100000)" + "|map('abs')" * 400 + "|sum }}",
    "long sum": "{{ " + "+".join(["1"] * 4000) + " }}",
    "many tags": "{{ 1 }}" * 30_000,
    "open tags": "{{" * 100_000,
    "escapes": "{{ '" + "\\" * 260_000,
    "digits": "{{ " + "9" * 260_000 + " }}",
    "self": "{{ self }}",
    "method as text": "{{ 'a'.upper }}",
}
PROBE = """
import json, resource, sys, time
from llmctl.core.errors import ConfigError
from llmctl.prompts.model import Template
from llmctl.prompts.render import render
found = {}
for name, body in json.load(sys.stdin).items():
    started = time.process_time()
    try:
        render(Template(name="t", source="t.md", body=body), {})
        outcome = "rendered"
    except ConfigError as error:
        outcome = error.exit_code
    found[name] = [outcome, time.process_time() - started]
# Not ru_maxrss: it starts at what the process that forked this one had in memory.
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps([found, int(peak.split()[1]) // 1024]))
"""


def show(body: str, **values: object) -> str:
    return str(render(Template(name="t", source="t.md", body=body), values)[-1]["content"])


def test_hostile_templates_end_in_time_and_memory() -> None:
    """A template from a stranger must not hang or fill a CI machine: exit 3, 2 s and 200 MB at most."""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", PROBE],
        input=json.dumps(HOSTILE),
        capture_output=True,
        text=True,
        cwd=root,
        check=True,
    )
    outcomes, megabytes = json.loads(done.stdout)
    assert {name: outcome for name, (outcome, _) in outcomes.items() if outcome != 3} == {}
    assert {name: seconds for name, (_, seconds) in outcomes.items() if seconds > 2} == {}
    assert megabytes < 200


def test_bounds_hold_in_threads() -> None:
    """Batches render in threads: the bounds may not depend on signals, nor leak between renderings."""
    outcomes: list[str] = []

    def work(body: str) -> None:
        try:
            outcomes.append(show(body, a="x"))
        except TemplateError as error:
            outcomes.append(error.message)

    bodies = [HOSTILE["text times"], "{{ a }}", HOSTILE["long output"], "{{ a }}"]
    threads = [threading.Thread(target=work, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes)[-2:] == ["x", "x"]
    assert sum("grows beyond" in outcome for outcome in outcomes) == 2


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("{{ name|upper|trim }}", "ADA"),
        ("{% for i in items %}{{ loop.index }}:{{ i }} {% endfor %}", "1:b 2:a"),
        ("{{ items|sort|join(', ') }}", "a, b"),
        ("{{ items|map('upper')|join }}", "BA"),
        ("{{ rows|map(attribute='n')|sum }} {{ rows|sum(attribute='n') }}", "3 3"),
        ("{{ rows|selectattr('n', 'gt', 1)|list|length }}", "1"),
        ("{{ rows|tojson }}", '[{"n": 1}, {"n": 2}]'),
        ("{% for k, v in rows[0].items() %}{{ k }}={{ v }}{% endfor %}", "n=1"),
        ("{{ '%.2f €'|format(price) }}", "3.14 €"),
        ("{{ price|round(1) }} {{ 7 // 2 }} {{ 2 ** 10 }} {{ 7 % 3 }}", "3.1 3 1024 1"),
        ("{{ 'a b  c'.split()|length }} {{ 'x,y'.split(',')[1] }}", "3 y"),
        ("{{ 'one two three'|truncate(9) }}", "one two…"),
        ("{{ 'a\nb'|indent(2) }}", "a\n  b"),
        ("{{ 'a\nb\n'.splitlines()|length }} {{ 'one two'|wordcount }}", "2 2"),
        ("{% set x = 'a' ~ 1 ~ none %}{{ x }} {{ [1, 2] + [3] }} {{ '-' * 3 }}", "a1None [1, 2, 3] ---"),
        ("{{ nothing|default('d') }}{{ ' yes' if name == 'Ada' else ' no' }}", "d yes"),
        (
            "{% set ns = namespace(n=0) %}{% for i in items %}{% set ns.n = ns.n + 1 %}{% endfor %}"
            "{{ ns.n }}",
            "2",
        ),
        ("{% raw %}{{ not me }}{% endraw %}", "{{ not me }}"),
        ("{{ name[:2] }} {{ items[-1] }} {{ 'd' in name }}", "Ad a True"),
        ("{{ ', '.join(items) }} {{ name.lower().replace('a', 'o') }}", "b, a odo"),
    ],
)
def test_ordinary_templates_work(body: str, expected: str) -> None:
    """The bounds must not cost what people write every day."""
    values = {"name": "Ada", "items": ["b", "a"], "rows": [{"n": 1}, {"n": 2}], "price": 3.14159}
    assert show(body, **values) == expected


def test_megabytes_of_content_pass() -> None:
    """A long document is no attack: what the user gives is written once, as it is."""
    text = "word " * 1_000_000
    assert len(show("Read:\n{{ content }}", content=text)) > 4_900_000
