"""Standing orders of operators: suspend, bounce, reroute, expire, each for what a selector names.

An order holds from the moment that it is given, at no cost for the mail it is about: lanes are
compared with it, not messages. What has to be done to each message (giving it up, moving its
expiry) is done afterwards, a few at a time (:mod:`penstock.relay.sweep`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from penstock.policy.tenants import TRANSACTIONAL
from penstock.relay.lane import Lane, Selector
from penstock.relay.ways import FIRST, REST, ROUTED, Detour, Mail, SourceBook, Way

Verb = Literal["suspend", "bounce", "reroute", "expire"]


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """``until`` 0: until it is cancelled. ``before`` above 0: only what was accepted by then."""

    id: str
    verb: Verb
    selector: Selector
    since: float
    until: float = 0.0
    who: str = ""
    reason: str = ""
    args: Mapping[str, Any] = field(default_factory=dict)

    @property
    def source(self) -> str:
        return self.selector.get("source", "")

    @property
    def before(self) -> float:
        return float(self.args.get("before", 0.0))

    def row(self) -> dict[str, Any]:
        """As it is told to others."""
        return {
            "id": self.id,
            "verb": self.verb,
            "selector": dict(self.selector),
            "since": self.since,
            "until": self.until,
            "who": self.who,
            "reason": self.reason,
            "args": dict(self.args),
        }


class Rules:
    """All that are in force. ``version`` rises with every change."""

    def __init__(self, rows: Iterable[Mapping[str, Any]] = ()) -> None:
        self.all: tuple[Rule, ...] = ()
        self.version = 0
        self.replace(rows)

    def replace(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """These from now on; one that was there already stays the same object."""
        known = {one.id: one for one in self.all}
        self.all = tuple(known.get(row["id"]) or Rule(**row) for row in rows)
        self.version += 1

    def held(self, lane: Lane, source: str = "") -> Rule | None:
        """What keeps the lane back, at the site of ``source`` where a rule names one."""
        return next((rule for rule in self.all if self._holds(rule, lane, source)), None)

    def binding(self, lane: Lane, source: str = "") -> Rule | None:
        """Of all that keep the lane back the one that decides: giving up before holding, and what
        holds longest."""
        if not self.all:
            return None
        found = [rule for rule in self.all if self._holds(rule, lane, source)]
        return max(found, key=_weight, default=None)

    def _holds(self, rule: Rule, lane: Lane, source: str) -> bool:
        if rule.verb not in ("suspend", "bounce"):
            return False
        if rule.source and (rule.source != source or self.takes_out(rule)):
            return False
        return lane.matches(rule.selector)

    @staticmethod
    def takes_out(rule: Rule) -> bool:
        """Whether the rule suspends a source as such: its mail can go by others."""
        return rule.verb == "suspend" and set(rule.selector) <= {"source", "provider"}

    def suspends(self, source: str, provider: str) -> bool:
        """Whether the source may not be used for the provider."""
        return any(
            rule.source == source and rule.selector.get("provider", provider) == provider
            for rule in self.all
            if rule.source and self.takes_out(rule)
        )

    def pool(self, lane: Lane) -> str:
        """The pool that the lane's mail was rerouted to; ``""`` where it was not."""
        for rule in reversed(self.all):
            if rule.verb == "reroute" and not rule.source and lane.matches(rule.selector):
                return str(rule.args["pool"])
        return ""

    def way(self, lane: Lane, book: SourceBook, provider: str) -> Way:
        """By which sources the lane's mail leaves, after what was rerouted. A pool that a reload
        took away counts as none. Where a rule names a source, it is about what leaves by that."""
        mail = mail_of(lane)
        way = book.ways(book.known(self.pool(lane)) or lane.pool, provider, mail)
        detours = {
            rule.source: book.ways(pool, provider, mail)
            for rule in self.all
            if rule.verb == "reroute"
            and rule.source in way.sources
            and lane.matches(rule.selector)
            and (pool := book.known(str(rule.args["pool"])))
        }
        return Detour(way, detours) if detours else way

    def matching(self, lane: Lane) -> list[Rule]:
        """All that name the lane's mail, or some of it; for explanations."""
        return [rule for rule in self.all if lane.matches(rule.selector)]


def mail_of(lane: Lane) -> Mail:
    """What warming up makes of the lane's mail: a route of one's own is no mailbox provider."""
    if lane.destination is not None and lane.destination.route is not None:
        return ROUTED
    return FIRST if lane.class_ == TRANSACTIONAL else REST


def suspended(rules: Rules, lanes: Iterable[Lane]) -> int:
    """Deliveries that orders keep back, of those that are ready."""
    if not rules.all:
        return 0
    by_source = any(rule.source for rule in rules.all)
    return sum(
        (len(lane.waiting) if lane.held is not None else 0)
        + sum(
            site.ready.count(lane.number) for site in lane.sites() if site.ready.held(lane.number)
        )
        for lane in lanes
        if by_source or lane.held is not None
    )


def _weight(rule: Rule) -> tuple[bool, float]:
    return rule.verb == "bounce", rule.until or float("inf")
