"""The variables of one recipient: what JSON can hold, of bounded size and depth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock.mail.template_error import BadVariables
from penstock.mail.template_meter import INTEGER_MAX

VARIABLES_MAX = 10_000  # names and items, at all depths
VARIABLES_CHARS_MAX = 256 << 10
DEPTH_MAX = 16


def check_variables(variables: Mapping[str, Any]) -> None:
    """Raises :class:`BadVariables`, which says where."""
    count = chars = 0
    waiting: list[tuple[Any, str, int]] = [(variables, "variables", 0)]
    while waiting:
        value, where, depth = waiting.pop()
        kind = type(value)
        count += 1
        if kind is str:
            chars += len(value)
        elif kind is dict or kind is list:
            if depth == DEPTH_MAX:
                raise BadVariables(where[:200], 0, f"nested deeper than {DEPTH_MAX}")
            if count + len(waiting) + len(value) > VARIABLES_MAX:
                raise BadVariables("variables", 0, f"more than {VARIABLES_MAX} values")
            if kind is dict:
                for name, item in value.items():
                    if type(name) is not str:
                        raise BadVariables(where[:200], 0, f"{name!r:.80} is no name")
                    chars += len(name)
                    waiting.append((item, f"{where}.{name}" if depth < 2 else where, depth + 1))
            else:
                waiting += [(item, where, depth + 1) for item in value]
        elif kind is int:
            if abs(value) > INTEGER_MAX:
                raise BadVariables(where[:200], 0, "a number that is too large")
        elif kind is not float and kind is not bool and value is not None:
            raise BadVariables(where[:200], 0, f"a {kind.__name__} is nothing that JSON can hold")
    if chars > VARIABLES_CHARS_MAX:
        raise BadVariables("variables", 0, f"more than {VARIABLES_CHARS_MAX} characters")
