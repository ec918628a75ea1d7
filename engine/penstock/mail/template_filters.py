"""The filters and tests that templates may use: those of Jinja2 that are of use in a message.

The others reach into Python objects, or their work has no bound.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from penstock.mail.template_filters_list import LIST_FILTERS
from penstock.mail.template_filters_text import TEXT_FILTERS
from penstock.mail.template_meter import Missing
from penstock.mail.template_operators import number

FILTERS: dict[str, Callable[..., Any]] = TEXT_FILTERS | LIST_FILTERS

TESTS: dict[str, Callable[..., bool]] = {
    "boolean": lambda value: isinstance(value, bool),
    "defined": lambda value: not isinstance(value, Missing),
    "divisibleby": lambda value, by: bool(number(value) % number(by) == 0),
    "even": lambda value: bool(number(value) % 2 == 0),
    "false": lambda value: value is False,
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "iterable": lambda value: isinstance(value, list | tuple | dict | range),
    "mapping": lambda value: isinstance(value, dict),
    "none": lambda value: value is None,
    "number": lambda value: isinstance(value, int | float),
    "odd": lambda value: bool(number(value) % 2 == 1),
    "sequence": lambda value: isinstance(value, list | tuple | str | range),
    "string": lambda value: isinstance(value, str),
    "true": lambda value: value is True,
    "undefined": lambda value: isinstance(value, Missing),
}
