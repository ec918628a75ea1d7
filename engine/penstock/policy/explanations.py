"""pydantic's errors in the words of someone who edits a TOML file.

Every message says what was found and what is allowed. The table below covers the kinds that our
models can raise; another kind keeps pydantic's own words, which are never wrong, only less kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock.policy.problem import nearest, quoted

_EXPECTED = {
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "a text in quotes",
    "tuple_type": "an array",
    "list_type": "an array",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "dict_type": "a table",
    "finite_number": "a finite number",
}
_BOUNDS = {
    "greater_than_equal": ("must be at least {}", "ge"),
    "greater_than": ("must be more than {}", "gt"),
    "less_than_equal": ("must be at most {}", "le"),
    "less_than": ("must be less than {}", "lt"),
}


def explain(kind: str, message: str, given: Any, context: Mapping[str, Any]) -> tuple[str, str]:
    """The message and a hint for a pydantic error of type ``kind`` about the value ``given``."""
    if kind in _EXPECTED:
        return f"expected {_EXPECTED[kind]}, not {described(given)}", _hint(kind, given)
    if kind in _BOUNDS:
        text, name = _BOUNDS[kind]
        return f"{text.format(_number(context[name]))}, not {described(given)}", ""
    if kind == "literal_error":
        return _not_one_of(given, str(context["expected"]))
    if kind == "value_error":
        return str(context["error"]), ""
    if kind in ("too_short", "string_too_short"):
        return "must not be empty", ""
    if kind == "too_long":
        return f"may hold {context['max_length']} at most, not {context['actual_length']}", ""
    if kind == "string_too_long":
        return f"may be {context['max_length']} characters long at most", ""
    return message[:1].lower() + message[1:], ""


def described(value: object) -> str:
    """``value`` as it would be named in a sentence."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, str):
        return f"the text {quoted(value)}"
    if isinstance(value, list | tuple):
        return "an array"
    if isinstance(value, dict):
        return "a table"
    return "a date or time"


def _number(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) and abs(value) < 1e6 else str(value)


def _hint(kind: str, given: object) -> str:
    if kind == "tuple_type" and isinstance(given, str):
        return f"write [{quoted(given)}]"
    if kind == "tuple_type" and isinstance(given, dict):
        return "write [[name]] with double brackets, one for each"
    if kind == "model_type" and isinstance(given, list | tuple):
        return "write [name] with single brackets, once"
    if kind == "int_type" and isinstance(given, str) and given.strip().isdecimal():
        return f"write {given.strip()} without quotes"
    if kind == "bool_type" and isinstance(given, str) and given.lower() in ("true", "false"):
        return f"write {given.lower()} without quotes"
    return ""


def _not_one_of(given: object, expected: str) -> tuple[str, str]:
    allowed = [part.strip("' ") for part in expected.replace(" or ", ", ").split(",")]
    near = nearest(given, allowed) if isinstance(given, str) else ""
    choice = " or ".join(quoted(value) for value in allowed)
    hint = f"did you mean {quoted(near)}?" if near else ""
    return f"expected {choice}, not {described(given)}", hint
