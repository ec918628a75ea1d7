"""Templates: what they may say, how their errors read, and what a stranger cannot do with them."""

from __future__ import annotations

import pytest

from penstock.mail.template import (
    BadTemplate,
    BadVariables,
    Meter,
    TemplateCache,
    Templates,
    TemplateSet,
    WholeTemplate,
)

VARIABLES = {
    "name": "Ivan",
    "markup": "<b>",
    "count": 3,
    "none": None,
    "long": "x" * 200_000,
    "numbers": list(range(9000)),
    "order": {"id": 7, "items": [{"title": "Pen", "price": 2.5}, {"title": "Ink", "price": 1}]},
}


def html(source: str) -> str:
    compiled = TemplateSet(Templates(html=source)).html
    assert compiled is not None
    return compiled.render(VARIABLES, Meter())


def text(source: str) -> str:
    compiled = TemplateSet(Templates(text=source)).text
    assert compiled is not None
    return compiled.render(VARIABLES, Meter())


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("Hello {{ name }}!\n", "Hello Ivan!\n"),
        ("no tags at all { } %} }}", "no tags at all { } %} }}"),
        ("{{ markup }}{{ markup|safe }}{{ '<' ~ markup|safe }}", "&lt;b&gt;<b>&lt;<b>"),
        ("{{ none }}|{{ true }}|{{ 1.5 }}|{{ 7 // 2 }}|{{ 7 % 4 }}", "|True|1.5|3|3"),
        ("{% if count > 2 and name in ['Ivan', 'Ann'] %}a{% else %}b{% endif %}", "a"),
        ("{% for i in order.items %}{{ loop.index }}/{{ loop.length }} {{ i.title }};{% endfor %}",
         "1/2 Pen;2/2 Ink;"),
        ("{% for i in order.items if i.price > 2 %}{{ i.title }}{% else %}none{% endfor %}", "Pen"),
        ("{% for k, v in order.items[0].items() %}{{ k }}={{ v }} {% endfor %}",
         "title=Pen price=2.5 "),
        ("{% for n in range(3) %}{{ loop.cycle('a', 'b') }}{% endfor %}", "aba"),
        ("{% set total = order.items|sum(attribute='price') %}{{ '%.2f'|format(total) }}", "3.50"),
        ("{% set x %}<{{ markup }}>{% endset %}{{ x }}", "<&lt;b&gt;>"),
        ("{{ nope|default('D') }}{{ nope.a.b|d('E') }}{{ order.nope|default('F') }}", "DEF"),
        ("{{ 'y' if nope is defined else 'n' }}{{ 'y' if nope is defined }}", "n"),
        ("{{ order.items|map(attribute='title')|join(', ') }}", "Pen, Ink"),
        ("{{ order.items|selectattr('price', 'eq', 1)|map(attribute='title')|first }}", "Ink"),
        ("{{ order.items|sort(attribute='price')|map(attribute='title')|join }}", "InkPen"),
        ("{{ numbers[2:5]|join('-') }} {{ numbers[-1] }} {{ name[0] }} {{ order['id'] }}",
         "2-3-4 8999 I 7"),
        ("{{ long|truncate(8) }} {{ 'one two three'|truncate(10, leeway=0) }}", "xxxxx... one..."),
        ("{% for row in [1, 2, 3]|batch(2, 0) %}{{ row|join }};{% endfor %}", "12;30;"),
        ("{{ '<b>%s</b> %d'|safe|format(markup, 3) }}{{ '<%s>'|format(name) }}",
         "<b>&lt;b&gt;</b> 3&lt;Ivan&gt;"),
        ("{{ order|first }}{{ order|last }}{{ name|first }}{{ name|last }}", "iditemsIn"),
        ("{{ 'a\nb'|e|replace('\n', '<br>'|safe) }}", "a<br>b"),
        ("{{ {'a': '</script>'}|tojson }}", '{"a": "\\u003c/script\\u003e"}'),
        ("{{ 'a b&c'|urlencode }} {{ {'q': 'a b'}|urlencode }}", "a%20b%26c q=a%20b"),
        ("{{ [3, 1]|max }}{{ [3, 1]|min(attribute=none) }}{{ [1, 1, 2]|unique|length }}", "312"),
        ("{{ '12'|int + 1 }}{{ 'x'|int }}{{ '1.5'|float }}{{ 2.567|round(1) }}{{ -1|abs }}",
         "1301.52.61"),
        ("{{ name.upper() }}{{ ' a '.strip() }}{{ order.get('z', 1) }}", "IVANa1"),
        ("{# comment #}{% raw %}{{ a }}{% endraw %}{%- if true -%}  x  {%- endif -%}", "{{ a }}x"),
        ("{% set a, b = 1, 2 %}{{ a + b }}{{ name|lower|title|reverse }}", "3navI"),
    ],
)  # fmt: skip
def test_what_is_rendered(source: str, expected: str) -> None:
    assert html(source) == expected


