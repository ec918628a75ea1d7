"""What TLS mail must have, by domain, and the reports on what was seen of it (RFC 8460)."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path, Request
from fastapi import Query as QueryOf
from pydantic import Field
from starlette.responses import Response

from penstock.api.routing import Router
from penstock.api.steering import (
    Answer,
    Order,
    Query,
    WholeReader,
    WholeSteerer,
    asked,
    given,
    method,
)

router = Router(tags=["TLS"])
_DOMAIN_CHARS_MAX = 253
_ROWS_MAX = 1000
_DAY = r"^(\d{4}-\d{2}-\d{2})?$"
_OF_DAY = "In UTC; empty: the last that is over."
Domain = Annotated[
    str,
    Path(
        min_length=1,
        max_length=_DOMAIN_CHARS_MAX,
        description="A recipient domain.",
        examples=["gmail.com"],
    ),
]


class ReportsQuery(Query):
    day: str = Field(default="", pattern=_DAY, description=_OF_DAY, examples=["2026-11-28"])
    domain: str = Field(
        default="", max_length=_DOMAIN_CHARS_MAX, description="With the report to it."
    )
    limit: int = Field(default=100, ge=1, le=_ROWS_MAX, description="Domains at most.")


class ReportsOrder(Order):
    day: str = Field(default="", pattern=_DAY, description=_OF_DAY, examples=["2026-11-28"])
    domain: str = Field(
        default="",
        max_length=_DOMAIN_CHARS_MAX,
        description="The report to it alone; empty: all of the day that were not sent.",
    )


class TlsOfDomain(Answer):
    domain: str
    problem: str | None = Field(default=None, description="Why nothing can be said of it now.")
    demand: dict[str, Any] | None = Field(
        default=None, description="What connections must have, and which line or record says so."
    )
    policy: dict[str, Any] | None = Field(default=None, description="As the policies have it.")
    mta_sts: dict[str, Any] | None = Field(default=None, description="Its policy (RFC 8461).")
    dane: list[dict[str, Any]] = Field(default=[], description="Its TLSA records (RFC 7672).")
    hosts: list[dict[str, Any]] = Field(default=[], description="Which may be used, and how.")


class DayOfReports(Answer):
    day: str = Field(examples=["2026-11-28"])
    domains: list[dict[str, Any]] = Field(description="What was seen, the most failures first.")
    total: int = Field(description="Domains of that day.")
    report: dict[str, Any] | None = Field(default=None, description="As it is sent.")


class SentReports(Answer):
    day: str
    sent: list[dict[str, Any]] = Field(description="What became of each report.")


@method(router, "tls.show", "Show what TLS a domain demands", TlsOfDomain)
async def show(request: Request, caller: WholeReader, domain: Domain) -> Response:
    """By the policies, by MTA-STS, by DANE, and what follows for each of its hosts."""
    return await asked(request, "tls.show", {"domain": domain})


@method(router, "tls.report", "Show what was seen of TLS in a day", DayOfReports)
async def report(
    request: Request, caller: WholeReader, query: Annotated[ReportsQuery, QueryOf()]
) -> Response:
    """By policy domain: connections that succeeded and failed, and whether it was told."""
    return await asked(request, "tls.report", given(query))


@method(router, "tls.send", "Send reports on TLS now", SentReports)
async def send(request: Request, caller: WholeSteerer, order: ReportsOrder) -> Response:
    """They leave by themselves in the hours after the day; this does not wait for that."""
    return await asked(request, "tls.send", given(order))
