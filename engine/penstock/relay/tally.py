"""What came of the attempts of each (source, provider), to be told to the supervisor.

Counting costs one addition a delivered recipient: a site holds the tally of its pair. About once a
second :meth:`Tallies.rows` takes what there is to say and begins at nothing again. Hosts are
remembered for a minute, so that one that cannot be reached is seen beside the others that can.
Pairs are bounded; what finds no room, and mail of no provider, is counted where nobody looks.
"""

from __future__ import annotations

from typing import Any

from penstock.mail.outcome import Kind
from penstock.mail.verdict import Category, Fault, Verdict

FIRED_MAX = 64  # of one pair between two looks: rules, each with what its reply names
HOSTS_MAX = 256
HOSTS_S = 60.0
COUNTS = (
    *("delivered", "throttled", "blocked", "greylisted", "deferred", "refused"),
    *("connected", "connect_failed", "crowded"),
)
_BY_CATEGORY = {
    Category.THROTTLED: "throttled",
    Category.REPUTATION_BLOCK: "blocked",
    Category.GREYLISTED: "greylisted",
}


class Tally:
    """One source at one provider. ``open``: its connections now; ``in_use``: the most of late;
    ``busy``: mail waited for the pace; ``shed``: how many connections are to end, for the pace has
    fewer; ``fired``: replies by rule and by what it says they name."""

    __slots__ = (*COUNTS, "busy", "fired", "hosts", "in_use", "open", "provider", "shed", "source")

    def __init__(self, source: str, provider: str) -> None:
        self.source, self.provider = source, provider
        self.open = self.in_use = self.shed = 0
        self.hosts: dict[str, tuple[float, bool]] = {}
        self._begin()

    def _begin(self) -> None:
        self.delivered = self.throttled = self.blocked = self.greylisted = 0
        self.deferred = self.refused = self.connected = self.connect_failed = self.crowded = 0
        self.busy = False
        self.fired: dict[tuple[str, str], int] = {}

    def heard(self, kind: Kind, verdict: Verdict, greeting: bool) -> None:
        """One recipient was not delivered. ``greeting``: it was refused before it was offered,
        which is said of connections."""
        name = _BY_CATEGORY.get(verdict.category)
        if name is None:
            if kind is Kind.DEFERRED:
                name = "deferred"
            elif verdict.fault is not Fault.SENDER:
                name = "refused"
            else:
                return  # the sender's own fault, but not one that another pace would mend
        if greeting and name == "throttled":
            self.crowded += 1
        setattr(self, name, getattr(self, name) + 1)

    def acted(self, rule: str, about: str) -> None:
        """A rule that wants something done has fired, over ``about``."""
        if (rule, about) in self.fired or len(self.fired) < FIRED_MAX:
            self.fired[rule, about] = self.fired.get((rule, about), 0) + 1

    def opened(self, host: str, now: float) -> None:
        """A connection was made; pair with :meth:`closed`."""
        self.connected += 1
        self.open += 1
        self.in_use = max(self.in_use, self.open)
        self._tried(host, now, True)

    def closed(self) -> None:
        self.open -= 1
        self.shed = min(self.shed, self.open)

    def sheds(self) -> bool:
        """Whether a connection that has nothing to do is to end, for there are too many."""
        if not self.shed:
            return False
        self.shed -= 1
        return True

    def not_opened(self, host: str, now: float) -> None:
        self.connect_failed += 1
        self._tried(host, now, False)

    def _tried(self, host: str, now: float, well: bool) -> None:
        if host in self.hosts or len(self.hosts) < HOSTS_MAX:
            self.hosts[host] = (now, well)

    def take(self, now: float) -> dict[str, Any] | None:
        """What happened since the last call, ``None`` where that is nothing."""
        counts = {name: n for name in COUNTS if (n := getattr(self, name))}
        if not (counts or self.busy or self.fired):
            self.in_use = self.open
            return None
        for host in [host for host, (at, _) in self.hosts.items() if at < now - HOSTS_S]:
            del self.hosts[host]
        row: dict[str, Any] = {"source": self.source, "provider": self.provider, **counts}
        row["hosts"] = len(self.hosts)
        row["hosts_failed"] = sum(not well for _, well in self.hosts.values())
        row["busy"], row["in_use"] = self.busy, self.in_use
        if self.fired:
            row["fired"] = [[rule, about, n] for (rule, about), n in self.fired.items()]
        self._begin()
        self.in_use = self.open
        return row


class Tallies:
    """All of one worker."""

    def __init__(self, pairs_max: int) -> None:
        self._pairs_max = pairs_max
        self._tallies: dict[tuple[str, str], Tally] = {}

    def __len__(self) -> int:
        return len(self._tallies)

    def of(self, source: str, provider: str) -> Tally:
        """The pair's; one that is told to nobody where there is no provider or no room."""
        found = self._tallies.get((source, provider))
        if found is None:
            found = Tally(source, provider)
            if provider and len(self._tallies) < self._pairs_max:
                self._tallies[source, provider] = found
        return found

    def knows(self, tally: Tally) -> bool:
        """Whether the supervisor hears of it."""
        return self._tallies.get((tally.source, tally.provider)) is tally

    def rows(self, now: float) -> list[dict[str, Any]]:
        """Of every pair that has something to say."""
        return [row for tally in self._tallies.values() if (row := tally.take(now)) is not None]
