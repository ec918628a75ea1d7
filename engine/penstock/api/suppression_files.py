"""Whole suppression lists in and out, as NDJSON or CSV.

An export is a stream of the list's pages and holds one of them at a time. An import is written
aside as it comes and then read by the process that has the list.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
import tempfile
from collections.abc import AsyncIterator
from typing import Annotated, Any, BinaryIO, Literal

import msgspec
from fastapi import Query as QueryOf
from fastapi import Request
from pydantic import Field
from starlette.responses import Response, StreamingResponse

from penstock.api.ports import ports
from penstock.api.problem import Problem
from penstock.api.routing import Router
from penstock.api.steering import (
    REASON_CHARS_MAX,
    WHO_CHARS_MAX,
    Answer,
    Query,
    Reader,
    Steerer,
    ask,
    asked,
    method,
    signed,
)
from penstock.api.suppression import GLOBAL_WORD, EntryFilter, scope_of
from penstock.api.threads import threads
from penstock.suppression.configure import suppression_directory
from penstock.suppression.control import UPLOAD
from penstock.suppression.transfer import HEADER

router = Router(tags=["Suppression"])
PAGE_ENTRIES = 5000
UPLOADS_MAX = 2  # in each process
_FORMS = {"text/csv": "csv", "application/x-ndjson": "ndjson", "application/ndjson": "ndjson"}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {kind: {"schema": {}} for kind in ("text/csv", "application/x-ndjson")},
    }
}
_FILES = {kind: {"schema": {"type": "string"}} for kind in ("application/x-ndjson", "text/csv")}


class ExportQuery(EntryFilter):
    format: Literal["ndjson", "csv"] = Field(default="ndjson", description="Of the answer.")


class ImportQuery(Query):
    tenant: str = Field(
        default="", max_length=300, description="Of rows without one; empty: for all tenants."
    )
    scope: str | None = Field(
        default=None, max_length=300, description="Of rows without one; else as usual."
    )
    reason: str = Field(default="", max_length=64, description="Of rows without one.")
    name: str = Field(default="", max_length=300, description="Where the list is from.")
    who: str = Field(default="", max_length=WHO_CHARS_MAX, description="Who does it.")
    why: str = Field(default="", max_length=REASON_CHARS_MAX, description="Why, for the event.")


class BadRow(Answer):
    line: int
    problem: str


class Imported(Answer):
    rows: int
    bad: int = Field(description="Rows that were left out.")
    written: int = Field(description="Addresses.")
    new: int = Field(description="Of them with something new.")
    problems: list[BadRow] = Field(description="The first 100 of the bad rows.")


@method(
    router,
    "suppression.export",
    "Export the list",
    responses={200: {"description": "The list, as import takes it.", "content": _FILES}},
)
async def export(
    request: Request, caller: Reader, query: Annotated[ExportQuery, QueryOf()]
) -> Response:
    """All entries, or some, in the order of addresses. An answer that breaks off is not whole."""
    params = {**query.params(caller), "limit": PAGE_ENTRIES}
    first = await ask(request, "suppression.list", params)
    as_csv = query.format == "csv"
    kind = "text/csv; charset=utf-8" if as_csv else "application/x-ndjson"
    return StreamingResponse(_pages(request, params, first, as_csv), media_type=kind)


async def _pages(
    request: Request, params: dict[str, Any], page: dict[str, Any], as_csv: bool
) -> AsyncIterator[bytes]:
    if as_csv:
        yield (",".join(HEADER) + "\n").encode()
    while True:
        yield _lines(page["entries"], as_csv)
        if not page["next"]:
            return
        page = await ask(request, "suppression.list", {**params, "after": page["next"]})


def _lines(entries: list[dict[str, str]], as_csv: bool) -> bytes:
    if as_csv:
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows(
            [one[name] for name in HEADER] for one in entries
        )
        return out.getvalue().encode()
    return b"".join(msgspec.json.encode(one) + b"\n" for one in entries)


@method(router, "suppression.import", "Import a list", Imported, openapi_extra=_BODY)
async def import_list(
    request: Request, caller: Steerer, query: Annotated[ImportQuery, QueryOf()]
) -> Response:
    """CSV (with a header line, or bare addresses) or NDJSON, also as other sending services export
    them. Rows that make no sense are told and left out. The answer comes when all is on disk."""
    form = _form(request)
    tenant = caller.tenant_of("" if query.tenant == GLOBAL_WORD else query.tenant)
    params: dict[str, Any] = {
        "form": form,
        "tenant": tenant,
        "only": bool(caller.tenant),
        "reason": query.reason,
        "name": query.name,
        "who": signed(caller, query.who),
        "why": query.why,
    }
    if query.scope is not None:
        params["scope"] = scope_of(query.scope)
    with UPLOADS.one():
        directory = suppression_directory(ports(request).settings())
        path = await _received(request, directory)
        try:
            return await asked(request, "suppression.import", {**params, "path": path})
        finally:
            await threads().run(_forget, path)


class _Uploads:
    """How many there are at once: each takes room on the disk."""

    def __init__(self) -> None:
        self.open = 0

    @contextlib.contextmanager
    def one(self) -> Any:
        if self.open >= UPLOADS_MAX:
            raise Problem(
                503,
                "unavailable",
                f"{UPLOADS_MAX} lists are imported here already.",
                headers={"Retry-After": "30"},
            )
        self.open += 1
        try:
            yield
        finally:
            self.open -= 1


UPLOADS = _Uploads()


def _form(request: Request) -> str:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    form = _FORMS.get(kind)
    if form is None:
        raise Problem(
            415,
            "media-type",
            'The Content-Type has to be "text/csv" or "application/x-ndjson".',
            headers={"Accept": "text/csv, application/x-ndjson"},
        )
    return form


async def _received(request: Request, directory: str) -> str:
    """The body as a file, for its reader to open."""
    file = await threads().run(_aside, directory)
    try:
        async for piece in request.stream():
            await threads().run(file.write, piece)
        await threads().run(file.close)
    except BaseException:
        file.close()
        _forget(file.name)
        raise
    return file.name


def _aside(directory: str) -> BinaryIO:
    os.makedirs(directory, mode=0o700, exist_ok=True)
    return tempfile.NamedTemporaryFile(  # type: ignore[return-value]
        dir=directory, prefix=UPLOAD, delete=False
    )


def _forget(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)
