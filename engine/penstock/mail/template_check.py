"""Templates are read, checked and made to pay before they become code.

Jinja2 parses; then only what is listed here may stay, and everything that can take long or grow
large (operators, comparisons, slices, calls, loops) becomes a call of a function of ours that pays
from the rendering's budget first. So no attribute of a Python object is ever reached and no Python
operator runs on what it was not meant for. Nesting and sizes have limits, so that neither the
parser nor the compiler can be driven deep.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from inspect import signature
from math import isfinite
from typing import Any

from jinja2 import Environment, TemplateSyntaxError, nodes

from penstock.mail.template_filters import FILTERS, TESTS
from penstock.mail.template_meter import INTEGER_MAX
from penstock.mail.template_operators import METHODS, OPERATOR_PREFIX

SOURCE_CHARS_MAX = 256 << 10
TAGS_MAX = 2000
TAG_WORDS_MAX = 200
BRACKETS_MAX = 16
BLOCKS_MAX = 16
NODES_MAX = 8000
DEPTH_MAX = 50

_PLAIN_NODES = (
    nodes.Output, nodes.If, nodes.For, nodes.Assign, nodes.AssignBlock, nodes.TemplateData,
    nodes.Name, nodes.Const, nodes.List, nodes.Dict, nodes.Pair, nodes.CondExpr, nodes.Filter,
    nodes.Test, nodes.Getitem, nodes.Getattr, nodes.Keyword, nodes.And, nodes.Or, nodes.Not,
    nodes.Neg, nodes.Pos, nodes.Template,
)  # fmt: skip
_OPERATORS: dict[type[nodes.Node], str] = {
    nodes.Add: "+",
    nodes.Sub: "-",
    nodes.Mul: "*",
    nodes.Div: "/",
    nodes.FloorDiv: "//",
    nodes.Mod: "%",
}
_REFUSED: dict[type[nodes.Node], str] = {
    nodes.Include: "include is not available: a template stands alone",
    nodes.Import: "import is not available: a template stands alone",
    nodes.FromImport: "import is not available: a template stands alone",
    nodes.Extends: "extends is not available: a template stands alone",
    nodes.Block: "block is not available: a template stands alone",
    nodes.Macro: "macro is not available; write it out, or loop",
    nodes.CallBlock: "call is not available",
    nodes.FilterBlock: "filter blocks are not available; use set and a filter",
    nodes.With: "with is not available; use set",
    nodes.Pow: "** is not available",
    nodes.Scope: "autoescape is not available: HTML and AMP escape, the others do not",
}
_OPENING = {"for", "if"}
_CLOSING = {"endfor", "endif", "endset"}


class Size:
    """How large the templates of one message may still be, all together."""

    __slots__ = ("chars", "nodes", "tags")

    def __init__(self) -> None:
        self.chars = SOURCE_CHARS_MAX
        self.tags = TAGS_MAX
        self.nodes = NODES_MAX


def parse(environment: Environment, source: str, size: Size) -> nodes.Template:
    """The checked tree of ``source``; raises ``TemplateSyntaxError`` with its line."""
    size.chars -= len(source)
    if size.chars < 0:
        raise TemplateSyntaxError(f"longer than {SOURCE_CHARS_MAX} characters together", 0)
    _check_tokens(environment.lex(source), size)
    tree = environment.parse(source)
    _check_size(tree, size)
    _rewrite_children(tree)
    return tree


def _check_tokens(tokens: Iterable[tuple[int, str, str]], size: Size) -> None:
    """Bounds what the parser, which is recursive, will meet."""
    brackets = blocks = 0
    words: list[str] | None = None  # of the tag so far, none outside of one
    for line, kind, value in tokens:
        if kind in ("variable_begin", "block_begin"):
            brackets = 0
            words = []
            size.tags -= 1
            _limit(TAGS_MAX - size.tags, TAGS_MAX, "tags together", line)
        elif kind in ("variable_end", "block_end"):
            if kind == "block_end" and words:
                opens = words[0] in _OPENING or (words[0] == "set" and "=" not in words)
                blocks += opens - (words[0] in _CLOSING)
                _limit(blocks, BLOCKS_MAX, "nested blocks", line)
            words = None
        elif words is not None and kind != "whitespace":
            if kind == "operator":
                brackets += (value in "([{") - (value in ")]}")
                _limit(brackets, BRACKETS_MAX, "nested brackets", line)
            words.append(value)
            _limit(len(words), TAG_WORDS_MAX, "words in one tag", line)


def _limit(count: int, limit: int, what: str, line: int) -> None:
    if count > limit:
        raise TemplateSyntaxError(f"more than {limit} {what}", line)


def _check_size(tree: nodes.Template, size: Size) -> None:
    """Bounds the compiler's work: without recursion, since it is depth that is looked for."""
    level: list[nodes.Node] = [tree]
    for _ in range(DEPTH_MAX):
        level = [child for node in level for child in node.iter_child_nodes()]
        size.nodes -= len(level)
        if size.nodes < 0:
            raise TemplateSyntaxError(
                f"more than {NODES_MAX} names, values and operators together", 0
            )
        if not level:
            return
    raise TemplateSyntaxError(f"nested deeper than {DEPTH_MAX}", level[0].lineno)


def _rewrite_children(node: nodes.Node) -> None:
    """``node``'s children checked, and replaced where they have to pay."""
    for name, value in node.iter_fields():
        if isinstance(value, list):
            setattr(node, name, [_rewritten(item) for item in value])
        elif isinstance(value, nodes.Node):
            setattr(node, name, _rewritten(value))