def test_only_html_escapes() -> None:
    assert text("{{ markup }} & {{ name }}") == "<b> & Ivan"
    assert html("{{ markup }} & {{ name }}") == "&lt;b&gt; & Ivan"


@pytest.mark.parametrize(
    ("source", "line", "message"),
    [
        ("a\n\n{{ name }}\n{{ first_name }}", 4,
         "there is no variable 'first_name'; give it, or write first_name|default('')"),
        ("{{ order.total }}", 1, "no variable 'total'"),
        ("\n{% if nope %}{% endif %}", 2, "no variable 'nope'"),
        ("{% for x in nope %}{% endfor %}", 1, "no variable 'nope'"),
        ("{{ nope.a.b }}", 1, "no variable 'nope.a.b'"),
        ("{{ name ~\n nope }}", 1, "no variable 'nope'"),
        ("{{ numbers }}", 1, "needs a text and got a list; loop over it, or use join"),
        ("{{ name * 3 }}", 1, "needs a number and got a text"),
        ("{{ 1 / 0 }}", 1, "a division by zero"),
        ("{{ name < 3 }}", 1, "cannot compare a text with a number"),
        ("{{ []|min }}", 1, "empty list"),
        ("{{ name.items() }}", 1, "a text has no items()"),
        ("\n\n{{ range(1, 5, 0) }}", 3, "zero"),
    ],
)  # fmt: skip
def test_errors_of_rendering_name_the_line(source: str, line: int, message: str) -> None:
    with pytest.raises(BadVariables) as caught:
        html(source)
    assert (caught.value.field, caught.value.line) == ("html", line)
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("source", "line", "message"),
    [
        ("\n{{ name", 2, "unexpected end of template"),
        ("\n\n{% fi %}", 3, "unknown tag 'fi'"),
        ("{{ a|nope }}", 1, "no filter named 'nope'; there are: abs, batch"),
        ("{{ a is nope }}", 1, "no test named 'nope'; there are: boolean"),
        ("{{ a|truncate(lenght=3) }}", 1, "filter truncate: got an unexpected keyword"),
        ("{{ a|operator for }}", 1, "expected token"),
        ("{{ a|attr('x') }}", 1, "no filter named 'attr'"),
        ("{{ 9 ** 9 ** 9 }}", 1, "** is not available"),
        ("{{ 1 < 2 < 3 }}", 1, "compare two values at a time"),
        ("\n{% include 'x' %}", 2, "include is not available"),
        ("{% import 'x' as y %}", 1, "import is not available"),
        ("{% extends 'x' %}", 1, "extends is not available"),
        ("{% block a %}{% endblock %}", 1, "block is not available"),
        ("{% macro a() %}{% endmacro %}", 1, "macro is not available"),
        ("{% filter upper %}a{% endfilter %}", 1, "filter blocks are not available"),
        ("{% with %}{% endwith %}", 1, "with is not available"),
        ("{% autoescape false %}{% endautoescape %}", 0, "autoescape is not available"),
        ("{% for a in b recursive %}{% endfor %}", 1, "recursive loops are not available"),
        ("{% set a.b = 1 %}", 1, "what is set must be a name"),
        ("{{ name() }}", 1, "name cannot be called"),
        ("{{ cycler(1) }}{{ lipsum() }}", 1, "cycler cannot be called"),
        ("{{ ''.format(1) }}", 1, "format cannot be called"),
        ("{{ ''.ljust(9) }}", 1, "ljust cannot be called"),
        ("{{ a|upper(*b) }}", 1, "* and ** are not available"),
        ("{{ {a: 1} }}", 1, "a key must be a text in quotes"),
        ("{{ 1e999 }}", 1, "a number that is too large"),
    ],
)  # fmt: skip
def test_errors_of_templates_name_the_line(source: str, line: int, message: str) -> None:
    with pytest.raises(BadTemplate) as caught:
        html(source)
    assert (caught.value.field, caught.value.line) == ("html", line)
    assert message in caught.value.message


