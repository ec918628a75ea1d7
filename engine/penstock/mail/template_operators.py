"""What operators, comparisons, calls and loops of a template become: functions that pay first.

They take what JSON can hold and nothing else, and make nothing larger than the limits allow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jinja2.runtime import Context, LoopContext
from markupsafe import Markup, escape

from penstock.mail.template_meter import (
    INTEGER_MAX,
    ITEMS_MAX,
    Missing,
    TemplateFault,
    meter_of,
)

# the methods that a template may call, by the type of what they are called on
_TEXT_METHODS = frozenset({
    "capitalize", "endswith", "lower", "lstrip", "rstrip", "split", "startswith", "strip", "title",
    "upper",
})  # fmt: skip
_MAPPING_METHODS = frozenset({"get", "items", "keys", "values"})
_LOOP_METHODS = frozenset({"cycle"})
METHODS = _TEXT_METHODS | _MAPPING_METHODS | _LOOP_METHODS
_ARGUMENT_CHARS_MAX = 256
_KINDS = {
    str: "a text", Markup: "a text", int: "a number", float: "a number", bool: "true or false",
    type(None): "nothing", list: "a list", tuple: "a list", dict: "a mapping",
}  # fmt: skip


def kind_of(value: object) -> str:
    return _KINDS.get(type(value), type(value).__name__)


def present(value: Any) -> Any:
    """``value``, where it was given."""
    if isinstance(value, Missing):
        raise TemplateFault(value._undefined_message)
    return value


def number(value: Any) -> Any:
    if isinstance(present(value), int | float):
        return value
    raise TemplateFault(f"needs a number and got {kind_of(value)}")


def integer(value: Any, low: int, high: int) -> int:
    if isinstance(present(value), int) and low <= value <= high:
        return int(value)
    raise TemplateFault(f"needs a whole number from {low} to {high}")


def text(value: Any) -> str:
    """A text as it is, a number as it is written; anything else has no text."""
    if isinstance(value, str):
        return value
    if present(value) is None:
        return ""
    if isinstance(value, int | float):
        return str(value)
    raise TemplateFault(f"needs a text and got {kind_of(value)}; loop over it, or use join")


def items(value: Any) -> Any:
    """What can be looped over: the items of a list, the keys of a mapping."""
    if isinstance(present(value), list | tuple | range | dict):
        return value
    raise TemplateFault(f"needs a list and got {kind_of(value)}")


def bounded(value: Any) -> Any:
    """A number that is not too large to be handled at once."""
    if isinstance(value, int) and abs(value) > INTEGER_MAX:
        raise TemplateFault("a number that is too large")
    return value


def _add(context: Context, left: Any, right: Any) -> Any:
    if isinstance(left, str) and isinstance(right, str):
        return meter_of(context).made(left + right)
    if isinstance(left, list) and isinstance(right, list):
        if len(left) + len(right) > ITEMS_MAX:
            raise TemplateFault(f"a list of more than {ITEMS_MAX} items")
        meter_of(context).steps(1 + len(left) + len(right))
        return left + right
    return number(left) + number(right)


def _arithmetic(operation: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def operator(context: Context, left: Any, right: Any) -> Any:
        meter_of(context).steps(1)
        try:
            return bounded(operation(number(left), number(right)))
        except ZeroDivisionError:
            raise TemplateFault("a division by zero") from None

    return operator


def _comparison(operation: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def operator(context: Context, left: Any, right: Any) -> Any:
        meter = meter_of(context)
        meter.look_at(present(left))
        meter.look_at(present(right))
        try:
            return operation(left, right)
        except TypeError:
            raise TemplateFault(f"cannot compare {kind_of(left)} with {kind_of(right)}") from None

    return operator


def _concatenated(context: Context, *values: Any) -> str:
    pieces = [text(value) for value in values]
    meter = meter_of(context)
    if context.eval_ctx.autoescape and any(type(piece) is Markup for piece in pieces):
        return meter.made(Markup("").join([escape(piece) for piece in pieces]))
    return meter.made("".join(pieces))


def _loop(context: Context, value: Any, steps: int, chars: int) -> Any:
    """What a loop goes over; pays for all of its turns."""
    turns = len(items(value))
    meter = meter_of(context)
    meter.steps(1 + turns * steps)
    meter.output(turns * chars)
    return value


def _range(context: Context, *bounds: Any) -> range:
    made = range(*(integer(bound, -INTEGER_MAX, INTEGER_MAX) for bound in bounds))
    if len(made) > ITEMS_MAX:
        raise TemplateFault(f"a range of more than {ITEMS_MAX} numbers")
    meter_of(context).steps(1)
    return made


def _slice(context: Context, value: Any, start: Any, stop: Any, step: Any) -> Any:
    if not isinstance(present(value), str | list | tuple):
        raise TemplateFault(f"cannot take a part of {kind_of(value)}")
    bounds = (
        one if one is None else integer(one, -INTEGER_MAX, INTEGER_MAX)
        for one in (start, stop, step)
    )
    meter_of(context).steps(1 + len(value) // 8)
    return value[slice(*bounds)]


def _method(context: Context, value: Any, name: str, *args: Any) -> Any:
    meter = meter_of(context)
    if isinstance(present(value), str):
        allowed = _TEXT_METHODS
    elif isinstance(value, dict):
        allowed = _MAPPING_METHODS
    else:
        allowed = _LOOP_METHODS if isinstance(value, LoopContext) else frozenset()
    if name not in allowed:
        raise TemplateFault(f"{kind_of(value)} has no {name}()")
    if isinstance(value, LoopContext):
        meter.steps(1)
    else:
        meter.steps(1 + len(value))
    for one in args:
        meter.look_at(present(one))
        if isinstance(one, str) and len(one) > _ARGUMENT_CHARS_MAX:
            raise TemplateFault(f"{name}() with more than {_ARGUMENT_CHARS_MAX} characters")
    made = getattr(value, name)(*args)
    if name in _MAPPING_METHODS and name != "get":
        return list(made)
    return meter.made(made) if isinstance(made, str) else made


OPERATOR_PREFIX = "operator "  # no filter that a template can name begins so
OPERATORS: dict[str, Callable[..., Any]] = {
    "+": _add,
    "-": _arithmetic(lambda left, right: left - right),
    "*": _arithmetic(lambda left, right: left * right),
    "/": _arithmetic(lambda left, right: left / right),
    "//": _arithmetic(lambda left, right: left // right),
    "%": _arithmetic(lambda left, right: left % right),
    "eq": _comparison(lambda left, right: left == right),
    "ne": _comparison(lambda left, right: left != right),
    "lt": _comparison(lambda left, right: left < right),
    "lteq": _comparison(lambda left, right: left <= right),
    "gt": _comparison(lambda left, right: left > right),
    "gteq": _comparison(lambda left, right: left >= right),
    "in": _comparison(lambda left, right: left in right),
    "notin": _comparison(lambda left, right: left not in right),
    "~": _concatenated,
    "for": _loop,
    "range()": _range,
    "[:]": _slice,
    "()": _method,
}
