"""What each event adds to the counters of its hour, tenant, campaign, provider and class.

The words, here, in ``penstock stats`` and in guards:

============  =====================================================================================
accepted      recipients of messages that were acknowledged
sent          attempts for one recipient that a host answered; one that found no host, or none that
              listened, is not among them
delivered     recipients that a next hop took
deferred      attempts put off, whether a host answered or not
bounced       recipients refused for good, by a reply or by a report that came later
hard_bounced  of these, those whose address is dead
late_bounced  of these, those told by a report: they were counted as delivered before
expired       recipients given up at their maximum age
suppressed    recipients not sent to, since they are on a suppression list
cancelled     recipients whose mail was taken back before it was sent
complaints    of recipients who called it spam
unsubscribes  of recipients who want no more
============  =====================================================================================
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from penstock.events import records
from penstock.events.records import AnyEvent
from penstock.mail.verdict import Category

COLUMNS = (
    *("accepted", "sent", "delivered", "deferred", "bounced", "hard_bounced", "late_bounced"),
    *("expired", "suppressed", "complaints", "unsubscribes"),
    "cancelled",  # at the end, as in tables that were made before it
)
HOUR_S, DAY_S = 3600, 86_400
_INDEX = {name: index for index, name in enumerate(COLUMNS)}
_UNANSWERED = frozenset({"", "resolve", "egress", "connect"})  # phases before a host says anything
_MOMENT_CHARS = len("2026-01-01T00:00:0")


@dataclass(frozen=True, slots=True, eq=False)
class What:
    """What an event adds: indexes in ``COLUMNS``; the ``category`` of a bounce, else ``""``; and
    for guards, by metric, whether it is of the part and of the whole that they compare. There are
    few of them, each once, so that they are compared by identity."""

    columns: tuple[int, ...]
    category: str = ""
    guards: tuple[tuple[str, int, int], ...] = ()


# When (to ten seconds, as text), tenant, campaign, provider, class, and what. Mail comes in runs
# that are alike: events are counted by this, and what that comes to is worked out once a second.
Group = tuple[str, str, str, str, str, What]


def _what(*columns: str, category: str = "", guards: tuple[tuple[str, int, int], ...] = ()) -> What:
    return What(tuple(_INDEX[name] for name in columns), category, guards)


_TOOK = (("complaints", 0, 1), ("unsubscribes", 0, 1), ("hard-bounces", 0, 1))
_ANSWERED = ("deferrals", 0, 1)
_DELIVERED = _what("delivered", "sent", guards=(*_TOOK, _ANSWERED))
_DELIVERED_BLINDLY = _what("delivered", guards=_TOOK)
_DEFERRED = _what("deferred", "sent", guards=(("deferrals", 1, 1),))
_GREYLISTED = _what("deferred", "sent")  # says nothing of the sender: no guard hears of it
_DEFERRED_UNHEARD = _what("deferred")
_EXPIRED = _what("expired")
_ACCEPTED = _what("accepted")
_COMPLAINED = _what("complaints", guards=(("complaints", 1, 0),))
_UNSUBSCRIBED = _what("unsubscribes", guards=(("unsubscribes", 1, 0),))
_SUPPRESSED = _what("suppressed")
_CANCELLED = _what("cancelled")


@lru_cache(maxsize=1024)
def _bounced(category: str, hard: bool, late: bool, answered: bool) -> What:
    columns = ["bounced", *(["hard_bounced"] if hard else [])]
    if late:  # counted as delivered before: no more of the whole
        columns.append("late_bounced")
        guards = [("hard-bounces", int(hard), 0)]
    else:
        guards = [("hard-bounces", int(hard), 1)]
        if answered:
            columns.append("sent")
            guards.append(_ANSWERED)
    return _what(*columns, category=category or "unknown", guards=tuple(guards))


def _delivered(event: records.Delivered) -> What:
    return _DELIVERED_BLINDLY if event.phase in _UNANSWERED else _DELIVERED


def _deferred(event: records.Deferred) -> What:
    if event.phase in _UNANSWERED:
        return _DEFERRED_UNHEARD
    return _GREYLISTED if event.category == Category.GREYLISTED._value_ else _DEFERRED


def _refused(event: records.Bounced) -> What:
    answered = event.phase not in _UNANSWERED
    return _bounced(event.category, event.suppress, event.late, answered)


_WHAT_OF: dict[type, Callable[[Any], What]] = {
    records.Delivered: _delivered,
    records.Deferred: _deferred,
    records.Bounced: _refused,
    records.Expired: lambda event: _EXPIRED,
    records.Complained: lambda event: _COMPLAINED,
    records.Unsubscribed: lambda event: _UNSUBSCRIBED,
    records.Suppressed: lambda event: _SUPPRESSED,
    records.Cancelled: lambda event: _CANCELLED,
}


def count(event: AnyEvent, groups: dict[Group, int], provider_of: Callable[[str], str]) -> None:
    """Add ``event`` to ``groups``; most kinds of events are of none. ``provider_of`` an address,
    where the event does not say."""
    told: Any = event  # of one of the types in the table
    what_of = _WHAT_OF.get(type(event))
    moment = event.at[:_MOMENT_CHARS]
    if what_of is not None:
        provider = getattr(told, "provider", "") or provider_of(told.recipient)
        group = (moment, told.tenant, told.campaign, provider, told.class_, what_of(told))
        groups[group] = groups.get(group, 0) + 1
    elif isinstance(event, records.Accepted):
        for recipient in event.recipients:
            provider = provider_of(recipient)
            group = (moment, event.tenant, event.campaign, provider, event.class_, _ACCEPTED)
            groups[group] = groups.get(group, 0) + 1


@lru_cache(maxsize=4096)
def second_of(moment: str) -> int:
    """The first second of ten, since the epoch; ``ValueError`` where the text is no time."""
    return int(datetime.fromisoformat(f"{moment}0+00:00").timestamp())


def rates(row: dict[str, int]) -> dict[str, float | None]:
    """Shares from 0 to 1 of a row's counters; ``None`` where there is nothing to have a share of.

    ``delivered``: of the recipients that are done with; ``deferred``: of the attempts;
    ``bounced`` and ``hard_bounced``: of those delivered or bounced; ``complaints`` and
    ``unsubscribes``: of those delivered."""
    refused = row["bounced"] - row["late_bounced"]
    tried = row["delivered"] + refused
    return {
        "delivered": _share(row["delivered"], tried + row["expired"]),
        "deferred": _share(row["deferred"], tried + row["deferred"]),
        "bounced": _share(row["bounced"], tried),
        "hard_bounced": _share(row["hard_bounced"], tried),
        "complaints": _share(row["complaints"], row["delivered"]),
        "unsubscribes": _share(row["unsubscribes"], row["delivered"]),
    }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole > 0 else None
