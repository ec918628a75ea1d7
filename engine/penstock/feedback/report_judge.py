"""From what a report says of one recipient to a finding, by the rules for replies.

The words decide first, the host's own before those of whoever reports them, for the enhanced code
of a report is often made up by the program that wrote it. The address is called dead only on good
evidence: a report is hearsay, it may come weeks late, and a good address lost costs more than a
second bounce. So three things are not for good although a host that says them to us at RCPT would
be believed:

- "user unknown" after the message itself was sent, without a code that says the same: filters of
  mailboxes answer so for senders that their owner does not want;
- "user unknown" in words alone, with neither a reply code nor an enhanced code;
- a mailbox that is disabled, suspended or inactive, which its owner can bring back; one that was
  closed or deleted is gone.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from penstock.feedback.classify import Classifier, by_code
from penstock.feedback.normalise import Normal, of_text
from penstock.feedback.report_dsn import status_of
from penstock.feedback.report_provider import provider_of
from penstock.feedback.report_values import Finding, ReportLimits
from penstock.mail.outcome import Phase
from penstock.mail.verdict import Category, Fault, Verdict, verdict_of

SUCCESSES = frozenset(("delivered", "relayed", "expanded", "deliverable"))
DELAYED = frozenset(("delayed", "delay"))
_TEXTS_MAX = 12
_BY_ITSELF = re.compile(r"[245]\.0\.0")
_GONE = re.compile(
    r"clos(?:ed|ure)|terminat|delet|removed|cancel|no longer|archiv|expired|gone|deceas|permanent"
    r"|does ?n.t exist|not exist|удал[её]н|закрыт|gelöscht|supprim|ferm[ée]|eliminad"
)
_CODE = re.compile(r"(?<![\d.])([245]\d\d)(?=[ -]|$)")


class Evidence(NamedTuple):
    """``said``: the words of the host, ``told``: those of whoever reports, each with the best
    first."""

    recipient: str
    action: str = "failed"
    status: str = ""
    host: str = ""
    said: tuple[str, ...] = ()
    told: tuple[str, ...] = ()
    phase: Phase | None = None


def judge(evidence: Evidence, classifier: Classifier, limits: ReportLimits) -> Finding:
    """The finding for one recipient; any evidence gives one."""
    reply, verdict, normal = _decide(evidence, classifier)
    status = normal.status or status_of(reply[:80])
    if not status or (_BY_ITSELF.fullmatch(status) and evidence.status):
        status = evidence.status or status
    code = str(normal.code) if normal.code else _code_in(evidence.said)
    if evidence.action in SUCCESSES:
        verdict = verdict_of(Category.DELIVERED)
    return Finding(
        recipient=evidence.recipient,
        status=status,
        reply_code=code,
        reply=" ".join(reply.split())[: limits.reply_chars_max],
        action=evidence.action,
        category=verdict.category,
        fault=verdict.fault,
        suppress=verdict.suppress and _is_certain(evidence, verdict, normal, status, code),
        rule=verdict.rule,
    )


def plain(recipient: str, category: Category, feedback_type: str = "") -> Finding:
    """A finding that needs no judgement: an automatic reply, a complaint."""
    usual = verdict_of(category)
    return Finding(
        recipient, "", "", "", "", category, usual.fault, usual.suppress, "", feedback_type
    )


def _decide(evidence: Evidence, classifier: Classifier) -> tuple[str, Verdict, Normal]:
    """The text that decides, what it means, and its normal form."""
    provider = provider_of(evidence.host, evidence.recipient)
    texts = [text for text in (*evidence.said, *evidence.told) if text.strip()][:_TEXTS_MAX]
    first: tuple[str, Normal] | None = None
    for number, text in enumerate(texts):
        normal = of_text(text.strip())
        phase = evidence.phase if number < len(evidence.said) else None
        verdict = classifier.read(provider, normal, phase)
        if verdict.rule and verdict.category is not Category.UNKNOWN:
            return text, verdict, normal
        if first is None:
            first = text, normal
    text, normal = first or ("", Normal(0, "", ""))
    return text, _by_code(evidence, normal), normal


def _by_code(evidence: Evidence, normal: Normal) -> Verdict:
    """Where no rule knows the words: the more telling of two enhanced codes."""
    final = evidence.action not in DELAYED
    for status in (normal.status, evidence.status):
        if final and status.endswith(".4.7"):
            return Verdict(Category.EXPIRED, Fault.REMOTE, False)
        verdict = by_code(Normal(normal.code, status, ""))
        if status and not _BY_ITSELF.fullmatch(status) and verdict.category is not Category.UNKNOWN:
            return verdict
    if evidence.action == "expired":
        return verdict_of(Category.EXPIRED)
    return verdict_of(Category.UNKNOWN)


def _code_in(texts: tuple[str, ...]) -> str:
    for text in texts:
        found = _CODE.search(text[:200])
        if found:
            return found[1]
    return ""


def _is_certain(
    evidence: Evidence, verdict: Verdict, normal: Normal, status: str, code: str
) -> bool:
    """Whether an address may be called dead that ``verdict`` calls so."""
    if evidence.action in DELAYED or code.startswith("4"):
        return False
    if verdict.category is Category.INACTIVE_MAILBOX:
        return bool(_GONE.search(normal.text))
    if verdict.category is Category.BAD_MAILBOX:
        if status.startswith("5.1."):
            return True
        return bool(code or status) and evidence.phase in (None, Phase.RCPT)
    return True
