"""What replies and reports mean by the rules in force, and what DNS must say of signing keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from fastapi import Request
from pydantic import Field
from starlette.responses import Response

from penstock.api.ports import ports
from penstock.api.problem import Problem
from penstock.api.routing import Router
from penstock.api.steering import Answer, Order, Reader, WholeReader, answered, method
from penstock.api.threads import threads
from penstock.feedback.answers import PHASES, of_reply, of_report
from penstock.feedback.classify import classifier_of
from penstock.feedback.report import ReportLimits
from penstock.mail.dkim_keys import BadKey, load_key, zone_entry
from penstock.policy.replies import ReplyRules
from penstock.settings.outbound import DkimSettings

router = Router(tags=["Rules"])
REPLIES_MAX = 1000
_LIMITS = ReportLimits()


class Heard(Order):
    reply: str = Field(
        min_length=1,
        max_length=10_000,
        description="As the host said it, code and all.",
        examples=["550 5.1.1 no such user"],
    )
    provider: str = Field(default="", max_length=300, examples=["gmail"])
    phase: str | None = Field(
        default=None,
        description=f"Where in the session: {', '.join(PHASES)}.",
        json_schema_extra={"enum": [*PHASES, None]},
    )


class Replies(Order):
    replies: list[Heard] = Field(min_length=1, max_length=REPLIES_MAX)


class Meaning(Answer):
    reply: str
    category: str = Field(examples=["bad-mailbox"])
    fault: str = Field(description="Whose: the recipient's, the sender's, ...")
    suppress: bool = Field(description="Whether the address is put on the suppression list.")
    rule: str = Field(description="The rule that knows it; empty: by its code.")


class Meanings(Answer):
    replies: list[Meaning]


class ReportMeaning(Answer):
    kind: str = Field(description="What the mail is.", examples=["bounce"])
    recipients: list[dict[str, Any]]


class DkimRecord(Answer):
    domain: str
    selector: str
    name: str = Field(examples=["s1._domainkey.shop.example."])
    kind: Literal["TXT"]
    zone: str = Field(description="The line of a zone file.")
    problem: str = Field(description="Why there is none; empty: there is.")


class DkimRecords(Answer):
    records: list[DkimRecord]


@method(router, "classify.replies", "Say what replies mean", Meanings)
async def classify_replies(request: Request, caller: Reader, asked: Replies) -> Response:
    """By the rules of the policies in force; nothing is kept of them."""
    rules = ports(request).policies().replies
    heard = [one.model_dump(exclude_unset=True) for one in asked.replies]
    for number, one in enumerate(heard):
        if one.get("phase") not in (None, *PHASES):
            raise Problem(422, "invalid", f"replies[{number}].phase: none of {', '.join(PHASES)}")
    return answered({"replies": await threads().run(_replies, rules, heard)})


def _replies(rules: ReplyRules, heard: list[dict[str, Any]]) -> list[dict[str, Any]]:
    classifier = classifier_of(rules)
    return [of_reply(classifier, one) for one in heard]


@method(
    router,
    "classify.report",
    "Say what a mail reports",
    ReportMeaning,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {kind: {"schema": {}} for kind in ("message/rfc822", "text/plain")},
        }
    },
)
async def classify_report(request: Request, caller: Reader) -> Response:
    """A bounce, a complaint, an answer of a machine: the mail as it came, RFC 5322. Nothing is kept
    of it."""
    content = bytearray()
    async for piece in request.stream():
        content += piece
        if len(content) > _LIMITS.content_bytes_max:
            raise Problem(
                413, "too-large", f"A report has {_LIMITS.content_bytes_max} bytes at most."
            )
    if not content:
        raise Problem(422, "invalid", "The body is empty; it has to be a mail.")
    rules = ports(request).policies().replies
    return answered(await threads().run(_report, rules, bytes(content)))


def _report(rules: ReplyRules, content: bytes) -> dict[str, Any]:
    return of_report(classifier_of(rules), content, _LIMITS)


@method(router, "dkim.records", "List DNS records of signing keys", DkimRecords)
async def dkim_records(request: Request, caller: WholeReader) -> Response:
    """What has to stand in DNS for each `[[dkim]]` of the settings; public keys alone."""
    entries = ports(request).settings().dkim
    return answered({"records": await threads().run(lambda: [_record(one) for one in entries])})


def _record(entry: DkimSettings) -> dict[str, Any]:
    zone = problem = ""
    try:
        zone = zone_entry(entry.selector, entry.domain, load_key(Path(entry.key).read_bytes()))
    except (BadKey, OSError) as error:
        problem = f"{entry.key}: {error}"
    return {
        "domain": entry.domain,
        "selector": entry.selector,
        "name": f"{entry.selector}._domainkey.{entry.domain}.",
        "kind": "TXT",
        "zone": zone,
        "problem": problem,
    }