def _rewritten(node: Any) -> Any:
    """What stands for ``node`` in the code; anything that is no node stays."""
    if not isinstance(node, nodes.Node):
        return node
    kind = type(node)
    line = node.lineno or 0
    if kind in _REFUSED:
        raise TemplateSyntaxError(_REFUSED[kind], line)
    if isinstance(node, nodes.Call):
        return _rewritten_call(node)
    if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Slice):
        bounds = (node.arg.start, node.arg.stop, node.arg.step)
        return _paying("[:]", node.node, *(one or nodes.Const(None, lineno=line) for one in bounds))
    if isinstance(node, nodes.Compare):
        if len(node.ops) != 1:
            raise TemplateSyntaxError("compare two values at a time, and join by and", line)
        return _paying(node.ops[0].op, node.expr, node.ops[0].expr)
    if isinstance(node, nodes.Concat):
        return _paying("~", *node.nodes)
    if isinstance(node, nodes.BinExpr) and kind in _OPERATORS:
        return _paying(_OPERATORS[kind], node.left, node.right)
    if isinstance(node, nodes.Tuple) and node.ctx == "load":
        node = nodes.List(node.items, lineno=line)
    if not isinstance(node, _PLAIN_NODES):
        if isinstance(node, nodes.Tuple):  # for key, value in ...
            _check_targets(node)
            return node
        raise TemplateSyntaxError(f"{kind.__name__.lower()} is not available", line)
    _check_plain(node)
    if isinstance(node, nodes.CondExpr) and node.expr2 is None:
        node.expr2 = nodes.Const("", lineno=line)
    _rewrite_children(node)
    if isinstance(node, nodes.For):
        cost = [nodes.Const(one, lineno=line) for one in _cost(node)]
        node.iter = _filter("for", node.iter, cost, line)
    return node


def _paying(name: str, first: nodes.Expr, *others: nodes.Expr) -> nodes.Filter:
    return _filter(name, _rewritten(first), [_rewritten(one) for one in others], first.lineno)


def _filter(name: str, value: nodes.Node, args: Sequence[nodes.Expr], line: int) -> nodes.Filter:
    return nodes.Filter(value, OPERATOR_PREFIX + name, args, [], None, None, lineno=line)


def _check_plain(node: nodes.Node) -> None:
    line = node.lineno
    if isinstance(node, nodes.Filter | nodes.Test):
        known = FILTERS if isinstance(node, nodes.Filter) else TESTS
        what = "filter" if isinstance(node, nodes.Filter) else "test"
        if node.name not in known:
            raise TemplateSyntaxError(
                f"no {what} named {node.name!r}; there are: {', '.join(sorted(known))}", line
            )
        if node.dyn_args is not None or node.dyn_kwargs is not None or node.node is None:
            raise TemplateSyntaxError(f"{what} {node.name}: * and ** are not available", line)
        given = [None] * (2 if what == "filter" else 1)  # the context, and what it is used on
        try:
            signature(known[node.name]).bind(
                *given, *node.args, **{str(one.key): one.value for one in node.kwargs}
            )
        except TypeError as error:
            raise TemplateSyntaxError(f"{what} {node.name}: {error}", line) from None
    elif isinstance(node, nodes.For) and node.recursive:
        raise TemplateSyntaxError("recursive loops are not available", line)
    elif isinstance(node, nodes.AssignBlock) and node.filter is not None:
        raise TemplateSyntaxError(
            "set with a filter is not available; filter where it is used", line
        )
    elif isinstance(node, nodes.Assign | nodes.AssignBlock):
        _check_targets(node.target)
    elif isinstance(node, nodes.Const):
        _check_constant(node)
    elif isinstance(node, nodes.Pair) and not (
        isinstance(node.key, nodes.Const) and isinstance(node.key.value, str)
    ):
        raise TemplateSyntaxError("a key must be a text in quotes", line)


def _check_targets(node: nodes.Node) -> None:
    if isinstance(node, nodes.Tuple) and all(isinstance(one, nodes.Name) for one in node.items):
        return
    if not isinstance(node, nodes.Name):
        raise TemplateSyntaxError("what is set must be a name", node.lineno)


def _check_constant(node: nodes.Const) -> None:
    value = node.value
    if isinstance(value, float) and not isfinite(value):
        raise TemplateSyntaxError("a number that is too large", node.lineno)
    if isinstance(value, int) and abs(value) > INTEGER_MAX:
        raise TemplateSyntaxError("a number that is too large", node.lineno)


def _rewritten_call(node: nodes.Call) -> nodes.Filter:
    """``range(...)`` and the methods that are listed, as filters."""
    called = node.node
    if node.kwargs or node.dyn_args is not None or node.dyn_kwargs is not None:
        raise TemplateSyntaxError("a call takes plain values only", node.lineno)
    if isinstance(called, nodes.Name) and called.name == "range" and 1 <= len(node.args) <= 3:
        return _paying("range()", *node.args)
    if isinstance(called, nodes.Getattr) and called.attr in METHODS:
        return _paying("()", called.node, nodes.Const(called.attr, lineno=node.lineno), *node.args)
    name = getattr(called, "name", getattr(called, "attr", "this"))
    raise TemplateSyntaxError(
        f"{name} cannot be called; there are range() and the methods {', '.join(sorted(METHODS))}",
        node.lineno,
    )


def _cost(loop: nodes.For) -> tuple[int, int]:
    """The steps and the characters of text that one turn takes, but for loops within, which pay
    for themselves."""
    steps = chars = 0
    waiting: list[nodes.Node] = [*loop.body]
    if loop.test is not None:
        waiting.append(loop.test)
    while waiting:
        node = waiting.pop()
        steps += 1
        if isinstance(node, nodes.TemplateData):
            chars += len(node.data)
        if isinstance(node, nodes.For):
            waiting += [node.iter, *node.else_]
        else:
            waiting += node.iter_child_nodes()
    return 1 + steps, chars
