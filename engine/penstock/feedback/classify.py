"""From a reply to a verdict: the provider's wording, then anybody's, then codes, then nothing.

The first digit says how long, and never why: a 550 may be about the sender's network, and whoever
suppresses the address for it loses a good one. Only wording tells, so rules of wording come first:
the provider's own, then the generic ones, each in the order of its file. Then rules by enhanced
code alone, then the code's usual meaning. One pass finds the few rules that can match (``gate``).

A verdict never says that an address is dead while the reply says to try again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from penstock.feedback.gate import Gate
from penstock.feedback.normalise import Normal, of_reply
from penstock.feedback.status import category_of
from penstock.mail.outcome import Phase
from penstock.mail.verdict import Category, Verdict, verdict_of
from penstock.policy.replies import BOUNCE, NO_RULES, RETRY, ReplyRule, ReplyRules
from penstock.smtp.reply import Reply

BOOKS_MAX = 256  # providers with rules of their own; more than there are files for
# Decided here and not by a host: nothing to read in words.
OURS = frozenset({Phase.RESOLVE, Phase.EGRESS, Phase.CONNECT, Phase.TLS})


class _Entry(NamedTuple):
    """A rule ready to be tried, with its two verdicts."""

    rule: ReplyRule
    search: re.Pattern[str] | None
    code: str
    status: re.Pattern[str] | None
    phases: frozenset[Phase]
    final: Verdict
    temporary: Verdict

    def fits(self, normal: Normal, phase: Phase | None) -> bool:
        """Code, enhanced code and phase; a phase that nobody knows stands against nothing."""
        code = self.code
        if code and (
            code[0] != str(normal.code)[0] if code[1] == "x" else code != str(normal.code)
        ):
            return False
        if self.status is not None and not self.status.fullmatch(normal.status):
            return False
        return not (self.phases and phase is not None and phase not in self.phases)


class _Book:
    """What holds for one provider, the generic rules included."""

    __slots__ = ("codes", "gate", "words")

    def __init__(self, own: Sequence[ReplyRule], generic: Sequence[ReplyRule]) -> None:
        rules = [_entry(rule) for rule in (*own, *generic)]
        self.words = [one for one in rules if one.search is not None]
        self.codes = [one for one in rules if one.search is None]
        self.gate = Gate([one.search for one in self.words if one.search is not None])

    def find(self, normal: Normal, phase: Phase | None) -> _Entry | None:
        text, words = normal.text, self.words
        bits = self.gate(text)
        while bits:
            lowest = bits & -bits
            one = words[lowest.bit_length() - 1]
            if one.search is not None and one.fits(normal, phase) and one.search.search(text):
                return one
            bits ^= lowest
        if normal.status:
            for one in self.codes:
                if one.fits(normal, phase):
                    return one
        return None


class Classifier:
    """Immutable in what it says, so that a reload swaps one reference. Books are made when their
    provider first says something."""

    def __init__(self, rules: ReplyRules = NO_RULES) -> None:
        self.rules = rules
        self._books: dict[str, _Book] = {}
        self._generic = _Book((), rules.generic)

    def classify(self, provider: str, reply: Reply, phase: Phase | None = None) -> Verdict:
        """Any reply gets a verdict; ``provider`` is a name of the policies or ``""``."""
        normal = of_reply(reply)
        if phase in OURS:
            return by_code(normal)
        return self.read(provider, normal, phase)

    def read(self, provider: str, normal: Normal, phase: Phase | None = None) -> Verdict:
        """The same for a reply that is normalised."""
        found = self._book(provider).find(normal, phase)
        if found is None:
            return by_code(normal)
        return found.temporary if 400 <= normal.code < 500 else found.final

    def action(self, verdict: Verdict) -> str:
        """What the rule behind ``verdict`` asks for; ``""``: what the category usually does."""
        rule = self.rules.by_name.get(verdict.rule) if verdict.rule else None
        return rule.action if rule is not None else ""

    def _book(self, provider: str) -> _Book:
        book = self._books.get(provider)
        if book is None:
            own = self.rules.of(provider)
            if not own:
                return self._generic
            if len(self._books) >= BOOKS_MAX:
                self._books.clear()
            book = self._books[provider] = _Book(own, self.rules.generic)
        return book


def by_code(normal: Normal) -> Verdict:
    """What is left where no rule knows the words: the enhanced code, or nothing."""
    category = category_of(normal.status) if normal.status else Category.UNKNOWN
    return _BY_CODE[category] if 400 <= normal.code < 500 else _FINAL_BY_CODE[category]


def _lasting(verdict: Verdict) -> Verdict:
    """The same of an address that may be alive."""
    return Verdict(verdict.category, verdict.fault, False, verdict.rule)


def _entry(rule: ReplyRule) -> _Entry:
    usual = verdict_of(rule.category, rule.full_name, rule.fault)
    status = None
    if rule.status:
        number = re.escape(rule.status).replace(r"\*", "[0-9]+")
        status = re.compile(number)
    return _Entry(
        rule,
        rule.pattern,
        rule.code,
        status,
        rule.phases,
        _lasting(usual) if rule.action == RETRY else usual,
        usual if rule.action == BOUNCE else _lasting(usual),
    )


_FINAL_BY_CODE = {category: verdict_of(category) for category in Category}
_BY_CODE = {category: _lasting(verdict) for category, verdict in _FINAL_BY_CODE.items()}
