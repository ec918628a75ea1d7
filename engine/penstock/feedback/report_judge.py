"""From what a report says of one recipient to a finding, by the rules for replies.

The words decide first, the host's own before those of whoever reports them, for the enhanced code
of a report is often made up by the program that wrote it. The address is called dead only on good
evidence: a report is hearsay, it may come weeks late, and a good address lost costs more than a
second bounce. So three things are not for good although a host that says them to us at RCPT would
be believed:

- "user unknown" after the message itself was sent, or under a code that says something else:
  filters of mailboxes answer so to senders whom their owner does not want. It is believed where the
  enhanced code says the same (x.1.z) or the wording is known as that provider's own;
- "user unknown" from nobody knows when, with neither such a code nor the address that is meant;
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
from penstock.policy.replies import GENERIC

SUCCESSES = frozenset(("delivered", "relayed", "expanded", "deliverable"))
DELAYED = frozenset(("delayed", "delay"))
_TEXTS_MAX = 12
_GREETING = (Phase.BANNER, Phase.EHLO)  # who refuses there knows nothing but our address
_BY_ITSELF = re.compile(r"[245]\.0\.0")
_GONE = re.compile(
    r"clos(?:ed|ure)|terminat|delet|removed|cancel|no longer|archiv|expired|gone|deceas|permanent"
    r"|does ?n.t exist|not exist|удал[её]н|закрыт|gelöscht|supprim|ferm[ée]|eliminad"
)
_EXCHANGE = re.compile(r"\(000c[0-9a-f]{4}\)")  # its own code for an address that it lacks
_AMBIGUOUS = re.compile(r"mailbox (?:is )?(?:currently )?unavailable")  # RFC 5321: or for policy
_NOT_OF_ADDRESSES = ("3.", "4.", "5.", "6.", "7.")
# What programs add behind the host's words; some of it sounds like a reason.
_TRAILER = re.compile(
    r"(?i)\s*(?:giving up on [\w.:\[\]-]{1,60}"
    r"|i.m not going to try again; this message has been in the queue too long"
    r"|(?:warning: )?message (?:is )?still undelivered\b|will keep trying until\b"
    r"|\(in reply to [\w ]{1,30}\)).*",
    re.DOTALL,
)
_CODE = re.compile(r"(?<![\d.])([245]\d\d)(?=[ -]|$)")


class Evidence(NamedTuple):
    """``said``: the words of ``host``, ``told``: those of ``reporter``, whose address that is, each
    with the best first."""

    recipient: str
    action: str = "failed"
    status: str = ""
    host: str = ""
    said: tuple[str, ...] = ()
    told: tuple[str, ...] = ()
    phase: Phase | None = None
    reporter: str = ""


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
    own = provider_of("", evidence.reporter) or provider
    texts = [(text, True) for text in evidence.said] + [(text, False) for text in evidence.told]
    first: tuple[str, Normal] | None = None
    for text, host_said in texts[:_TEXTS_MAX]:
        normal = of_text(_TRAILER.sub("", " ".join(text.split())))
        if not any(normal):
            continue
        phase = evidence.phase if host_said else None
        verdict = classifier.read(provider if host_said else own, normal, phase)
        if verdict.rule and verdict.category is not Category.UNKNOWN:
            if verdict.category is Category.POLICY and phase in _GREETING:
                verdict = verdict_of(Category.REPUTATION_BLOCK, verdict.rule)
            return text, verdict, normal
        if host_said:
            verdict = by_code(normal)  # the host's code before the words of others
            if _is_telling(normal.status) and verdict.category is not Category.UNKNOWN:
                return text, verdict, normal
        if first is None or (_is_telling(normal.status) and not _is_telling(first[1].status)):
            first = text, normal
    text, normal = first or ("", Normal(0, "", ""))
    return text, _by_code(evidence, normal), normal


def _is_telling(status: str) -> bool:
    return bool(status) and not _BY_ITSELF.fullmatch(status)


def _by_code(evidence: Evidence, normal: Normal) -> Verdict:
    """Where no rule knows the words: the more telling of two enhanced codes."""
    final = evidence.action not in DELAYED
    for status in (normal.status, evidence.status):
        if final and status.endswith(".4.7"):
            return Verdict(Category.EXPIRED, Fault.REMOTE, False)
        verdict = by_code(Normal(normal.code, status, ""))
        if _is_telling(status) and verdict.category is not Category.UNKNOWN:
            return verdict
    if evidence.action == "expired":
        return verdict_of(Category.EXPIRED)
    if not final:  # whatever it waits for, it is on the way
        return verdict_of(Category.NETWORK)
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
    if not code and evidence.status.startswith("4"):
        return False
    if verdict.category is Category.INACTIVE_MAILBOX:
        return status.startswith("5.1.") or bool(_GONE.search(normal.text))
    if verdict.category is Category.BAD_MAILBOX:
        if status.startswith("5.1."):
            return True
        if _AMBIGUOUS.search(normal.text):
            return False
        if evidence.phase is Phase.RCPT or not verdict.rule.startswith(f"{GENERIC}/"):
            return bool(code) or not evidence.said
        if status == "5.2.1" or status[2:4] in _NOT_OF_ADDRESSES:
            return False
        local = evidence.recipient.rpartition("@")[0].casefold()
        named = bool(code) and bool(local) and local in normal.text
        return evidence.phase is None and (named or bool(_EXCHANGE.search(normal.text)))
    return True
