"""Where queued mail stands on this worker: a lane for each queue key.

A *lane* is what shares a fate by its envelope: recipient domain, tenant, campaign, class, pool. A
*site* (:mod:`penstock.relay.site`) is what shares a fate by its destination and its source. Refs of
a lane wait in the lane until its domain is resolved and a source can be used, and in the ready
queues of its sites from then on, one site for each source. Both are forgotten when idle, so memory
follows the queue and not the history.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from penstock.limits.ports import Claim, Seat
from penstock.mail.outcome import Outcome
from penstock.mail.record import Key
from penstock.policy.limits import Limits
from penstock.policy.window import Window
from penstock.relay.ports import Destination
from penstock.relay.tls_demand import NO_TERMS, Terms
from penstock.schedule.intqueue import IntQueue
from penstock.schedule.ready import Place

if TYPE_CHECKING:
    from penstock.relay.rules import Rule
    from penstock.relay.site import Site
    from penstock.relay.spool import Stored
    from penstock.relay.ways import Way

Selector = dict[str, str]


@dataclass(slots=True, eq=False)
class Lane:
    """``number`` is the lane's key in the ready queues of its sites. ``waiting`` holds refs while
    the domain is not resolved or no source can be used. ``site``: that of its only source, or the
    first one that was used; ``others``: those of further sources. ``single``: everything goes to
    ``site``. ``used``: when mail last came, on the loop's axis.

    ``alone``: each recipient goes in a transaction of its own. ``class_``, ``pool``: what policy
    makes of the key's. ``provider`` is ``None`` until the domain has been looked up. ``held``: the
    order of an operator that keeps it back. ``terms``: what TLS its mail demands besides its site's
    limits.
    """

    number: int
    key: Key
    site: Site | None = None
    others: dict[str, Site] | None = None
    single: bool = False
    way: Way | None = None
    destination: Destination | None = None
    site_name: str = ""
    limits: Limits | None = None
    class_: str = ""
    pool: str = ""
    place: Place | None = None
    window: Window | None = None
    waiting: IntQueue = field(default_factory=IntQueue)
    fresh_until: float = 0.0
    resolving: bool = False
    held: Rule | None = None
    alone: bool = False
    used: float = 0.0
    provider: str | None = None
    failures: int = 0
    blocked_until: float = 0.0
    last_failure: Outcome | None = None
    round: int = 0
    terms: Terms = NO_TERMS

    def sites(self) -> Iterable[Site]:
        """Every site that has something of this lane, or had."""
        if self.site is not None:
            yield self.site
        if self.others:
            yield from self.others.values()

    def site_of(self, source: str) -> Site | None:
        if self.site is not None and self.site.source == source:
            return self.site
        return self.others.get(source) if self.others else None

    def join(self, site: Site) -> None:
        """Mail of this lane stands there from now on."""
        if self.site is None:
            self.site = site
        else:
            self.others = self.others if self.others is not None else {}
            self.others[site.source] = site

    def part(self, site: Site) -> None:
        """None of it stands there any more."""
        if self.site is site:
            self.site = None
            if self.others:
                source = next(iter(self.others))
                self.site = self.others.pop(source)
        elif self.others:
            self.others.pop(site.source, None)

    def field(self, name: str) -> str | None:
        """The value that a selector's field is compared with; ``None``: not known yet."""
        if name == "provider":
            return self.provider
        if name == "class":
            return self.class_
        if name == "pool":
            return self.pool
        value: str = getattr(self.key, name)
        return value

    def matches(self, selector: Selector) -> bool:
        """Whether every field of the selector but ``source`` fits; an empty one fits nothing."""
        for name, value in selector.items():
            if name != "source" and self.field(name) != value:
                return False
        return bool(selector)


class Extra(NamedTuple):
    """What mail of one lane at one site counts against besides the site's own limits. ``claims``
    are the site's and these; ``levels``: who waits for each key of its own; ``seats`` are taken for
    the time of a transaction."""

    claims: tuple[Claim, ...]
    byte_claims: tuple[Claim, ...]
    seats: tuple[Seat, ...]
    levels: dict[str, str]
    window: Window | None


class Batch(NamedTuple):
    """Refs of one message that go in one transaction, with what was read for each.

    ``fresh``: none of them was attempted before, and none was read from disk."""

    refs: list[int]
    stored: list[Stored]
    fresh: bool = False


@dataclass(slots=True, eq=False)
class Ticket:
    """What the dispatcher must know again when a transaction comes back. ``claims``: what it was
    charged to, a token a recipient; ``seats``: what it holds. ``returns_to_us``: what other hosts
    report of it comes to us and not to its sender."""

    site: Site
    batch: Batch
    started: float
    claims: tuple[Claim, ...] = ()
    seats: tuple[Seat, ...] = ()
    returns_to_us: bool = False
