"""Templates and judge files that are bombs: refused in one line, soon, and in little memory."""

import resource
import time
from pathlib import Path

import pytest

from simfarm.backends.local.chat_template import render_chat
from simfarm.data.records import Comparison
from simfarm.errors import InputError
from simfarm.judges.template import compile_template
from simfarm.text import sandbox

BODY = "{{ instruction }}|{{ first }}|{{ second }}"
DOUBLED = "{% for i in range(60) %}{% set ns.x = NEXT %}{% endfor %}{{ ns.x }}"
ONCE_AND_AGAIN = "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}"
BOMBS = {
    "a product": "{{ 'a' * 10**9 }}",
    "a product of lists": "{{ ([1] * 10**9) | length }}",
    "a product turned round": "{{ 10**9 * first }}",
    "a power": "{{ 10 ** (10 ** 9) }}",
    "a number squared": "{% set ns = namespace(x=9) %}" + DOUBLED.replace("NEXT", "ns.x * ns.x"),
    "center": "{{ first | center(10**9) }}",
    "center of a constant": "{{ 'x' | center(1000000000) }}",
    "a wide field": "{{ '%1000000000d' % 1 }}",
    "a wide field, by argument": "{{ '%*d' % (1000000000, 1) }}",
    "format": "{{ '%1000000000d' | format(1) }}",
    "str.format": "{{ '{:1000000000}'.format(1) }}",
    "str.format, nested": "{{ '{:{w}}'.format(1, w=1000000000) }}",
    "format_map": "{{ '{a:1000000000}'.format_map({'a': 1}) }}",
    "ljust": "{{ first.ljust(10**9) }}",
    "zfill": "{{ first.zfill(1000000000) }}",
    "expandtabs": "{{ '\t'.expandtabs(1000000000) }}",
    "to_bytes": "{{ (5).to_bytes(10**9, 'big') | length }}",
    "a product of bytes": "{{ 'a'.encode() * 10**9 }}",
    "a wide field of bytes": "{{ ('%1000000000d'.encode() % 1) | length }}",
    "translate": "{{ ('a' * 10**6).translate({97: 'b' * 10**6}) }}",
    "replace": "{{ ('a' * 10**6) | replace('a', 'b' * 10**6) }}",
    "str.replace": "{{ ('a' * 10**6).replace('a', 'b' * 10**6) }}",
    "indent": "{{ first | indent(10**9, true) }}",
    "wordwrap": "{{ ('a ' * 10**6) | wordwrap(1, wrapstring='b' * 10**6) }}",
    "join": "{{ range(100000) | join('a' * 10**6) }}",
    "str.join": "{{ ('a' * 10**6).join(['b'] * 10**6) }}",
    "map and join": "{{ range(100000) | map('string') | map('center', 10**6) | join }}",
    "batch": "{{ [1] | batch(10**9, 0) | list | length }}",
    "slice": "{{ [1] | slice(10**9) | list | length }}",
    "round": "{{ 1.5 | round(10**9) }}",
    "tojson": "{{ [[1]] | tojson(indent=10**9) }}",
    "an addition": "{% set ns = namespace(x='ab') %}" + DOUBLED.replace("NEXT", "ns.x + ns.x"),
    "lists added": "{% set ns = namespace(x=[1]) %}" + DOUBLED.replace("NEXT", "ns.x + ns.x"),
    "~": "{% set ns = namespace(x='ab') %}" + DOUBLED.replace("NEXT", "ns.x ~ ns.x"),
    "a block set": "{% set ns = namespace(x='ab') %}{% for i in range(60) %}"
    "{% set ns.x %}{{ ns.x }}{{ ns.x }}{% endset %}{% endfor %}",
    "lists in lists": "{% set ns = namespace(x=[1]) %}" + DOUBLED.replace("NEXT", "[ns.x, ns.x]"),
    "lists in lists as JSON": "{% set ns = namespace(x=[1]) %}" + DOUBLED.replace("NEXT", "[ns.x, ns.x] | tojson"),
    "much text": "{% for i in range(100000) %}{{ 'a' * 1000 }}{% endfor %}",
    "loops in loops": "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
    "loops in loops, filtered": "{% for i in range(100000) if i < 0 or range(100000) | sum > 1 %}{% endfor %}",
    "a macro that calls itself": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "a macro that calls itself twice": ONCE_AND_AGAIN,
    "a recursive loop": "{% for x in [1, 2] recursive %}{{ loop([1, 2]) if loop.depth < 60 }}{% endfor %}",
    "map of maps": "{% for i in range(100000) %}{{ range(100000) | map('abs') | sum }}{% endfor %}",
}
BROKEN = {
    "nested brackets": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "nested loops": "{% for x in first %}" * 40 + "{% endfor %}" * 40,
    "a long number": "{{ " + "9" * 5000 + " }}",
    "a long sum": "{{ " + "+".join(["1"] * 20000) + " }}",
    "nested lists": "{{ " + "[" * 5000 + "]" * 5000 + " }}",
}


