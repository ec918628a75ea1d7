"""From a reply to a verdict: the provider's wording, then anybody's, then codes, then nothing.

The first digit says how long, and never why: a 550 may be about the sender's network, and whoever
suppresses the address for it loses a good one. Only wording tells, so rules of wording come first:
the provider's own, then the generic ones, each in the order of its file. Then rules by enhanced
code alone, then the code's usual meaning. One pass finds the few rules that can match (``gate``).

A verdict never says that an address is dead while the reply says to try again.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from penstock.feedback.gate import Gate
from penstock.feedback.normalise import Normal, of_reply
from penstock.feedback.status import category_of
from penstock.mail.outcome import Phase
from penstock.mail.verdict import Category, Verdict, verdict_of
from penstock.policy.replies import ANY, BOUNCE, NO_RULES, RETRY, ReplyRule, ReplyRules
from penstock.smtp.reply import Reply

# Decided here and not by a host: nothing to read in words.
OURS = frozenset({Phase.RESOLVE, Phase.EGRESS, Phase.CONNECT})


class _Entry(NamedTuple):
    """A rule ready to be tried, with its two verdicts."""

    rule: ReplyRule
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


class _Book(NamedTuple):
    """What holds for one provider: bits of the gate, and the rules by enhanced code alone."""

    mask: int
    codes: tuple[_Entry, ...]


class Classifier:
    """Immutable in what it says, so that a reload swaps one reference."""

    def __init__(self, rules: ReplyRules = NO_RULES) -> None:
        self.rules = rules
        self._words: list[_Entry] = []
        patterns: list[re.Pattern[str]] = []
        spans: dict[str, range] = {}
        codes: dict[str, tuple[_Entry, ...]] = {}
        # the generic ones last: of all that fit the first one decides
        for provider in sorted(rules.by_provider, key=lambda name: (name == ANY, name)):
            start = len(self._words)
            for rule in rules.by_provider[provider]:
                if rule.pattern is not None:
                    self._words.append(_entry(rule))
                    patterns.append(rule.pattern)
            spans[provider] = range(start, len(self._words))
            codes[provider] = tuple(
                _entry(rule) for rule in rules.by_provider[provider] if rule.pattern is None
            )
        self._gate = Gate(patterns)
        generic = self._gate.mask(spans.get(ANY, range(0)))
        self._generic = _Book(generic, codes.get(ANY, ()))
        self._books = {
            name: _Book(self._gate.mask(span) | generic, codes[name] + self._generic.codes)
            for name, span in spans.items()
            if name != ANY
        }

    @property
    def words(self) -> int:
        """How many words of replies are remembered; at most ``gate.WORDS_MAX``."""
        return self._gate.words

    def classify(self, provider: str, reply: Reply, phase: Phase | None = None) -> Verdict:
        """Any reply gets a verdict; ``provider`` is a name of the policies or ``""``."""
        normal = of_reply(reply)
        if phase in OURS:
            return by_code(normal)
        verdict = self.read(provider, normal, phase)
        if phase is Phase.TLS and not verdict.rule:  # whatever the code says of security
            return _BY_CODE[Category.NETWORK]
        return verdict

    def read(self, provider: str, normal: Normal, phase: Phase | None = None) -> Verdict:
        """The same for a reply that is normalised."""
        found = self._find(self._books.get(provider, self._generic), normal, phase)
        if found is None:
            return by_code(normal)
        return found.temporary if 400 <= normal.code < 500 else found.final

    def action(self, verdict: Verdict) -> str:
        """What the rule behind ``verdict`` asks for; ``""``: what the category usually does."""
        rule = self.rules.by_name.get(verdict.rule) if verdict.rule else None
        return rule.action if rule is not None else ""

    def _find(self, book: _Book, normal: Normal, phase: Phase | None) -> _Entry | None:
        for number in self._gate.matches(normal.text, book.mask):
            one = self._words[number]
            if one.fits(normal, phase):
                return one
        if normal.status:
            for one in book.codes:
                if one.fits(normal, phase):
                    return one
        return None


def by_code(normal: Normal) -> Verdict:
    """What is left where no rule knows the words: the enhanced code, or nothing."""
    category = category_of(normal.status) if normal.status else Category.UNKNOWN
    if 400 <= normal.code < 500:
        return _BY_CODE[category]
    if normal.status.endswith(".4.4"):  # no way there, for good
        category = Category.BAD_DOMAIN
    return _FINAL_BY_CODE[category]


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
        rule.code,
        status,
        rule.phases,
        _lasting(usual) if rule.action == RETRY else usual,
        usual if rule.action == BOUNCE else _lasting(usual),
    )


_FINAL_BY_CODE = {category: verdict_of(category) for category in Category}
_BY_CODE = {category: _lasting(verdict) for category, verdict in _FINAL_BY_CODE.items()}