DEEP = {
    "brackets": "{{ " + "(" * 50_000 + "1",
    "lists": "{{ " + "[" * 17 + "]" * 17 + " }}",
    "not": "{{ " + "not " * 50_000 + "1 }}",
    "minus": "{{ " + "-" * 50_000 + "1 }}",
    "sums": "{{ 1" + "+1" * 50_000 + " }}",
    "a long sum": "{{ 1" + "+1" * 60 + " }}",
    "attributes": "{{ a" + ".a" * 60 + " }}",
    "filters": "{{ a" + "|trim" * 60 + " }}",
    "conditions": "{{ " + "1 if 0 else " * 48 + "1 }}",
    "ifs": "{% if 1 %}" * 3000,
    "loops": "{% for a in b %}" * 17 + "{% endfor %}" * 17,
    "sets": "{% set x %}" * 1999,
    "filtered sets": "{% set x|default(a=1) %}" * 1999,
    "elifs": "{% if 0 %}" + "{% elif 0 %}" * 10_000 + "{% endif %}",
    "tags": "{{ a }}" * 10_000,
    "nodes": ("{{ [" + "1," * 90 + "] }}") * 90,
    "digits": "{{ " + "9" * 100_000 + " }}",
    "hexadecimal": "{{ 0x" + "f" * 100_000 + " }}",
    "size": "{{ a }}" + "x" * 300_000,
    "comments": "{#" * 50_000,
    "raw": "{% raw %}" * 20_000,
    "braces": "{" * 100_000,
}


@pytest.mark.parametrize("name", DEEP)
def test_a_template_cannot_drive_the_compiler_deep(name: str) -> None:
    with pytest.raises(BadTemplate):
        html(DEEP[name])


def test_the_templates_of_a_message_have_their_limits_together() -> None:
    headers = tuple((f"X-{n}", "{{ a }}" * 30) for n in range(100))
    with pytest.raises(BadTemplate, match="more than 2000 tags together"):
        TemplateSet(Templates(headers=headers))
    with pytest.raises(BadTemplate, match="more than 100"):
        TemplateSet(Templates(headers=(("X", "x"),) * 101))
    with pytest.raises(BadTemplate, match="characters together"):
        TemplateSet(Templates(text="{{ a }}" + "x" * 200_000, html="{{ a }}" + "x" * 100_000))


def test_what_is_just_within_the_limits_compiles() -> None:
    assert html("{{ " + "(" * 16 + "1" + ")" * 16 + " }}") == "1"
    assert html("{% if 1 %}" * 16 + "x" + "{% endif %}" * 16) == "x"
    assert html("{{ 1" + "+1" * 44 + " }}") == "45"
    assert html("{# a #}" * 5000 + "{{ count }}" * 1900) == "3" * 1900


