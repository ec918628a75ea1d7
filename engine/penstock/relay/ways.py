"""By which source the mail of a pool leaves, and which sources can be used now.

A source may be out: its address is not on this machine, or an operator suspended it, for all mail
or for one provider. Its mail goes by the others of the pool then; where the pool has none left, by
those of its overflow pool, and so on; where there is none at all it waits.

A source that is being warmed up is out for mail that it may not send today. That mail goes by the
sources that are warm, where there are any, so that it does not use up what another one may send.
Where more waits for it than it may send today it keeps a part, and the others take the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, Protocol

from penstock.policy.egress import Pool
from penstock.schedule.spread import Spread, fraction

Mail = Literal["routed", "first", "rest"]
# What warming up makes of mail: it goes by a route and is not concerned, is transactional, or other
ROUTED: Mail = "routed"
FIRST: Mail = "first"
REST: Mail = "rest"
_KNOWN_MAX = 4096
_FAILED_S_MIN = 15.0
_FAILED_S_MAX = 900.0


class Warmth(Protocol):
    """What warming up says of sources: see ``relay/warming.py``."""

    def why_out(self, source: str, provider: str, *, first: bool) -> str: ...

    def is_warm(self, source: str, provider: str) -> bool: ...

    def keeps(self, source: str, provider: str) -> float: ...


class Way:
    """The sources that mail of one pool to one provider may use now; immutable. ``pool`` is the one
    that they are of, another than asked for where mail overflows. ``only``: the source, where there
    is just one. ``rather``: those that take the mail of sources that are out, where not all do;
    ``keeps``: the part of its mail that a source keeps, where it is not all."""

    __slots__ = (
        "_keeps",
        "_names",
        "_parts",
        "_rather",
        "_shares",
        "_usable",
        "only",
        "pool",
        "sources",
    )

    def __init__(
        self,
        pool: str,
        names: tuple[str, ...],
        shares: Spread,
        usable: set[int],
        rather: set[int] | None = None,
        keeps: Mapping[int, float] | None = None,
    ) -> None:
        self.pool = pool
        self.sources = frozenset(names[one] for one in usable)
        self.only = next(iter(self.sources)) if len(usable) == 1 else ""
        self._names, self._shares, self._usable = names, shares, usable
        self._rather = rather or usable
        self._keeps = keeps or {}
        own = sum(shares.weight(one) for one in usable) / shares.total if usable else 0.0
        taking = sum(shares.weight(one) for one in self._rather)
        self._parts = {
            names[one]: shares.weight(one) / shares.total
            + (1 - own) * (shares.weight(one) / taking if one in self._rather else 0.0)
            for one in usable
        }

    def moves(self, before: Way) -> bool:
        """Whether mail that one of these sources has, since it went ``before``, may now be another
        one's. Where sources have only gone, that is their mail and no other."""
        return self._plan() != before._plan() or not self._usable <= before._usable

    def _plan(self) -> tuple[object, ...]:
        """What decides about a message besides who can be used."""
        weights = tuple(map(self._shares.weight, range(len(self._names))))
        return self._names, weights, tuple(sorted(self._keeps.items()))

    def shares(self) -> Mapping[str, float]:
        """What part of its mail goes by each source, about."""
        return self._parts

    def source(self, number: int) -> str:
        """The source of message ``number``, always the same; ``""`` where there is none."""
        if self.only:
            return self.only
        found = self._shares.pick_among(number, self._usable, self._rather)
        if found is not None and fraction(number) >= self._keeps.get(found, 1.0):
            found = self._shares.pick_among(number, self._rather - {found}) or found
        return "" if found is None else self._names[found]


class Detour(Way):
    """A way of which the mail of some sources goes by other ways: ``by`` source. Where such a way
    has no source that can be used, by what is left; never by the source that it is to leave."""

    __slots__ = ("_base", "_by")

    def __init__(self, base: Way, by: Mapping[str, Way]) -> None:
        left = {one for one in base._usable if base._names[one] not in by}
        rest = Way(base.pool, base._names, base._shares, left, base._rather & left, base._keeps)
        if not rest.sources:
            rest = next((way for way in by.values() if way.sources), rest)
        self.pool = base.pool
        self._base = base
        self._by = {source: way if way.sources else rest for source, way in by.items()}
        self.sources = frozenset().union(
            (base.sources - by.keys()), *(way.sources for way in self._by.values())
        )
        self.only = next(iter(self.sources)) if len(self.sources) == 1 else ""
        self._names, self._shares, self._usable = base._names, base._shares, base._usable
        self._rather, self._keeps = base._rather, base._keeps

    def _plan(self) -> tuple[object, ...]:
        by = ((source, way._plan(), way.sources) for source, way in sorted(self._by.items()))
        return super()._plan(), *by

    def shares(self) -> dict[str, float]:
        """As those of any way."""
        found: dict[str, float] = {}
        for source, part in self._base.shares().items():
            other = self._by.get(source)
            for name, share in ({source: 1.0} if other is None else other.shares()).items():
                found[name] = found.get(name, 0.0) + part * share
        return found

    def source(self, number: int) -> str:
        """As that of any way."""
        if self.only or not self.sources:
            return self.only
        source = self._base.source(number)
        other = self._by.get(source)
        return source if other is None else other.source(number)


