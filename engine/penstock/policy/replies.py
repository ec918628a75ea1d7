"""The rules by which replies are read, as values: whose wording means what, and what to do then.

A rule is about the wording (``pattern``), about the enhanced status code alone (``status``), or
both. Where it stands in its file counts: of one layer the first that matches decides. How they are
searched is in ``penstock.feedback``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from penstock.mail.outcome import Phase
from penstock.mail.verdict import Category, Fault
from penstock.policy.limits import Provenance
from penstock.policy.rate import Rate

ANY = "any"  # the provider of the rules that hold for each
GENERIC = "generic"  # how these are named in logs
RETRY, BOUNCE = "retry", "bounce"
ACTIONS = (
    "slow",
    "fewer-connections",
    "suspend",
    "other-source",
    BOUNCE,
    RETRY,
    "suspend-tenant",
    "suspend-campaign",
)
KEYS = ("ip", "ip-block", "domain", "url", "tenant", "recipient")


@dataclass(frozen=True, slots=True)
class Sample:
    """A reply that stands in a rule's file to hold the rule to it."""

    reply: str
    at: Provenance


@dataclass(frozen=True, slots=True)
class ReplyRule:
    """``code``: ``""``, ``"421"``, ``"4xx"`` or ``"5xx"``; ``status``: ``""`` or like ``4.7.28``, a
    star for any number; ``phases`` empty: any. ``key``: what the reply names, ``""`` the source as
    a whole. ``threshold``: the action fires when as many came in that time, at the first where it
    is ``None``. ``to`` is for ``slow``; ``for_s`` 0: until it is cancelled or looked at again."""

    provider: str
    name: str
    category: Category
    fault: Fault | None = None
    pattern: re.Pattern[str] | None = None
    code: str = ""
    status: str = ""
    phases: frozenset[Phase] = frozenset()
    key: str = ""
    threshold: Rate | None = None
    action: str = ""
    to: Rate | None = None
    for_s: float = 0.0
    for_max_s: float = 0.0
    matches: tuple[Sample, ...] = ()
    not_matches: tuple[Sample, ...] = ()
    at: Provenance = field(default=Provenance("built-in"), compare=False)

    @property
    def full_name(self) -> str:
        """``gmail/rate-ip``: as logs and metrics name it."""
        return f"{GENERIC if self.provider == ANY else self.provider}/{self.name}"


@dataclass(frozen=True, slots=True)
class ReplyRules:
    """All of them, by provider in the order of their files; those under :data:`ANY` hold for each
    provider, after its own."""

    by_provider: Mapping[str, tuple[ReplyRule, ...]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    by_name: Mapping[str, ReplyRule] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        names = {rule.full_name: rule for rule in self}
        object.__setattr__(self, "by_name", MappingProxyType(names))

    def __iter__(self) -> Iterator[ReplyRule]:
        return (rule for rules in self.by_provider.values() for rule in rules)

    def __len__(self) -> int:
        return sum(map(len, self.by_provider.values()))

    @property
    def generic(self) -> tuple[ReplyRule, ...]:
        return self.by_provider.get(ANY, ())

    def of(self, provider: str) -> tuple[ReplyRule, ...]:
        """The provider's own, without the generic ones."""
        return () if provider == ANY else self.by_provider.get(provider, ())


NO_RULES = ReplyRules()