BOMBS = {
    "loops": "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}",
    "empty loops": "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
    "five loops": "{% for a in range(9) %}" * 10 + "{% endfor %}" * 10,
    "wide loop": "{% for a in range(9999) %}" + "{% if a %}{% endif %}" * 50 + "{% endfor %}",
    "loop text": "{% for a in range(9999) %}" + "y" * 5000 + "{% endfor %}",
    "loop output": "{% for a in range(9999) %}{{ long }}{% endfor %}",
    "loop over filters": "{% for a in range(4000) %}{% if long|upper %}{% endif %}{% endfor %}",
    "loop over equals": "{% for a in range(4000) %}{% if long == long %}{% endif %}{% endfor %}",
    "loop over searches": "{% for a in range(4000) %}{% if 'z' in long %}{% endif %}{% endfor %}",
    "loop over slices": "{% for a in range(4000) %}{% if long[::-1] %}{% endif %}{% endfor %}",
    "loop over tests": "{% for a in range(9999) if a > long|length %}{% endfor %}" * 5,
    "doubling text": "{% set x = 'ab' %}" + "{% set x = x ~ x %}" * 60,
    "adding text": "{% set x = 'ab' %}" + "{% set x = x + x %}" * 60,
    "doubling blocks": "{% set x %}ab{% endset %}" + "{% set x %}{{ x }}{{ x }}{% endset %}" * 60,
    "doubling lists": "{% set x = [1] %}" + "{% set x = x + x %}" * 60,
    "nesting lists": "{% set x = [1] %}" + "{% set x = [x, x] %}" * 60 + "{{ x == x }}",
    "nesting as JSON": "{% set x = [1] %}" + "{% set x = [x, x] %}" * 60 + "{{ x|tojson }}",
    "nesting mappings": "{% set x = {'a': 1} %}" + "{% set x = {'a': x, 'b': x} %}" * 60
    + "{{ x|tojson }}",
    "a deep list": "{% set x = [1] %}" + "{% set x = [x] %}" * 1500 + "{{ x == [x] }}",
    "multiplied text": "{{ 'a' * 1000000000 }}",
    "multiplied lists": "{{ [1] * 1000000000 }}",
    "large numbers": "{% set x = 4000000000 %}" + "{% set x = x * x %}" * 20,
    "wide format": "{{ '%1000000000d'|format(1) }}",
    "precise format": "{{ '%.1000000000f'|format(1) }}",
    "starred format": "{{ '%*d'|format(1000000000, 1) }}",
    "replace": "{{ long|replace('x', long) }}",
    "join": "{{ numbers|join(long) }}",
    "range": "{{ range(1000000000)|list }}",
    "batch": "{{ [1]|batch(1000000000, 'x') }}",
    "list of text": "{{ long|list|length }}",
    "split": "{{ long.split('x')|length }}",
    "strip": "{{ long.strip(long) }}",
    "a long path": "{% set x = 'a.' %}" + "{% set x = x ~ x %}" * 16 + "{{ numbers|map(x) }}",
    "sort": "{% for a in range(50) %}{% if numbers|sort %}{% endif %}{% endfor %}",
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_goes_out(name: str) -> None:
    with pytest.raises(BadVariables):
        html(BOMBS[name])


ESCAPES = [
    "{{ ''.__class__.__mro__ }}", "{{ name['__class__'] }}",
    "{{ [name]|map(attribute='__class__') }}",
    "{{ self }}", "{{ self._TemplateReference__context }}", "{{ range.__globals__ }}",
    "{{ context }}", "{{ environment }}", "{{ __name__ }}", "{{ resolve }}", "{{ l_0_name }}",
    "{% for a in numbers[:2] %}{{ loop._undefined }}{% endfor %}",
    "{% for a in numbers[:2] %}{{ loop.__class__ }}{% endfor %}",
    "{% for a in numbers[:2] %}{{ loop }}{% endfor %}",
    "{{ nope._undefined_name }}", "{{ markup|safe.__html__ }}", "{{ order.items.append }}",
    "{{ '%(a)s'|format(name) }}",
]  # fmt: skip


@pytest.mark.parametrize("source", ESCAPES)
def test_nothing_of_python_is_reached(source: str) -> None:
    with pytest.raises((BadVariables, BadTemplate)):
        html(source)


WHOLE = "Subject: For {{ name }}\r\nX-A: {{ a }}\r\n\r\nHello {{ name }},\r\n{{ a }}{{ b }}\r\n"


def test_a_whole_message_keeps_its_header() -> None:
    whole = WholeTemplate("content", WHOLE)
    rendered = whole.render({"name": "I\r\nBcc: x@y", "a": "1\n\n2", "b": "\n3"}, Meter())
    assert rendered == "Subject: For I Bcc: x@y\nX-A: 1 2\n\nHello I\r\nBcc: x@y,\n1\n\n2\n3\n"
    with pytest.raises(BadVariables, match="control character"):
        whole.render({"name": "a\0", "a": "", "b": ""}, Meter())
    with pytest.raises(BadVariables, match="'b'") as caught:
        whole.render({"name": "a", "a": ""}, Meter())
    assert (caught.value.field, caught.value.line) == ("content", 5)
    with pytest.raises(BadTemplate) as refused:
        WholeTemplate("content", WHOLE + "{% fi %}")
    assert refused.value.line == 6
    with pytest.raises(BadTemplate):
        WholeTemplate("content", "Subject: {% if a %}a\n\nb{% endif %}")


def test_a_header_without_a_body() -> None:
    assert WholeTemplate("content", "A: {{ a }}\n").render({"a": "b\nc"}, Meter()) == "A: b c\n"


def test_the_same_steps_everywhere() -> None:
    """The budget is a number: what takes one more than it is refused, every time."""
    compiled = TemplateSet(Templates(html="{% for a in [1, 2, 3] %}{{ a }}{% endfor %}")).html
    assert compiled is not None
    meter = Meter()
    compiled.render({}, meter)
    used = Meter().steps_left - meter.steps_left
    assert compiled.render({}, Meter(used)) == "123"
    with pytest.raises(BadVariables, match="too many steps"):
        compiled.render({}, Meter(used - 1))


def test_the_text_that_is_written_is_counted() -> None:
    compiled = TemplateSet(Templates(text="{% for a in [1, 2] %}ab{{ n }}{% endfor %}")).text
    assert compiled is not None
    assert compiled.render({"n": "xy"}, Meter(output_chars_max=8)) == "abxyabxy"
    with pytest.raises(BadVariables, match="too much text"):
        compiled.render({"n": "xy"}, Meter(output_chars_max=7))


def test_a_cache_keeps_what_was_used_last() -> None:
    cache = TemplateCache(sets_max=2)
    one, two, three = (Templates(text=f"{{{{ a }}}}{n}") for n in range(3))
    first = cache.get(one)
    cache.get(two)
    assert cache.get(one) is first
    cache.get(three)
    assert cache.get(one) is first
    assert (len(cache), cache.hits, cache.misses) == (2, 2, 3)
    cache.get(two)
    assert cache.misses == 4


def test_a_cache_is_bounded_by_size_too() -> None:
    cache = TemplateCache(chars_max=1000)
    for n in range(10):
        cache.get(Templates(text="x" * 300 + str(n)))
    assert (len(cache), cache.chars) == (3, 903)
    cache.get(Templates(text="x" * 2000))
    assert (len(cache), cache.chars) == (0, 0)


def test_templates_that_differ_have_different_keys() -> None:
    keys = {
        Templates(text="a").key(),
        Templates(html="a").key(),
        Templates(headers=(("a", "b"),)).key(),
        Templates(headers=(("ab", ""),)).key(),
        Templates(text="").key(),
        Templates().key(),
    }
    assert len(keys) == 6
