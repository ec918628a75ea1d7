"""Whatever the template and the variables: rendered as Jinja2 does, or refused."""

from __future__ import annotations

import jinja2
import jinja2.sandbox
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.mail.template import (
    BadTemplate,
    BadVariables,
    Meter,
    Templates,
    TemplateSet,
)
from penstock.mail.template_meter import OUTPUT_CHARS_MAX
from penstock.mail.template_variables import check_variables

PIECES = [
    "{{", "}}", "{%", "%}", "{#", "#}", "{{ a }}", "{{ b.c }}", "{% if a %}", "{% else %}",
    "{% endif %}", "{% for x in l %}", "{% endfor %}", "{{ x }}", "{% set a = b %}", "a", "\n",
    "{{ l|join(',') }}", "{{ loop.index }}", "'", "(", ")", "[", "]", "|", "~", "*", "**", "%",
    "{{ a|upper }}", "-%}", "{%-", "is", "not", "in", "\0", "é", "\ud800", "range(", "9", "set",
    "{% raw %}",
]  # fmt: skip
sources = st.text(max_size=60) | st.lists(st.sampled_from(PIECES), max_size=25).map(" ".join)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)
names = st.sampled_from(["a", "b", "l", "x"]) | st.text(max_size=4)
variables = st.dictionaries(names, values, max_size=6)

FILTERS = [
    "upper", "lower", "trim", "title", "capitalize", "length", "first", "last", "int", "e", "join",
    "string", "default('z')", "truncate(5)", "replace('a', 'b')", "sum", "list", "max",
    "sort", "unique", "batch(2)", "round", "float", "abs", "urlencode", "safe", "join(b)", "tojson",
    "replace('x', b)",
]  # fmt: skip
OPERATORS = ["+", "-", "*", "/", "//", "%", "~", "==", "!=", "<", ">=", "and", "or", "in", "not in"]
leaves = ["a", "b", "n", "l", "d.k", "d['k']", "l[0]", "l[-1:]", "a[1:]", "1", "2.5", "'t'", "true"]


def larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, st.sampled_from(OPERATORS), inner).map(lambda p: f"({' '.join(p)})"),
        st.tuples(inner, st.sampled_from(FILTERS)).map(lambda p: f"({p[0]})|{p[1]}"),
        st.tuples(inner, inner, inner).map(lambda p: f"({p[0]} if {p[1]} else {p[2]})"),
        st.tuples(inner, inner).map(lambda p: f"[{p[0]}, {p[1]}]"),
        inner.map(lambda p: f"(not {p})"),
    )


expressions = st.recursive(st.sampled_from(leaves), larger, max_leaves=6)
GIVEN = {"a": "Ab c", "b": "<x>", "n": 3, "l": ["p", "q"], "d": {"k": "v"}}
REAL = jinja2.sandbox.ImmutableSandboxedEnvironment(
    autoescape=True, undefined=jinja2.StrictUndefined, keep_trailing_newline=True
)


@settings(max_examples=300, deadline=None)
@given(sources, variables)
def test_anything_renders_or_is_refused(source: str, given_: dict[str, object]) -> None:
    meter = Meter()
    try:
        check_variables(given_)
        compiled = TemplateSet(Templates(html=source)).html
        assert compiled is not None
        assert len(compiled.render(given_, meter)) <= OUTPUT_CHARS_MAX + len(source)
    except (BadTemplate, BadVariables):
        pass
    assert meter.chars_left <= OUTPUT_CHARS_MAX


@settings(max_examples=300, deadline=None)
@given(expressions)
def test_what_it_renders_is_what_jinja2_renders(expression: str) -> None:
    """Refusing what Jinja2 would do is allowed; doing something else is not."""
    source = f"{{% for i in [1, 2] %}}{{{{ {expression} }}}}{{{{ i }}}}{{% endfor %}}\n"
    compiled = TemplateSet(Templates(html=source)).html
    assert compiled is not None
    try:
        rendered = compiled.render(GIVEN, Meter())
    except BadVariables:
        return
    try:
        expected = REAL.from_string(source).render(GIVEN)
    except TypeError:  # a number has a text here in every filter of texts
        return
    assert rendered == expected
