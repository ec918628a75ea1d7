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
complaints    of recipients who called it spam
unsubscribes  of recipients who want no more
============  =====================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from penstock.events import records
from penstock.events.records import AnyEvent

COLUMNS = (
    *("accepted", "sent", "delivered", "deferred", "bounced", "hard_bounced", "late_bounced"),
    *("expired", "suppressed", "complaints", "unsubscribes"),
)
HOUR_S, DAY_S = 3600, 86_400
_INDEX = {name: index for index, name in enumerate(COLUMNS)}
_UNANSWERED = frozenset({"", "resolve", "egress", "connect"})  # phases before a host says anything
_ACCEPTED, _SENT, _DELIVERED, _DEFERRED, _BOUNCED, _HARD, _LATE = range(7)
_EXPIRED, _SUPPRESSED, _COMPLAINTS, _UNSUBSCRIBES = range(7, 11)


class Key(NamedTuple):
    """One row: ``hour`` is its first second since the epoch."""

    hour: int
    tenant: str
    campaign: str
    provider: str
    class_: str


class Count(NamedTuple):
    """``added``: (index in ``COLUMNS``, how much); ``category``: of a bounce, else ``""``."""

    key: Key
    added: tuple[tuple[int, int], ...]
    category: str = ""


def index_of(column: str) -> int:
    return _INDEX[column]


@lru_cache(maxsize=4096)
def _minute(text: str) -> int:
    return int(datetime.fromisoformat(f"{text}:00+00:00").timestamp())


def second_of(at: str) -> int:
    """The time of an event, in whole seconds since the epoch; ``ValueError`` where it is none."""
    return _minute(at[:16]) + int(at[17:19])


def counts_of(event: AnyEvent, provider_of: Callable[[str], str]) -> Iterator[Count]:
    """What ``event`` adds; nothing for most kinds of events. ``provider_of`` an address, where the
    event does not say."""
    if isinstance(event, records.OfDelivery):
        added, category = _of_delivery(event)
        provider = event.provider or provider_of(event.recipient)
        yield Count(_key(event, provider), added, category)
    elif isinstance(event, records.Accepted):
        for recipient in event.recipients:
            yield Count(_key(event, provider_of(recipient)), ((_ACCEPTED, 1),))
    elif isinstance(event, records.Complained):
        provider = event.provider or provider_of(event.recipient)
        yield Count(_key(event, provider), ((_COMPLAINTS, 1),))
    elif isinstance(event, records.Unsubscribed):
        yield Count(_key(event, provider_of(event.recipient)), ((_UNSUBSCRIBES, 1),))
    elif isinstance(event, records.Suppressed):
        yield Count(_key(event, provider_of(event.recipient)), ((_SUPPRESSED, 1),))


def _of_delivery(event: records.OfDelivery) -> tuple[tuple[tuple[int, int], ...], str]:
    answered = () if event.phase in _UNANSWERED else ((_SENT, 1),)
    if isinstance(event, records.Delivered):
        return ((_DELIVERED, 1), *answered), ""
    if isinstance(event, records.Deferred):
        return ((_DEFERRED, 1), *answered), ""
    if isinstance(event, records.Bounced):
        hard = ((_HARD, 1),) if event.suppress else ()
        more = ((_LATE, 1),) if event.late else answered
        return ((_BOUNCED, 1), *hard, *more), event.category or "unknown"
    return ((_EXPIRED, 1),), ""


def _key(event: records.OfTenant, provider: str) -> Key:
    second = second_of(event.at)
    return Key(second - second % HOUR_S, event.tenant, event.campaign, provider, event.class_)


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
