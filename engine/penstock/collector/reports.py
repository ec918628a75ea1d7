"""What a report becomes: the events that it tells, or the reason why it is about nothing of ours.

The rules, for each recipient that the report is matched to:

===========  ================================================================================
bounce       ``bounced`` with ``late``, for what failed; a notice that mail is delayed, relayed
             or delivered is no outcome, and what is delayed is told again when it fails
complaint    ``complained``; ``opt-out`` is ``unsubscribed``; ``not-spam`` and ``auth-failure``
             are about no recipient's wish, and are counted only
auto-reply   ``auto-replied``
other        ``unsubscribed`` where it came to an unsubscribe address; else it is no report
===========  ================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from penstock.events import records
from penstock.events.records import Accepted, Event, Reported
from penstock.feedback.references import Match, matches, refs_in, tokens_in
from penstock.feedback.report import Finding, Report, from_fields
from penstock.mail.envelope import id_number
from penstock.mail.verdict import Category, Fault
from penstock.mail.verp import DAY_S, BadToken, Token, TokenKeys, read_token

PURPOSES = {"bounce": "b", "complaint": "c", "unsubscribe": "u"}  # of a token, by the role
_NO_FINDING = Finding("", "", "", "", "", Category.UNKNOWN, Fault.NONE, False)
_NO_OUTCOME = frozenset({"delayed", "relayed", "delivered", "expanded"})
_OPT_OUT = frozenset({"opt-out", "opt-out-list"})
_NO_WISH = frozenset({"not-spam", "auth-failure"})


class Told(NamedTuple):
    """One event to be written: its type and its fields, without id and time."""

    make: type[Event]
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Resolved:
    """``told``: events; ``ignored``: recipients of whom nothing follows; ``unmatched``: why the
    report, or someone that it names, is none of ours: ``""`` where all was matched."""

    told: tuple[Told, ...] = ()
    ignored: int = 0
    unmatched: str = ""


class Reports:
    """``accepted`` finds the record of a message by any of its recipients' numbers; ``provider_of``
    an address; ``keys`` is ``None`` where there are none, and then no token is good; ``ages``: how
    many days one is good, by its purpose."""

    def __init__(
        self,
        keys: Callable[[], TokenKeys | None],
        ages: Mapping[str, float],
        accepted: Callable[[int], Accepted | None],
        provider_of: Callable[[str], str],
        now: Callable[[], float],
    ) -> None:
        self._keys, self._ages = keys, ages
        self._accepted, self._provider_of, self._now = accepted, provider_of, now

    def resolve(self, event: Reported) -> Resolved:
        try:
            report = from_fields(event.found)
        except (ValueError, KeyError, TypeError):
            return Resolved(unmatched="unreadable")
        if report.kind == "other" and event.role != "unsubscribe":
            return Resolved(unmatched="not-a-report")
        try:
            token = self._token(event, report)
        except BadToken as error:
            return Resolved(unmatched=error.reason)
        if token is not None:
            message = self._accepted(token.ref)
            exact = named(message, token)
        elif event.role == "unsubscribe":
            return Resolved(unmatched="no-reference")
        else:
            refs = refs_in(report.original)
            if not refs:
                return Resolved(unmatched="no-reference")
            message = next((m for m in map(self._accepted, refs) if m is not None), None)
            exact = ""
        if message is None:
            return Resolved(unmatched="unknown-message")
        return self._told(event, report, message, exact, signed=token is not None)

    def _token(self, event: Reported, report: Report) -> Token | None:
        """The one of the address that the report came to, else a good one of the original mail;
        raises :class:`BadToken` where the address has one that is no good."""
        keys = self._keys()
        if event.token:
            if keys is None:
                raise BadToken("unknown-key")
            token = self._read(keys, event.token)
            if token.purpose != PURPOSES.get(event.role):
                raise BadToken("other-purpose")
            return token
        if keys is None:
            return None
        for text in tokens_in(report.original):
            try:
                return self._read(keys, text)
            except BadToken:
                continue
        return None

    def _read(self, keys: TokenKeys, text: str) -> Token:
        now = self._now()
        token = read_token(keys, text, now, max(self._ages.values()))
        if now // DAY_S - token.day > self._ages[token.purpose]:
            raise BadToken("expired")
        return token

    def _told(
        self, event: Reported, report: Report, message: Accepted, exact: str, *, signed: bool
    ) -> Resolved:
        if not report.findings:  # all was redacted: the token alone says who
            report = Report(report.kind, (_NO_FINDING,), report.original, report.reporter)
        found = matches(report, message.recipients, exact, signed=signed)
        if not found:
            return Resolved(unmatched="other-recipient")
        told = [self._event(event, report, message, match) for match in found]
        events = tuple(one for one in told if one is not None)
        return Resolved(events, len(told) - len(events))

    def _event(
        self, event: Reported, report: Report, message: Accepted, match: Match
    ) -> Told | None:
        common: dict[str, Any] = {
            "message": message.message,
            "recipient": match.recipient,
            "tenant": message.tenant,
            "campaign": message.campaign,
            "class_": message.class_,
            "tags": message.tags,
            "report": event.id,
        }
        finding = match.finding
        if report.kind == "bounce" and event.role != "unsubscribe":
            return self._bounced(common, message, finding)
        if report.kind == "complaint":
            kind = finding.feedback_type.lower() or "abuse"
            if kind in _NO_WISH:
                return None
            if kind in _OPT_OUT:
                return Told(records.Unsubscribed, {**common, "via": "feedback"})
            more = {
                "feedback_type": kind,
                "sender": message.sender,
                "reporter": report.reporter,
                "provider": self._provider_of(match.recipient),
            }
            return Told(records.Complained, {**common, **more})
        if report.kind == "auto-reply":
            return Told(records.AutoReplied, common)
        if report.kind == "other" and event.role == "unsubscribe":
            return Told(records.Unsubscribed, {**common, "via": "mailto", "client": event.client})
        return None

    def _bounced(self, common: dict[str, Any], message: Accepted, finding: Finding) -> Told | None:
        if finding.action in _NO_OUTCOME or finding.category is Category.DELIVERED:
            return None
        code = finding.reply_code
        more = {
            "sender": message.sender,
            "pool": message.pool,
            "provider": self._provider_of(common["recipient"]),
            "code": int(code) if code.isascii() and code.isdigit() else 0,
            "enhanced": finding.status,
            "reply": finding.reply,
            "category": finding.category.value,
            "fault": finding.fault.value,
            "rule": finding.rule,
            "suppress": finding.suppress,
            "late": True,
        }
        return Told(records.Bounced, {**common, **more})


def named(message: Accepted | None, token: Token) -> str:
    """The recipient that an exact token names: numbers of one message follow each other."""
    if message is None or not token.exact:
        return ""
    index = token.ref - id_number(message.message)
    return message.recipients[index] if 0 <= index < len(message.recipients) else ""
