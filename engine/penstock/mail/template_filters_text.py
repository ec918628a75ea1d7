"""The filters of texts and numbers: Jinja2's, by the same names, but bounded.

Each pays for what it looks at and for what it makes; the slow ones pay more.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode

from jinja2.runtime import Context
from markupsafe import Markup, escape

from penstock.mail.template_meter import VALUE_CHARS_MAX, Missing, TemplateFault, meter_of
from penstock.mail.template_operators import bounded, integer, number, present, text

_FORMAT = re.compile(r"%(?:%|([-+ 0#]{0,5})(\d{0,2})(?:\.(\d{1,2}))?([sdifeEgGxX]))")
_WORD_STARTS = re.compile(r"([-\s({\[<]+)")
_SLOW_CHARS_A_STEP = 8
_DIGITS_MAX = 30


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

    pattern = text(value)
    coded = escape if isinstance(pattern, Markup) else str

    def written(found: re.Match[str]) -> str:
        if found[0] == "%%":
            return "%"
        if not given:
            raise TemplateFault("format has more places than values")
        one = given.pop(0)
        return coded(found[0] % (text(one) if found[4] == "s" else number(one)))

    meter = meter_of(context)
    meter.made(pattern)
    for one in args:
        meter.look_at(present(one))
    if "%" in _FORMAT.sub("", pattern):
        raise TemplateFault("format knows %s, %d, %.2f and their like, up to two digits wide")
    made = _FORMAT.sub(written, pattern)
    return meter.made(Markup(made) if isinstance(pattern, Markup) else made)  # noqa: S704 (escaped)


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
    meter_of(context).steps(1 + len(found) // _SLOW_CHARS_A_STEP)
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


def _tojson(context: Context, value: Any) -> Markup:
    meter_of(context).look_at(present(value))
    written = json.dumps(value, ensure_ascii=False)
    for character in "<>&'":
        written = written.replace(character, f"\\u{ord(character):04x}")
    return Markup(meter_of(context).made(written))  # noqa: S704 (what HTML reads is coded)


def _urlencode(context: Context, value: Any) -> str:
    meter = meter_of(context)
    if isinstance(present(value), dict):
        pairs = {key: text(one) for key, one in value.items()}
        chars = sum(len(key) + len(one) for key, one in pairs.items())
        meter.steps(1 + len(pairs) + chars // _SLOW_CHARS_A_STEP)
        return meter.made(urlencode(pairs, quote_via=quote))
    found = text(value)
    meter.steps(1 + len(found) // _SLOW_CHARS_A_STEP)
    return meter.made(quote(found, safe="/"))


TEXT_FILTERS: dict[str, Callable[..., Any]] = {
    "abs": lambda context, value: abs(number(value)),
    "capitalize": _of_text(lambda value: value.capitalize()),
    "d": _default,
    "default": _default,
    "e": _escape,
    "escape": _escape,
    "float": _float,
    "format": _format,
    "int": _int,
    "lower": _of_text(lambda value: value.lower()),
    "replace": _replace,
    "round": _round,
    "safe": _safe,
    "string": _of_text(lambda value: value),
    "title": _title,
    "tojson": _tojson,
    "trim": _of_text(lambda value: value.strip()),
    "truncate": _truncate,
    "upper": _of_text(lambda value: value.upper()),
    "urlencode": _urlencode,
}
