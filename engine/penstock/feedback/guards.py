"""Whether a share of a sender's mail is above what a guard says: counting and deciding, no more.

Each guard counts over a sliding window in slots of a thirtieth of it, by the times of the events,
so that what is read late counts where it belongs. It trips once for a sender and is quiet then for
its window, and for as long as the pause lasts that it ordered.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from penstock.policy.guards import BASES, Guard, percent_text
from penstock.policy.units import duration_text

SLOTS = 30
_PART = 1 << 40  # a slot is one number, part * _PART + whole: there may be millions of them


class Sender(NamedTuple):
    """``campaign`` is ``""`` where a guard counts a tenant's mail together."""

    tenant: str
    campaign: str


class Slot(NamedTuple):
    """What fell into one slot: how many, of how many."""

    sender: Sender
    slot: int
    part: int
    whole: int


@dataclass(frozen=True, slots=True)
class Trip:
    """``until``: when a pause ends, 0 where there is none."""

    guard: str
    sender: Sender
    at: float
    until: float
    action: str
    reason: str
    where: str

    def selector(self) -> dict[str, str]:
        """Which mail it is about, as operations name it."""
        named = {"tenant": self.sender.tenant, "campaign": self.sender.campaign}
        return {name: value for name, value in named.items() if value}


class GuardWindow:
    """One guard over all senders; of these at most ``senders_max``, those heard of last."""

    def __init__(self, guard: Guard, senders_max: int) -> None:
        self.guard = guard
        self.slot_s = max(1.0, guard.window_s / SLOTS)
        self.forgotten = 0
        self._senders_max = senders_max
        self._counts: OrderedDict[Sender, dict[int, int]] = OrderedDict()
        self._quiet_until: dict[Sender, float] = {}
        self._changed: set[Sender] = set()
        self._dirty: set[tuple[Sender, int]] = set()

    def __len__(self) -> int:
        return len(self._counts)

    @property
    def identity(self) -> str:
        """Counts of a guard with another identity mean something else."""
        one = self.guard
        return f"{one.name}/{one.metric}/{one.per}/{one.window_s:g}"

    def sender(self, tenant: str, campaign: str) -> Sender:
        return Sender(tenant, campaign if self.guard.per == "campaign" else "")

    def add(self, sender: Sender, at: float, part: int, whole: int) -> None:
        """``part`` of ``whole`` more, at that time."""
        slots = self._counts.get(sender)
        if slots is None:
            slots = self._counts[sender] = {}
            if len(self._counts) > self._senders_max:
                self._forget_oldest()
        else:
            self._counts.move_to_end(sender)
        slot = int(at // self.slot_s)
        slots[slot] = slots.get(slot, 0) + part * _PART + whole
        self._changed.add(sender)
        self._dirty.add((sender, slot))

    def look(self, now: float) -> list[Trip]:
        """Those of the senders heard of since the last look whose share is too high."""
        trips = []
        for sender in self._changed:
            part, whole = self.share(sender, now)
            if self._too_high(part, whole) and now >= self._quiet_until.get(sender, 0.0):
                trips.append(self._trip(sender, part, whole, now))
        self._changed.clear()
        return trips

    def share(self, sender: Sender, now: float) -> tuple[int, int]:
        """Part and whole in the window up to ``now``; drops what is before it."""
        slots = self._counts.get(sender, {})
        first, last = self.first_slot(now), int(now // self.slot_s) + 1
        for slot in [slot for slot in slots if slot < first]:
            del slots[slot]
        if not slots:
            self._counts.pop(sender, None)
        return divmod(sum(count for slot, count in slots.items() if slot <= last), _PART)

    def first_slot(self, now: float) -> int:
        """The oldest slot that lies wholly in the window."""
        return int((now - self.guard.window_s) // self.slot_s) + 1

    def tidy(self, now: float) -> None:
        """Forget senders of whom nothing is left in the window."""
        first = self.first_slot(now)
        for sender in [one for one, slots in self._counts.items() if max(slots) < first]:
            del self._counts[sender]
        for sender in [one for one, until in self._quiet_until.items() if until <= now]:
            del self._quiet_until[sender]

    # kept over restarts

    def dirty(self) -> Iterable[Slot]:
        """Slots that changed since :meth:`saved`, with all that is in them."""
        for sender, slot in self._dirty:
            count = self._counts.get(sender, {}).get(slot)
            if count is not None:
                yield Slot(sender, slot, *divmod(count, _PART))

    def saved(self) -> None:
        self._dirty.clear()

    def load(self, slots: Iterable[Slot], trips: Iterable[Trip]) -> None:
        for sender, slot, part, whole in slots:
            self._counts.setdefault(sender, {})[slot] = part * _PART + whole
        while len(self._counts) > self._senders_max:
            self._forget_oldest()
        for trip in trips:
            self._be_quiet(trip)

    # inside

    def _too_high(self, part: int, whole: int) -> bool:
        return whole >= self.guard.sample_min and part > self.guard.above * whole

    def _trip(self, sender: Sender, part: int, whole: int, now: float) -> Trip:
        guard = self.guard
        # what names no campaign cannot be suspended without the rest of its tenant's mail
        named = sender.tenant if guard.per == "tenant" else sender.campaign
        pause = guard.action == "pause" and bool(named)
        share = percent_text(round(part / whole, 6))
        reason = (
            f"{guard.metric} {share} of {whole:,} {BASES[guard.metric]} "
            f"in {duration_text(guard.window_s)}, above {percent_text(guard.above)}"
        )
        trip = Trip(
            guard.name,
            sender,
            now,
            now + guard.for_s if pause else 0.0,
            "pause" if pause else "tell",
            reason,
            str(guard.where("above")),
        )
        self._be_quiet(trip)
        return trip

    def _be_quiet(self, trip: Trip) -> None:
        until = max(trip.at + self.guard.window_s, trip.until)
        self._quiet_until[trip.sender] = max(until, self._quiet_until.get(trip.sender, 0.0))

    def _forget_oldest(self) -> None:
        sender, _ = self._counts.popitem(last=False)
        self._changed.discard(sender)
        self._quiet_until.pop(sender, None)
        self.forgotten += 1