@pytest.fixture(autouse=True)
def little_memory():  # type: ignore[no-untyped-def]
    """A bomb that goes off ends in MemoryError, not in the machine's."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 700 * 2**20, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def user(text: str) -> str:
    return f"{{% block user %}}{BODY}{text}{{% endblock %}}"


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_a_template_that_asks_for_too_much_is_refused(bomb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "SECONDS", 0.3)
    started = time.thread_time()
    with pytest.raises(InputError, match=r"^t cannot be rendered: ") as caught:
        compile_template(user(bomb), (), "t").render(Comparison("i", "a", "b"), "12")
    assert "\n" not in str(caught.value)
    assert time.thread_time() - started < 5


@pytest.mark.parametrize("source", BROKEN.values(), ids=BROKEN)
def test_a_template_that_cannot_be_read_is_refused(source: str) -> None:
    with pytest.raises(InputError, match=r"^t.* cannot be (read|rendered): ") as caught:
        compile_template(user(source), (), "t").render(Comparison("i", "a", "b"), "12")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("mishap", ["{{ '{0}'.format() }}", "{{ '{x}'.format() }}", "{{ first | dictsort }}"])
def test_a_template_that_fails_is_one_line_and_no_defect(mishap: str) -> None:
    with pytest.raises(InputError, match=r"^t cannot be rendered: "):
        compile_template(user(mishap), (), "t").render(Comparison("i", "a", "b"), "12")


HONEST = {
    "{{ first | indent(4) }}": "a",
    "{{ '=' * 10 }} {{ '-' | center(5) }}": "==========   -  ",
    "{{ '%s: %.2f' | format('x', 1.5) }} {{ '%d %%' % 5 }}": "x: 1.50 5 %",
    "{{ ['a', 1, none] | join(', ') }} {{ ', '.join(['a', 'b']) }}": "a, 1, None a, b",
    "{{ 'a' ~ 1 ~ first }} {{ {'b': [1, '<']} | tojson }}": 'a1a {"b": [1, "\\u003c"]}',
    "{% for x in [3, 1] %}{{ loop.index }}/{{ loop.length }}{{ x }}{{ ',' if not loop.last }}{% endfor %}": "1/23,2/21",
    "{% for k, v in {'a': 1}.items() if v %}{{ k }}{% else %}none{% endfor %}": "a",
    "{% macro m(x) %}<{{ x }}>{% endmacro %}{{ m(1) }}{{ 12345678901 }}{{ 12345.6 | round }}": "<1>1234567890112346.0",
    "{{ 2 ** 10 + 3 * 4 }} {{ [1] + [2] }} {{ '{}-{}'.format(1, 2) }}": "1036 [1, 2] 1-2",
    "{{ first | replace('a', 'bb') | upper | wordwrap(40) | truncate(2000) }}": "BB",
}


@pytest.mark.parametrize("source", HONEST)
def test_an_honest_template_renders_as_in_jinja(source: str) -> None:
    (sent,) = compile_template(user(source), (), "t").render(Comparison("i", "a", "b"), "12")
    assert sent["content"] == f"i|a|b{HONEST[source]}"


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_a_chat_template_that_asks_for_too_much_is_refused(bomb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "SECONDS", 0.3)
    source = bomb.replace("first", "messages[0].content")
    with pytest.raises(InputError, match=r"^the chat template cannot be rendered: "):
        render_chat(source, [{"role": "user", "content": "a"}], tokens={}, arguments={})


def test_a_wide_date_is_refused() -> None:
    with pytest.raises(InputError, match="strftime is too wide"):
        render_chat("{{ strftime_now('%1000000000Y') }}", [], tokens={}, arguments={})
