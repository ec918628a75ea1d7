"""A request's body: read within its limits, and understood as JSON that cannot hurt.

The parser is pydantic's, which refuses ``NaN``, bytes that are not UTF-8, lone surrogates and deep
nesting. What it leaves unbounded is the number of values that a small body can hold (``[[],[],...``
is twenty times as large in memory), so that is counted first.
"""

from __future__ import annotations

import re
from typing import Any

from pydantic_core import from_json
from starlette.requests import Request

from penstock.api.problem import Problem

DEPTH_MAX = 100
VALUES_MAX = 500_000
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_POSITION = re.compile(r" at line (\d+) column (\d+)$")


def parse_json(content: bytes) -> Any:
    """Raises a 400 that says where and what."""
    _count(content)
    try:
        return from_json(content, allow_inf_nan=False, cache_strings="keys")
    except ValueError as error:
        raise bad_json(str(error)) from None


def bad_json(message: str, **where: Any) -> Problem:
    """``message`` as the parser gives it, with the position at its end."""
    found = _POSITION.search(message)
    if found is not None:
        where |= {"line": int(found[1]), "column": int(found[2])}
    return Problem(400, "bad-json", f"The body is not JSON: {message}.", **where)


def _count(content: bytes) -> None:
    """Refuse what would be too many values, without making any; strings may hold what they like."""
    if _marks(content) <= VALUES_MAX:
        return
    if _marks(_STRING.sub(b"", content)) > VALUES_MAX:
        raise Problem(413, "too-large", f"The body holds more than {VALUES_MAX} JSON values.")


def _marks(content: bytes) -> int:
    return content.count(b",") + content.count(b"[") + content.count(b"{")


def is_json(content_type: str) -> bool:
    """``application/json`` or ``application/*+json``, in UTF-8."""
    kind, _, parameters = content_type.partition(";")
    kind = kind.strip().lower()
    if kind != "application/json" and not (
        kind.startswith("application/") and kind.endswith("+json")
    ):
        return False
    charset = re.search(r"charset\s*=\s*\"?([A-Za-z0-9_-]+)", parameters.lower())
    return charset is None or charset[1] in ("utf-8", "utf8")


def check_kind(request: Request) -> None:
    """A 415 for a body that is no plain JSON."""
    headers = request.headers
    if headers.get("content-encoding", "identity") != "identity":
        raise Problem(415, "media-type", "Bodies are taken without a Content-Encoding.")
    given = headers.get("content-type", "")
    if not is_json(given):
        shown = f'not "{given[:100]}"' if given else "and none was given"
        raise Problem(
            415,
            "media-type",
            f'The Content-Type has to be "application/json", {shown}.',
            headers={"Accept": "application/json"},
        )


class ApiRequest(Request):
    """A request whose ``json()`` is :func:`parse_json`."""

    async def json(self) -> Any:
        if not hasattr(self, "_json"):
            self._json = parse_json(await self.body())
        return self._json
