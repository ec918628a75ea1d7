"""pydantic's errors in the words of someone who writes JSON.

Every message says what was found and what is allowed. A kind of error that is not in the table
keeps pydantic's own words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from penstock.policy.problem import nearest, quoted

_EXPECTED = {
    "int_type": "an integer",
    "int_parsing": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "a string",
    "bytes_type": "a string",
    "list_type": "an array",
    "tuple_type": "an array",
    "set_type": "an array",
    "frozen_set_type": "an array",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "finite_number": "a finite number",
    "none_required": "null",
    "datetime_type": "a date and time",
    "date_type": "a date",
}
_BOUNDS = {
    "greater_than_equal": ("at least {}", "ge"),
    "greater_than": ("more than {}", "gt"),
    "less_than_equal": ("at most {}", "le"),
    "less_than": ("less than {}", "lt"),
    "multiple_of": ("a multiple of {}", "multiple_of"),
}
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_PLACE_PARTS_MAX = 20
_DATES = ("datetime_parsing", "datetime_from_date_parsing", "date_parsing", "timezone_aware")


def explain(kind: str, message: str, given: Any, context: Mapping[str, Any]) -> str:
    """The message for a pydantic error of type ``kind`` about the value ``given``."""
    if kind in _EXPECTED:
        return f"expected {_EXPECTED[kind]}, not {described(given)}"
    if kind in _BOUNDS:
        text, name = _BOUNDS[kind]
        return f"must be {text.format(context[name])}, not {described(given)}"
    if kind == "missing":
        return "is required"
    if kind == "extra_forbidden":
        return "there is no such field here"
    if kind in ("literal_error", "enum"):
        return _not_one_of(given, str(context["expected"]))
    if kind == "value_error":
        return str(context["error"])
    if kind in _DATES:
        return f'expected a date and time like "2031-05-17T09:30:00Z", not {described(given)}'
    return _size(kind, given, context) or message[:1].lower() + message[1:]


def _size(kind: str, given: Any, context: Mapping[str, Any]) -> str:
    match kind:
        case "string_too_short":
            least = context["min_length"]
            return "must not be empty" if least == 1 else f"needs {least} characters at least"
        case "string_too_long":
            return f"may have {context['max_length']} characters at most"
        case "too_short":
            least = context["min_length"]
            return "must not be empty" if least == 1 else f"needs {least} items at least"
        case "too_long":
            return f"may have {context['max_length']} items at most"
        case "string_pattern_mismatch":
            return f"{described(given)} does not match {context['pattern']}"
    return ""


def described(value: object) -> str:
    """``value`` as it would be named in a sentence, shortened."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and abs(value) >= 10**20:
        return "a number of more than 20 digits"
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, list | tuple):
        return "an array"
    if isinstance(value, dict):
        return "an object"
    return "something else"


def place(path: Sequence[str | int]) -> str:
    """``("recipients", 3, "to")`` as ``recipients[3].to``; names that are no plain words are
    quoted: ``variables["first name"]``."""
    found = ""
    for part in path[:_PLACE_PARTS_MAX]:
        if isinstance(part, int):
            found += f"[{part}]"
        elif _PLAIN_NAME.fullmatch(part) and len(part) <= 64:
            found += f".{part}" if found else part
        else:
            found += f"[{quoted(part)}]"
    return found


def _not_one_of(given: object, expected: str) -> str:
    allowed = [part.strip("' ") for part in expected.replace(" or ", ", ").split(",")]
    near = nearest(given, allowed) if isinstance(given, str) else ""
    hint = f"; did you mean {quoted(near)}?" if near else ""
    return f"expected {' or '.join(map(quoted, allowed))}, not {described(given)}{hint}"
