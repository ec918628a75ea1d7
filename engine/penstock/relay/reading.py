"""The relay's reading of replies: a verdict for each attempt that delivered nothing.

A rule may say that a refusal is only for now (``retry``), or that a delay is for good (``bounce``);
then the outcome is made so before anybody acts on it. What no rule knows is counted by what it
says. Delivered mail never comes here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from penstock.events.pulse import normalised
from penstock.feedback.classify import OURS, Classifier
from penstock.feedback.normalise import of_text
from penstock.feedback.unmatched import UnmatchedReplies
from penstock.mail.outcome import Kind, Outcome
from penstock.mail.verdict import Verdict
from penstock.policy.replies import BOUNCE, NO_RULES, RETRY, ReplyRules

_KINDS = {RETRY: Kind.DEFERRED, BOUNCE: Kind.BOUNCED}


class Reading:
    """One worker's. ``unmatched_max``: texts kept of replies without a rule; ``forgot()`` is
    called for each that made room for another."""

    def __init__(
        self,
        rules: ReplyRules = NO_RULES,
        unmatched_max: int = 1000,
        forgot: Callable[[], None] | None = None,
    ) -> None:
        self.classifier = Classifier(rules)
        self.unmatched = UnmatchedReplies(unmatched_max, forgot)
        self._last: tuple[str, Outcome, Outcome, Verdict] | None = None

    def reload(self, rules: ReplyRules) -> None:
        """New rules hold from the next reply on."""
        if rules != self.classifier.rules:
            self.classifier = Classifier(rules)
            self.unmatched.clear()
        self._last = None

    def judge(self, provider: str, outcome: Outcome) -> tuple[Outcome, Verdict]:
        """The outcome as the rules want it, and what its reply says. All recipients of one
        transaction share an outcome more often than not: it is read once."""
        last = self._last
        if last is None or last[1] is not outcome or last[0] != provider:
            verdict = self.classifier.classify(provider, outcome.reply, outcome.phase)
            kind = _KINDS.get(self.classifier.action(verdict))
            judged = outcome if kind in (None, outcome.kind) else replace(outcome, kind=kind)
            last = self._last = provider, outcome, judged, verdict
        _, _, judged, verdict = last
        if not verdict.rule and outcome.phase not in OURS:
            text = normalised(str(outcome.reply))
            self.unmatched.add(provider, text, verdict.category)
        return judged, verdict

    def rows(self) -> list[dict[str, Any]]:
        """What no rule knows, each text with how often it came."""
        return [asdict(row) for row in self.unmatched.rows()]

    def read(self, provider: str, reply: str) -> Verdict:
        """A reply that was written down, whenever it came."""
        return self.classifier.read(provider, of_text(reply))