class SourceBook:
    """Which sources are out, and the ways that are left. ``version`` rises with every change."""

    def __init__(self, pools: Mapping[str, Pool]) -> None:
        self.version = 0
        self._pools = pools
        self._absent: dict[str, str] = {}
        self._failing: dict[str, str] = {}
        self._failures: dict[str, int] = {}
        self._try_at: dict[str, float] = {}
        self._suspended: Callable[[str, str], bool] = lambda source, provider: False
        self._warmth: Warmth | None = None
        self._ways: dict[tuple[str, str, Mail], Way] = {}

    def reload(self, pools: Mapping[str, Pool]) -> None:
        self._pools = pools
        self._changed()

    def failed(self, source: str, reason: str, now: float) -> float:
        """Its way out is broken; returns for how many seconds to leave it alone, 0 where that is
        so already. ``now`` is on any axis, :meth:`tried_again_at` answers on the same."""
        if source in self._failing:
            return 0.0
        self._failures[source] = failures = self._failures.get(source, 0) + 1
        self._failing[source] = reason
        self._changed()
        pause_s = float(min(_FAILED_S_MIN * 2.0 ** min(failures - 1, 16), _FAILED_S_MAX))
        self._try_at[source] = now + pause_s
        return pause_s

    def tried_again_at(self, source: str) -> float:
        """When one that failed may be used again; 0 for any other."""
        return self._try_at.get(source, 0.0) if source in self._failing else 0.0

    def try_again(self, source: str) -> None:
        """It may be used again, to find out."""
        self._try_at.pop(source, None)
        if self._failing.pop(source, None) is not None:
            self._changed()

    def worked(self, source: str) -> None:
        """A connection was made by it."""
        self._failures.pop(source, None)

    def absent(self, reasons: Mapping[str, str]) -> bool:
        """These sources cannot be used by anybody now, for these reasons; whether that is new."""
        if reasons == self._absent:
            return False
        self._absent = dict(reasons)
        self._changed()
        return True

    def suspended(self, by: Callable[[str, str], bool]) -> None:
        """``by(source, provider)`` says what operators have taken out."""
        self._suspended = by
        self._changed()

    def warmed(self, warmth: Warmth) -> None:
        """What warming up says has changed."""
        self._warmth = warmth
        self._changed()

    def why_out(self, source: str, provider: str, mail: Mail = ROUTED) -> str:
        """Why a source cannot be used for such mail; ``""`` where it can."""
        reason = self._absent.get(source, "") or self._failing.get(source, "")
        if reason:
            return reason
        if self._suspended(source, provider):
            return "suspended"
        if self._warmth is None or mail == ROUTED:
            return ""
        return self._warmth.why_out(source, provider, first=mail == FIRST)

    def known(self, pool: str) -> str:
        """``pool``, or ``""`` where there is none of that name."""
        return pool if pool in self._pools else ""

    def ways(self, pool: str, provider: str, mail: Mail = ROUTED) -> Way:
        """What mail of ``pool`` for ``provider`` may use now."""
        known = self._ways.get((pool, provider, mail))
        if known is None:
            if len(self._ways) >= _KNOWN_MAX:
                self._ways.clear()
            known = self._ways[pool, provider, mail] = self._find(pool, provider, mail)
        return known

    def _find(self, pool: str, provider: str, mail: Mail) -> Way:
        name, seen = pool, set[str]()
        while name and name not in seen:
            seen.add(name)
            found = self._pools.get(name)
            if found is None:  # gone with a reload, and whoever asks does not know it yet
                break
            names = tuple(found.sources)
            usable = {n for n, one in enumerate(names) if not self.why_out(one, provider, mail)}
            if usable:
                shares = Spread(tuple(found.sources.values()))
                return Way(name, names, shares, usable, *self._warm(names, usable, provider, mail))
            name = found.overflow
        return Way(pool, (), Spread(()), set())

    def _warm(
        self, names: tuple[str, ...], usable: set[int], provider: str, mail: Mail
    ) -> tuple[set[int], dict[int, float]]:
        """Who takes what others may not send, and what part of their mail others keep."""
        warmth = self._warmth
        if warmth is None or mail == ROUTED:
            return set(), {}
        keeps = {one: warmth.keeps(names[one], provider) for one in usable} if mail == REST else {}
        return (
            {one for one in usable if warmth.is_warm(names[one], provider)},
            {one: part for one, part in keeps.items() if part < 1.0},
        )

    def _changed(self) -> None:
        self.version += 1
        self._ways.clear()
