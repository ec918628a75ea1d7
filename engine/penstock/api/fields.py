"""Kinds of values that several rooms of routes take."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AwareDatetime, BeforeValidator

_MOMENT: Final = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?([Zz]|[+-]\d{2}:?\d{2})"
)


def _moment(value: object) -> object:
    """RFC 3339 and nothing else: pydantic would take numbers, too."""
    if not isinstance(value, str) or not _MOMENT.fullmatch(value):
        shown = f'"{value[:40]}"' if isinstance(value, str) else "that"
        raise ValueError(f'expected a date and time like "2031-05-17T09:30:00Z", not {shown}')
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_moment)]
