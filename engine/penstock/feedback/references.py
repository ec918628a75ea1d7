"""Which of our deliveries a report is about, as far as the report itself can say.

A signed token is proof: only who got the mail has it. Ids in headers prove nothing, since anybody
can write them; they lead to a message, and count only where the report also names one of its
recipients. So nobody can have an address suppressed without having had the mail.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from penstock.feedback.report import Finding, Original, Report
from penstock.mail.envelope import id_number
from penstock.mail.verp import TOKEN_CHARS

_IDS_MAX = 8
_ID_CHARS_MAX = 13
_WORD = re.compile(r"[0-9a-hjkmnp-tv-z]{1,13}")
_TOKEN = re.compile(rf"(?<![0-9a-z])[0-9a-hjkmnp-tv-z]{{{TOKEN_CHARS}}}(?![0-9a-z])")
_TOKENS_MAX = 8
_SPLIT = re.compile(r"[^0-9A-Za-z]+")


class Match(NamedTuple):
    """One recipient of ours, and what the report says of it."""

    recipient: str
    finding: Finding


def tokens_in(original: Original) -> list[str]:
    """What has the form of a token in the headers of the original mail: in our reference, in
    addresses and in links. None is verified."""
    places = (
        original.reference,
        original.return_path,
        original.list_unsubscribe,
        original.feedback_id,
        original.message_id,
    )
    found = [token for text in places for token in _TOKEN.findall(text.lower())]
    return list(dict.fromkeys(found))[:_TOKENS_MAX]


def refs_in(original: Original) -> list[int]:
    """Numbers of deliveries that these headers may mean: our reference header first, then our
    ``Feedback-ID``, then the local part of the ``Message-ID``."""
    message_id = original.message_id.strip("<>").partition("@")[0]
    words = [
        word.lower()
        for text in (original.reference, original.feedback_id, message_id)
        for word in _SPLIT.split(text)
    ]
    found: list[int] = []
    for word in words:
        if len(word) <= _ID_CHARS_MAX and _WORD.fullmatch(word):
            number = id_number(word) if len(word) < _ID_CHARS_MAX or word < "g" else 0
            if number and number not in found:
                found.append(number)
    return found[:_IDS_MAX]


def matches(report: Report, recipients: Sequence[str], exact: str, *, signed: bool) -> list[Match]:
    """What the report says of recipients of ours. ``recipients`` are those of the message;
    ``exact`` is the one that a token names, ``""`` where it names the message alone; without a
    token (``signed``) only who is named counts."""
    findings = report.findings
    if exact:
        # forwarded, it may name others than we sent to: what is worst of them is what we hear
        named = [one for one in findings if one.recipient.lower() == exact.lower()]
        failed = [one for one in findings if one.action in ("failed", "")]
        chosen = (named or failed or list(findings))[:1]
        return [Match(exact, one) for one in chosen]
    by_name = {one.lower(): one for one in recipients}
    found: dict[str, Match] = {}
    for finding in findings:
        for name in [finding.recipient] if finding.recipient else report.original.recipients:
            known = by_name.get(name.lower())
            if known is not None:
                found.setdefault(known, Match(known, finding))
    if not found and signed and len(recipients) == 1:
        return [Match(recipients[0], finding) for finding in findings[:1]]
    return list(found.values())
