"""Recorded replies read again by other rules: what would have fired, and what changed.

What a reply said before is what its record says, else what the old rules say of it now. An action
with a threshold fires as it would have: when as many replies came within its time for one source,
and then not again until it ends. Where a record has no time that cannot be told.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

from penstock.feedback.classify import Classifier
from penstock.feedback.normalise import Normal
from penstock.mail.outcome import Phase
from penstock.mail.verdict import Verdict
from penstock.policy.replies import ReplyRule


@dataclass(frozen=True, slots=True)
class Heard:
    """One recorded reply. ``rule`` and ``category``: what it was taken for, ``None`` where the
    record does not say; ``at`` is in seconds, ``None`` where nobody knows."""

    provider: str
    normal: Normal
    phase: Phase | None = None
    source: str = ""
    at: float | None = None
    rule: str | None = None
    category: str | None = None


@dataclass(slots=True)
class Row:
    """Replies of one provider that one rule decides now, or none. ``fired``: how often its action
    would have begun; ``None``: it has none, or the records have no times. ``was``: what those
    were before that were something else."""

    rule: str
    category: str
    action: str
    replies: int = 0
    fired: int | None = None
    was: Counter[str] = field(default_factory=Counter)

    @property
    def changed(self) -> int:
        return self.was.total()


class Replay:
    """``old`` speaks for records that do not say what they were taken for."""

    def __init__(self, new: Classifier, old: Classifier | None = None) -> None:
        self._new, self._old = new, old
        self._rows: dict[str, dict[tuple[str, str], Row]] = {}
        self._firing: dict[tuple[str, str, str], _Firing] = {}

    def add(self, heard: Heard) -> None:
        verdict = self._new.read(heard.provider, heard.normal, heard.phase)
        rule = self._new.rules.by_name.get(verdict.rule)
        category = verdict.category.value
        rows = self._rows.setdefault(heard.provider, {})
        key = verdict.rule, category
        row = rows.get(key)
        if row is None:
            row = rows[key] = Row(verdict.rule, category, rule.action if rule else "")
        row.replies += 1
        before = self._before(heard)
        if before is not None and before != key:
            row.was[described(*before)] += 1
        if rule is not None and rule.action and heard.at is not None:
            row.fired = (row.fired or 0) + self._fires(rule, heard, heard.at)

    def providers(self) -> dict[str, list[Row]]:
        """The rows of each provider, the most frequent first."""
        return {
            provider: sorted(rows.values(), key=lambda row: (-row.replies, row.rule, row.category))
            for provider, rows in sorted(self._rows.items())
        }

    def _before(self, heard: Heard) -> tuple[str, str] | None:
        if heard.category is not None:
            return heard.rule or "", heard.category
        if self._old is None:
            return None
        verdict: Verdict = self._old.read(heard.provider, heard.normal, heard.phase)
        return verdict.rule, verdict.category.value

    def _fires(self, rule: ReplyRule, heard: Heard, at: float) -> bool:
        key = heard.provider, heard.source, rule.full_name
        firing = self._firing.get(key)
        if firing is None:
            count = rule.threshold.count if rule.threshold else 1
            firing = self._firing[key] = _Firing(deque(maxlen=count))
        return firing.heard(rule, at)


def described(rule: str, category: str) -> str:
    """``throttled by gmail/rate-ip``."""
    return f"{category} by {rule}" if rule else f"{category} by no rule"


@dataclass(slots=True)
class _Firing:
    """When one rule was met by one source lately. ``times`` holds as many as the threshold."""

    times: deque[float]
    until: float = 0.0

    def heard(self, rule: ReplyRule, at: float) -> bool:
        if at < self.until:
            return False
        times = self.times
        times.append(at)
        if len(times) < (times.maxlen or 1):
            return False
        if rule.threshold is not None and at - times[0] > rule.threshold.period_s:
            return False
        times.clear()
        self.until = at + rule.for_s
        return True
