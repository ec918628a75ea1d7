"""The policies in force, with the line that sets each value; and those on disk, checked."""

from __future__ import annotations

import contextlib
import io
from dataclasses import fields
from typing import Annotated, Any

from fastapi import Query as QueryOf
from fastapi import Request
from pydantic import Field
from starlette.responses import Response

from penstock.api.ports import ports
from penstock.api.problem import FieldError, Problem, invalid
from penstock.api.routing import Router
from penstock.api.steering import Answer, Query, WholeReader, answered, method
from penstock.api.threads import threads
from penstock.events.recorded import BadRecord, heard_in
from penstock.events.recorded import as_data as replay_data
from penstock.feedback.classify import classifier_of
from penstock.feedback.replay import Replay
from penstock.feedback.samples import warnings
from penstock.policy import account
from penstock.policy.account_data import as_data, counts_of
from penstock.policy.egress import Source
from penstock.policy.fields import UNLIMITED
from penstock.policy.problem import suggestion
from penstock.policy.replies import ReplyRules
from penstock.settings.loader import load_policy_directory

router = Router(tags=["Policies"])
_CHARS_MAX = 300


class DestinationQuery(Query):
    destination: str = Field(
        min_length=1,
        max_length=_CHARS_MAX,
        description="A recipient domain, a provider's name or a site's.",
        examples=["gmail.com"],
    )
    source: str = Field(default="", max_length=_CHARS_MAX, description="By this source.")
    tenant: str = Field(default="", max_length=_CHARS_MAX, description="Mail of this tenant.")
    campaign: str = Field(default="", max_length=_CHARS_MAX, description="Of this campaign of it.")
    class_: str = Field(
        default="", alias="class", max_length=_CHARS_MAX, description="Of this class."
    )
    mx: list[Annotated[str, Field(max_length=_CHARS_MAX)]] = Field(
        default=[], max_length=20, description="MX hosts of the domain; DNS is not asked."
    )


class Value(Answer):
    name: str = Field(examples=["connections"])
    value: str = Field(examples=["3"])
    where: str = Field(description="File and line that set it.", examples=["default.toml:2"])


class Account(Answer):
    destination: str
    kind: str = Field(description="domain, provider or site.")
    provider: str
    limits: list[Value]
    mail: list[Value] = Field(description="What the mail is and where it leaves from.")
    caps: list[dict[str, str]] = Field(description="Everything that it is counted by.")


class Checked(Answer):
    ok: bool
    problems: list[str] = Field(description="Each with file, line and what to do.")
    warnings: list[str]
    counts: dict[str, int] = Field(description="What was found, by kind.")


class Replayed(Answer):
    rows: list[dict[str, Any]] = Field(
        description="provider, rule, category, action, replies, fired, changed, was."
    )
    passed_over: int = Field(description="Lines that were no records of replies.")


class Named(Answer):
    name: str
    where: str = Field(default="", description="File and line that begin it.")


class Providers(Answer):
    providers: list[Named]


class Sources(Answer):
    sources: list[Named]


class Pools(Answer):
    pools: list[Named]


@method(router, "policies.show", "Show what holds for a destination", Account)
async def show(
    request: Request, caller: WholeReader, query: Annotated[DestinationQuery, QueryOf()]
) -> Response:
    """Each value with the line that sets it."""
    policies = ports(request).policies()
    _known("source", query.source, list(policies.sources))
    _known("class", query.class_, list(policies.classes))
    if query.campaign and not query.tenant:
        raise invalid(
            [FieldError("query campaign", "a campaign is one of a tenant: give tenant too")]
        )
    try:
        to = account.destination(policies, query.destination, query.mx)
    except ValueError as error:
        raise invalid([FieldError("query destination", str(error))]) from None
    sender = account.Sender(query.source, query.tenant, query.campaign, query.class_)
    return answered(as_data(policies, to, sender))


@method(router, "policies.check", "Check the policies on disk", Checked)
async def check(request: Request, caller: WholeReader) -> Response:
    """The files as they are now; what is in force does not change. `POST /policies/reload` takes
    them up."""
    return answered(await threads().run(_checked, ports(request).settings().policies))


def _checked(directory: str) -> dict[str, Any]:
    found = load_policy_directory(directory)
    if isinstance(found, list):
        return {"ok": False, "problems": [*map(str, found)], "warnings": [], "counts": {}}
    told = [str(one) for one in warnings(found.replies)]
    return {"ok": True, "problems": [], "warnings": told, "counts": counts_of(found)}


@method(
    router,
    "policies.replay",
    "Read recorded replies again",
    Replayed,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"text/plain": {"schema": {}}},
        }
    },
)
async def replay(request: Request, caller: WholeReader) -> Response:
    """Lines of an attempt log, or of `{"provider": ..., "reply": ...}`, by the rules in force: what
    fires, and what came out otherwise when they were recorded."""
    content = await request.body()
    if not content:
        raise Problem(422, "invalid", "The body is empty; it has to be lines of a log.")
    rules = ports(request).policies().replies
    return answered(await threads().run(_replay, rules, content))


def _replay(rules: ReplyRules, content: bytes) -> dict[str, Any]:
    found, passed = Replay(classifier_of(rules), None), 0
    for line in io.BytesIO(content):
        heard = None
        with contextlib.suppress(BadRecord):
            heard = heard_in(line) if line.strip() else None
        if heard is None:
            passed += 1
        else:
            found.add(heard)
    return replay_data(found, passed)


@method(router, "providers", "List providers", Providers)
async def providers(request: Request, caller: WholeReader) -> Response:
    """By which MX hosts and domains each is known."""
    found = ports(request).policies().providers.values()
    rows = [{"name": one.name, "mx": one.mx, "domains": one.domains} for one in found]
    return answered({"providers": rows})


@method(router, "sources", "List sources", Sources)
async def sources(request: Request, caller: WholeReader) -> Response:
    """Where mail leaves from: addresses, names, limits, the plan that each is warmed by."""
    found = ports(request).policies().sources.values()
    return answered({"sources": [_source(one) for one in found]})


@method(router, "pools", "List pools", Pools)
async def pools(request: Request, caller: WholeReader) -> Response:
    """Sources by weight, and where mail goes on when they have no room."""
    found = ports(request).policies().pools.values()
    rows = [
        {
            "name": one.name,
            "sources": dict(one.sources),
            "overflow": one.overflow,
            "where": str(one.at),
        }
        for one in found
    ]
    return answered({"pools": rows})


_HIDDEN = ("at", "places", "proxy", "proxy_password_file")
_LIMITS = ("connections", "connection_rate", "message_rate", "byte_rate")


def _source(one: Source) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for each in fields(one):
        if each.name in _HIDDEN:
            continue
        value = getattr(one, each.name)
        if each.name in _LIMITS:
            row[each.name] = UNLIMITED if value is None else str(value)
        elif isinstance(value, str | int | bool):
            row[each.name] = value
    return {**row, "proxy": str(one.proxy or ""), "where": str(one.at)}


def _known(what: str, name: str, names: list[str]) -> None:
    if name and name not in names:
        hint = suggestion(name, names, "there are")
        text = f"no {what} {name!r}{f'; {hint}' if hint else ''}"
        raise invalid([FieldError(f"query {what}", text)])
