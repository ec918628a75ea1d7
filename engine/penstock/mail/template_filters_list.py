"""The filters of lists and mappings: Jinja2's, by the same names, but bounded.

Each pays for the items that it passes over and for all that is in those that it compares.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jinja2.runtime import Context
from markupsafe import escape

from penstock.mail.template_meter import Missing, TemplateFault, meter_of
from penstock.mail.template_operators import (
    bounded,
    integer,
    items,
    kind_of,
    number,
    present,
    text,
)

_BATCH_MAX = 1000
_PATH_CHARS_MAX = 256


def lookup(value: Any, path: Any) -> Any:
    """What stands in ``value`` at ``path``: keys and positions, joined by dots."""
    if len(text(path)) > _PATH_CHARS_MAX:
        raise TemplateFault(f"an attribute of more than {_PATH_CHARS_MAX} characters")
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


def _join(context: Context, value: Any, separator: Any = "", attribute: Any = None) -> str:
    pieces = [text(item) for item in _looked_at(context, value, attribute)]
    between = text(separator)
    meter = meter_of(context)
    meter.will_make(sum(map(len, pieces)) + len(pieces) * len(between))
    if context.eval_ctx.autoescape:
        return meter.made(escape(between).join([escape(piece) for piece in pieces]))
    return meter.made(between.join(pieces))


def _first(context: Context, value: Any) -> Any:
    found = value if isinstance(present(value), str) else items(value)
    return next(iter(found), Missing("the first of an empty list; use default"))


def _last(context: Context, value: Any) -> Any:
    found = value if isinstance(present(value), str) else items(value)
    return next(reversed(found), Missing("the last of an empty list; use default"))


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


LIST_FILTERS: dict[str, Callable[..., Any]] = {
    "batch": _batch,
    "count": _length,
    "first": _first,
    "items": _items,
    "join": _join,
    "last": _last,
    "length": _length,
    "list": _list,
    "map": _map,
    "max": _extreme(max),
    "min": _extreme(min),
    "rejectattr": _chosen(False),
    "reverse": _reverse,
    "selectattr": _chosen(True),
    "sort": _sort,
    "sum": _sum,
    "unique": _unique,
}
