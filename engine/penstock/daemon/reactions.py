"""What reply rules have ordered: when a rule fires, for how long, and what it holds meanwhile.

A rule fires when as many replies came within its time as its threshold says, counted for what the
reply names. What it orders lasts for its time; while it does, further replies add nothing, so an
operator who cancels it has the last word. A rule that fires again soon after that ended orders it
for twice as long. Times are arguments; everything is bounded.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from penstock.policy.replies import ReplyRule
from penstock.schedule.pace import Pace

HEARD_MAX = 10_000  # (source, provider, rule, what it names)
COUNTED_MAX = 1000  # replies of one of them
FOR_S = 30 * 60.0
FOR_MAX_S = 8 * 3600.0
ON_PACE = ("slow", "fewer-connections", "suspend")
ON_MAIL = ("other-source", "suspend-tenant", "suspend-campaign")
WANTED = frozenset((*ON_PACE, *ON_MAIL))

Key = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class Reaction:
    """A rule fired. ``where`` is its file and line; ``about``: the tenant, or tenant and campaign
    with a slash between; ``for_s``: how long it lasts this time."""

    source: str
    provider: str
    rule: str
    about: str
    action: str
    where: str
    until: float
    for_s: float
    rate_per_s: float | None = None
    connections: int | None = None

    @property
    def key(self) -> Key:
        return self.source, self.provider, self.rule, self.about

    def pace(self) -> Pace:
        reason = f"{self.rule} ({self.where}): {self.action}"
        not_before = self.until if self.action == "suspend" else 0.0
        return Pace(self.rate_per_s, self.connections, not_before, reason)

    def selector(self) -> dict[str, str]:
        """Which mail an order on mail is about."""
        if self.action == "other-source":
            return {"source": self.source, "provider": self.provider}
        tenant, _, campaign = self.about.partition("/")
        found = {"tenant": tenant, "provider": self.provider}
        return {**found, "campaign": campaign} if self.action == "suspend-campaign" else found


class Reactions:
    def __init__(self, heard_max: int = HEARD_MAX) -> None:
        self._heard_max = heard_max
        self._heard: OrderedDict[Key, deque[float]] = OrderedDict()
        self._last: OrderedDict[Key, Reaction] = OrderedDict()

    def __len__(self) -> int:
        return len(self._last)

    def heard(self, rule: ReplyRule, pair: tuple[str, str], about: str, n: int, now: float) -> bool:
        """``n`` replies came that ``rule`` decided; whether it fires now."""
        key = (*pair, rule.full_name, about)
        last = self._last.get(key)
        if last is not None and now < last.until:
            return False
        if rule.threshold is None:
            return True
        times = self._heard.pop(key, None) or deque(maxlen=COUNTED_MAX)
        self._heard[key] = times
        if len(self._heard) > self._heard_max:
            self._heard.popitem(last=False)
        times.extend([now] * min(n, COUNTED_MAX))
        while times and times[0] <= now - rule.threshold.period_s:
            times.popleft()
        if len(times) < min(rule.threshold.count, COUNTED_MAX):
            return False
        del self._heard[key]
        return True

    def fire(
        self, rule: ReplyRule, pair: tuple[str, str], about: str, in_use: int, now: float
    ) -> Reaction:
        """Its order from ``now`` on; ``in_use``: connections that the pair has."""
        last = self._last.pop((*pair, rule.full_name, about), None)
        for_s = rule.for_s or FOR_S
        if last is not None and now < last.until + last.for_s:
            for_s = min(last.for_s * 2, max(for_s, rule.for_max_s or FOR_MAX_S))
        fewer = rule.action == "fewer-connections"
        reaction = Reaction(
            *pair,
            rule.full_name,
            about,
            rule.action,
            str(rule.at),
            now + for_s,
            for_s,
            rule.to.per_s if rule.action == "slow" and rule.to is not None else None,
            max(1, in_use // 2) if fewer else None,
        )
        self._last[reaction.key] = reaction
        if len(self._last) > self._heard_max:
            self._last.popitem(last=False)
        return reaction

    def paces(self, now: float) -> dict[tuple[str, str], list[Pace]]:
        """What holds now, by pair."""
        found: dict[tuple[str, str], list[Pace]] = {}
        for one in self._last.values():
            if one.action in ON_PACE and one.until > now:
                found.setdefault((one.source, one.provider), []).append(one.pace())
        return found

    def forget(self, now: float) -> None:
        """What has ended, and can double nothing any more."""
        for key in [key for key, one in self._last.items() if one.until + one.for_s <= now]:
            del self._last[key]

    def keep_rules(self, names: Iterable[str]) -> None:
        """The rules that there are after a reload: what others ordered of paces ends."""
        known = set(names)
        for key in [key for key, one in self._last.items() if one.rule not in known]:
            del self._last[key]

    def to_list(self) -> list[dict[str, Any]]:
        """For JSON."""
        return [asdict(one) for one in self._last.values()]

    def load(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """As :meth:`to_list` gave it; raises ``TypeError`` for anything else."""
        for row in rows:
            one = Reaction(**row)
            self._last[one.key] = one
