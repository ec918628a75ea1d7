"""What went wrong, as a document for programs and people: RFC 9457.

A :class:`Problem` is raised anywhere beneath a route, and the application answers with it. Its
``type`` is the address of the page that explains its kind, on the same server; ``detail`` says what
happened this time; ``errors`` says it for each field of the request.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import msgspec
from pydantic import BaseModel, Field, ValidationError
from starlette.responses import Response

from penstock.api.explanations import explain, place
from penstock.api.problem_kinds import KINDS
from penstock.control import ControlError
from penstock.smtp.reply import Reply

MEDIA_TYPE: Final = "application/problem+json"
TYPES_AT: Final = "/docs/problems"
ERRORS_MAX: Final = 100
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_BUSY_S, _NO_ROOM_S = 5, 60
# What the daemon says, and what that is over HTTP.
_OF_CODE: Final = {
    "not-found": (404, "not-found"),
    "not-warmed": (404, "not-found"),
    "unknown-method": (404, "not-found"),
    "bad-day": (422, "invalid"),
    "bad-id": (422, "invalid"),
    "bad-request": (422, "invalid"),
    "bad-selector": (422, "invalid"),
    "bad-target": (422, "invalid"),
    "bad-value": (422, "invalid"),
    "unknown-name": (422, "invalid"),
    "full": (507, "no-room"),
    "too-many": (409, "conflict"),
    "invalid": (422, "invalid"),
    "restart-needed": (409, "conflict"),
    "conflict": (409, "conflict"),
    "off": (409, "conflict"),
    "unavailable": (503, "unavailable"),
    "starting": (503, "unavailable"),
    "failed": (500, "failed"),
    "internal": (500, "failed"),
}


class FieldError(NamedTuple):
    """``field`` as people write it, ``recipients[3].to``; empty for the request as a whole.
    ``message``: what was wrong and what is allowed."""

    field: str
    message: str


class Problem(Exception):
    """``slug`` is a kind of :mod:`penstock.api.problem_kinds`; what is in ``extra`` becomes further
    members of the document."""

    def __init__(
        self,
        status: int,
        slug: str,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] = _NOTHING,
        **extra: Any,
    ) -> None:
        super().__init__(detail)
        self.status, self.slug, self.detail = status, slug, detail
        self.errors, self.headers, self.extra = tuple(errors), dict(headers), extra

    def document(self) -> dict[str, Any]:
        kind = KINDS.get(self.slug)
        found: dict[str, Any] = {
            "type": f"{TYPES_AT}#{self.slug}",
            "title": kind.title if kind else HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            **self.extra,
        }
        if self.errors:
            found["errors"] = [one._asdict() for one in self.errors[:ERRORS_MAX]]
        return found

    def content(self) -> bytes:
        return msgspec.json.encode(self.document())

    def response(self) -> Response:
        return Response(self.content(), self.status, self.headers, media_type=MEDIA_TYPE)


class FieldErrorDocument(BaseModel):
    """One field that is wrong."""

    field: str = Field(description="Where, as in recipients[3].to; empty: the whole request.")
    message: str = Field(description="What was wrong and what is allowed.")


class ProblemDocument(BaseModel):
    """An error (RFC 9457)."""

    type: str = Field(
        description="The kind, for programs: a page that explains it.",
        examples=[f"{TYPES_AT}#invalid"],
    )
    title: str = Field(description="The kind, in words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What happened this time.")
    errors: list[FieldErrorDocument] = Field(
        default=[], description=f"For each field that is wrong; at most {ERRORS_MAX} of them."
    )


def problem_of(error: ControlError) -> Problem:
    """What the daemon refused."""
    status, slug = _OF_CODE.get(error.code, (409, "conflict"))
    headers = {"Retry-After": str(_BUSY_S)} if status == 503 else {}
    return Problem(status, slug, str(error), headers=headers)


def invalid(errors: Sequence[FieldError]) -> Problem:
    """Fields of the request that are wrong."""
    count = len(errors)
    what = "A field is wrong." if count == 1 else f"{count} fields are wrong."
    if count > ERRORS_MAX:
        what = f"{what} The first {ERRORS_MAX} are shown."
    return Problem(422, "invalid", what, errors=errors)


def validation_problem(error: ValidationError) -> Problem:
    """What a model refused of a body that is otherwise JSON."""
    return invalid(field_errors(error.errors(include_url=False)))


def field_errors(details: Iterable[Any], *, skip: int = 0) -> list[FieldError]:
    """pydantic's ``errors()`` in our words; the first ``skip`` parts of each place are left out."""
    return [
        FieldError(
            place(one["loc"][skip:]),
            explain(one["type"], one["msg"], one.get("input"), one.get("ctx") or {}),
        )
        for one in details
    ]


def closed_problem(reply: Reply) -> Problem:
    """Why no mail is taken now, from what an SMTP client would be told."""
    if reply.code == 452:
        return Problem(
            507,
            "no-room",
            "The disk has no room for more mail; nothing was accepted.",
            headers={"Retry-After": str(_NO_ROOM_S)},
        )
    reason = reply.text or "Local error"
    return Problem(
        503,
        "unavailable",
        f"{reason}. Nothing was accepted.",
        headers={"Retry-After": str(_BUSY_S)},
    )


def too_often(wait_s: float, what: str) -> Problem:
    """``what`` may go on after ``wait_s``."""
    seconds = max(1, math.ceil(wait_s))
    return Problem(
        429,
        "rate-limited",
        f"{what}; come again in {seconds} s.",
        headers={"Retry-After": str(seconds)},
    )
