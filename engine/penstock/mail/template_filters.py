"""The filters and tests that templates may use: Jinja2's, by the same names, but bounded.

Each pays for what it looks at and for what it makes, and takes what JSON can hold only. Filters of
Jinja2 that are not here either reach into Python objects or are of no use in a message.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from jinja2.runtime import Context
from markupsafe import Markup, escape

from penstock.mail.template_meter import VALUE_CHARS_MAX, Missing, TemplateFault, meter_of
from penstock.mail.template_operators import (
    bounded,
    integer,
    items,
    kind_of,
    number,
    present,
    text,
)

_FORMAT = re.compile(r"%(?:%|([-+ 0#]{0,5})(\d{0,2})(?:\.(\d{1,2}))?([sdifeEgGxX]))")
_WORD_STARTS = re.compile(r"([-\s({\[<]+)")
_BATCH_MAX = 1000
_DIGITS_MAX = 30


def lookup(value: Any, path: Any) -> Any:
    """What stands in ``value`` at ``path``: keys and positions, joined by dots."""
    for key in text(path).split("."):
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list | tuple) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            return Missing(name=str(path))
    return value


def _sequence(context: Context, value: Any) -> Sequence[Any]:
    found = items(value)
    meter_of(context).steps(1 + len(found))
    return list(found) if isinstance(found, dict) else found


def _looked_at(context: Context, value: Any, attribute: Any = None) -> list[Any]:
    """The items, or what they have at ``attribute``; pays for all that is in them."""
    found = _sequence(context, value)
    if attribute is not None:
        found = [present(lookup(item, attribute)) for item in found]
    meter = meter_of(context)
    for item in found:
        meter.look_at(present(item))
    return list(found)


def _of_text(operation: Callable[[str], str]) -> Callable[..., str]:
    def filter_(context: Context, value: Any) -> str:
        found = text(value)
        meter_of(context).made(found)
        return meter_of(context).made(operation(found))

    return filter_


def _default(context: Context, value: Any, default: Any = "", boolean: Any = False) -> Any:
    return default if isinstance(value, Missing) or (boolean and not value) else value


def _escape(context: Context, value: Any) -> Markup:
    found = value if isinstance(value, str) else text(value)
    meter_of(context).made(found)
    return Markup(meter_of(context).made(escape(found)))  # noqa: S704 (it is escaped)


def _safe(context: Context, value: Any) -> Markup:
    return Markup(meter_of(context).made(text(value)))  # noqa: S704 (the template says so)


def _int(context: Context, value: Any, default: Any = 0) -> Any:
    found = str(int(value)) if isinstance(value, bool) else text(value).strip()[:_DIGITS_MAX]
    try:
        return bounded(int(found))
    except ValueError:
        pass
    try:
        return bounded(int(float(found)))
    except (ValueError, OverflowError):
        return default


def _float(context: Context, value: Any, default: Any = 0.0) -> Any:
    if isinstance(value, int):
        return float(value)
    try:
        return float(text(value).strip()[:_DIGITS_MAX])
    except ValueError:
        return default


def _round(context: Context, value: Any, precision: Any = 0) -> Any:
    return round(number(value), integer(precision, 0, 15))


def _format(context: Context, value: Any, *args: Any) -> str:
    """``"%.2f"|format(x)``: widths and precisions have two digits at most."""
    given = list(args)

    def written(found: re.Match[str]) -> str:
        if found[0] == "%%":
            return "%"
        if not given:
            raise TemplateFault("format has more places than values")
        one = given.pop(0)
        return str(found[0] % (text(one) if found[4] == "s" else number(one)))

    pattern = text(value)
    meter = meter_of(context)
    meter.made(pattern)
    for one in args:
        meter.look_at(present(one))
    if "%" in _FORMAT.sub("", pattern):
        raise TemplateFault("format knows %s, %d, %.2f and their like, up to two digits wide")
    return meter.made(_FORMAT.sub(written, pattern))


def _join(context: Context, value: Any, separator: Any = "", attribute: Any = None) -> str:
    pieces = [text(item) for item in _looked_at(context, value, attribute)]
    between = text(separator)
    meter = meter_of(context)
    meter.will_make(sum(map(len, pieces)) + len(pieces) * len(between))
    if context.eval_ctx.autoescape:
        return meter.made(escape(between).join([escape(piece) for piece in pieces]))
    return meter.made(between.join(pieces))


def _replace(context: Context, value: Any, old: Any, new: Any) -> str:
    found, before, after = text(value), text(old), text(new)
    if not before:
        raise TemplateFault("replace needs a text to look for")
    meter = meter_of(context)
    meter.made(found)
    times = found.count(before)
    meter.will_make(len(found) + times * (len(after) - len(before)))
    if context.eval_ctx.autoescape and not isinstance(found, Markup):
        return meter.made(found.replace(str(before), str(after)))
    return meter.made(found.replace(before, after))


def _title(context: Context, value: Any) -> str:
    """Letters behind a blank, a hyphen or a bracket are large; one behind an apostrophe is not."""
    found = text(value)
    meter_of(context).made(found)
    words = [word[:1].upper() + word[1:].lower() for word in _WORD_STARTS.split(found)]
    return meter_of(context).made("".join(words))


def _truncate(
    context: Context,
    value: Any,
    length: Any = 255,
    killwords: Any = False,
    end: Any = "...",
    leeway: Any = 5,
) -> str:
    found, ending = text(value), text(end)
    longest = integer(length, len(ending), VALUE_CHARS_MAX)
    meter_of(context).made(found)
    if len(found) <= longest + integer(leeway, 0, VALUE_CHARS_MAX):
        return found
    cut = found[: longest - len(ending)]
    return cut + ending if killwords else cut.rsplit(" ", 1)[0] + ending


def _first(context: Context, value: Any) -> Any:
    found = value if isinstance(present(value), str) else list(items(value)[:1])
    return found[0] if found else Missing("the first of an empty list; use default")


def _last(context: Context, value: Any) -> Any:
    found = value if isinstance(present(value), str) else items(value)
    return found[-1] if found else Missing("the last of an empty list; use default")


def _length(context: Context, value: Any) -> int:
    return len(value if isinstance(present(value), str) else items(value))


def _list(context: Context, value: Any) -> list[Any]:
    if isinstance(present(value), str):
        meter_of(context).steps(len(value))
        return list(value)
    return list(_sequence(context, value))


def _items(context: Context, value: Any) -> list[Any]:
    if not isinstance(present(value), dict):
        raise TemplateFault(f"needs a mapping and got {kind_of(value)}")
    meter_of(context).steps(1 + len(value))
    return list(value.items())


def _reverse(context: Context, value: Any) -> Any:
    if isinstance(present(value), str):
        return meter_of(context).made(value[::-1])
    return list(_sequence(context, value))[::-1]


def _batch(context: Context, value: Any, count: Any, fill: Any = None) -> list[list[Any]]:
    found = _sequence(context, value)
    size = integer(count, 1, _BATCH_MAX)
    rows = [list(found[at : at + size]) for at in range(0, len(found), size)]
    if rows and fill is not None:
        rows[-1] += [fill] * (size - len(rows[-1]))
    return rows


def _sort(
    context: Context, value: Any, reverse: Any = False, case_sensitive: Any = False,
    attribute: Any = None,
) -> list[Any]:  # fmt: skip
    found = list(_sequence(context, value))
    keys = _looked_at(context, found, attribute)
    if any(isinstance(key, list | tuple | dict) for key in keys):
        raise TemplateFault("sort compares texts or numbers; name what to sort by: attribute")
    meter_of(context).steps(len(keys) * len(keys).bit_length())
    if not case_sensitive:
        keys = [key.lower() if isinstance(key, str) else key for key in keys]
    order = sorted(range(len(keys)), key=keys.__getitem__, reverse=bool(reverse))
    return [found[at] for at in order]


def _unique(context: Context, value: Any, attribute: Any = None) -> list[Any]:
    found = list(_sequence(context, value))
    seen = set()
    made = []
    for item, key in zip(found, _looked_at(context, found, attribute), strict=True):
        if isinstance(key, list | tuple | dict):
            raise TemplateFault("unique compares texts or numbers; name what to compare: attribute")
        if key not in seen:
            seen.add(key)
            made.append(item)
    return made


def _sum(context: Context, value: Any, attribute: Any = None, start: Any = 0) -> Any:
    total = number(start)
    for item in _looked_at(context, value, attribute):
        total = bounded(total + number(item))
    return total


def _extreme(choose: Callable[[list[Any]], Any]) -> Callable[..., Any]:
    def filter_(context: Context, value: Any, attribute: Any = None) -> Any:
        keys = _looked_at(context, value, attribute)
        if any(isinstance(key, list | tuple | dict) for key in keys):
            raise TemplateFault("compares texts or numbers; name what to compare: attribute")
        if not keys:
            return Missing("the least or greatest of an empty list; use default")
        return list(items(value))[keys.index(choose(keys))]

    return filter_


def _map(context: Context, value: Any, attribute: Any, default: Any = None) -> list[Any]:
    found = [lookup(item, attribute) for item in _sequence(context, value)]
    if default is None:
        return [present(item) for item in found]
    return [default if isinstance(item, Missing) else item for item in found]


def _chosen(wanted: bool) -> Callable[..., list[Any]]:
    def filter_(
        context: Context, value: Any, attribute: Any, test: Any = None, other: Any = None
    ) -> list[Any]:
        if test not in (None, "eq", "equalto", "=="):
            raise TemplateFault("compares by 'equalto' only")
        made = []
        for item in _sequence(context, value):
            found = lookup(item, attribute)
            meter_of(context).look_at(found)
            meter_of(context).look_at(other)
            true = not isinstance(found, Missing) and (found if test is None else found == other)
            if bool(true) is wanted:
                made.append(item)
        return made

    return filter_


def _tojson(context: Context, value: Any) -> Markup:
    meter_of(context).look_at(present(value))
    written = json.dumps(value, ensure_ascii=False)
    for character in "<>&'":
        written = written.replace(character, f"\\u{ord(character):04x}")
    return Markup(meter_of(context).made(written))  # noqa: S704 (what HTML reads is coded)


def _urlencode(context: Context, value: Any) -> str:
    meter = meter_of(context)
    for _ in range(8):  # it is slow
        meter.look_at(present(value))
    if isinstance(value, dict):
        return meter.made(
            urlencode({key: text(one) for key, one in value.items()}, quote_via=quote)
        )
    return meter.made(quote(text(value), safe="/"))


FILTERS: dict[str, Callable[..., Any]] = {
    "abs": lambda context, value: abs(number(value)),
    "batch": _batch,
    "capitalize": _of_text(lambda value: value.capitalize()),
    "count": _length,
    "d": _default,
    "default": _default,
    "e": _escape,
    "escape": _escape,
    "first": _first,
    "float": _float,
    "format": _format,
    "int": _int,
    "items": _items,
    "join": _join,
    "last": _last,
    "length": _length,
    "list": _list,
    "lower": _of_text(lambda value: value.lower()),
    "map": _map,
    "max": _extreme(max),
    "min": _extreme(min),
    "rejectattr": _chosen(False),
    "replace": _replace,
    "reverse": _reverse,
    "round": _round,
    "safe": _safe,
    "selectattr": _chosen(True),
    "sort": _sort,
    "string": _of_text(lambda value: value),
    "sum": _sum,
    "title": _title,
    "tojson": _tojson,
    "trim": _of_text(lambda value: value.strip()),
    "truncate": _truncate,
    "unique": _unique,
    "upper": _of_text(lambda value: value.upper()),
    "urlencode": _urlencode,
}

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
