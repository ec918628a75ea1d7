"""The kinds of values that settings and policy files hold, as pydantic types.

Each reads what a person writes and gives what the engine counts in: bytes, seconds, a ``Rate``. The
``Shown`` marker says how the kind is called in the option tables and in messages.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainValidator

from penstock.policy.rate import BYTE_RATE_PATTERN, RATE_PATTERN, ByteRate, Rate
from penstock.policy.units import (
    DURATION_PATTERN,
    SIZE_PATTERN,
    duration_text,
    parse_duration,
    parse_size,
    size_text,
)

UNLIMITED = "unlimited"


@dataclass(frozen=True, slots=True)
class Shown:
    """How a kind of value is called, with an example, how a value of it is written, and which forms
    of it a file may hold, as JSON Schemas (none: those of its type)."""

    kind: str
    write: Callable[[Any], str] = str
    forms: tuple[Mapping[str, Any], ...] = field(default=(), hash=False)


def text_form(pattern: str, *examples: str) -> dict[str, Any]:
    """A text that matches all of ``pattern``, a regular expression of Python's."""
    plain = re.sub(r"\(\?P<\w+>", "(", pattern)
    form: dict[str, Any] = {"type": "string", "pattern": f"^(?:{plain})$"}
    return form | ({"examples": list(examples)} if examples else {})


@dataclass(frozen=True, slots=True)
class StandIn:
    """What takes the place of a required value that is missing or bad, so that the rest of its
    table can be checked; see ``validation``."""

    value: object


class Table(BaseModel):
    """A TOML table: unknown keys are errors, values keep their type, nothing changes later."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def _size(value: object) -> object:
    if isinstance(value, str):
        return parse_size(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError('expected a size, like "64 MiB" or a number of bytes')
    return value


def _duration(value: object) -> object:
    if isinstance(value, str):
        return parse_duration(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError('expected a duration, like "5m" or a number of seconds')
    return float(value)


def _rate(value: object) -> Rate | None:
    if value == UNLIMITED:
        return None
    if isinstance(value, str):
        return Rate.parse(value)
    if isinstance(value, Rate) or value is None:
        return value
    raise ValueError('expected a rate, like "100/min", or "unlimited"')


def _plain_rate(value: object) -> Rate:
    rate = None if value == UNLIMITED else _rate(value)
    if rate is None:
        raise ValueError('expected a rate, like "100/min"')
    return rate


def _byte_rate(value: object) -> ByteRate | None:
    if value == UNLIMITED:
        return None
    if isinstance(value, str):
        return ByteRate.parse(value)
    if isinstance(value, ByteRate) or value is None:
        return value
    raise ValueError('expected a rate of bytes, like "5 MiB/s", or "unlimited"')


def _write_rate(rate: Rate | None) -> str:
    return UNLIMITED if rate is None else str(rate)


UNLIMITED_FORM: dict[str, Any] = {"const": UNLIMITED}
SizeShown = Shown(
    'size, like "64 MiB"', size_text, ({"type": "integer"}, text_form(SIZE_PATTERN, "64 MiB"))
)
DurationShown = Shown(
    'duration, like "5m"',
    duration_text,
    ({"type": "number"}, text_form(DURATION_PATTERN, "5m", "1h30m")),
)
RateShown = Shown(
    'rate, like "100/min", or "unlimited"',
    _write_rate,
    (text_form(RATE_PATTERN, "100/min", "100/min burst 20"), UNLIMITED_FORM),
)
PlainRateShown = Shown(
    'rate, like "100/min"', str, (text_form(RATE_PATTERN, "100/min", "100/min burst 20"),)
)
ByteRateShown = Shown(
    'rate of bytes, like "5 MiB/s", or "unlimited"',
    _write_rate,
    (text_form(BYTE_RATE_PATTERN, "5 MiB/s", "300 MiB/min burst 10 MiB"), UNLIMITED_FORM),
)

Size = Annotated[int, BeforeValidator(_size), SizeShown]
Duration = Annotated[float, BeforeValidator(_duration), DurationShown]
RateOrUnlimited = Annotated[Rate | None, PlainValidator(_rate), RateShown]
PlainRate = Annotated[Rate, PlainValidator(_plain_rate), PlainRateShown]
ByteRateOrUnlimited = Annotated[ByteRate | None, PlainValidator(_byte_rate), ByteRateShown]
