"""Which provider an address belongs to, for events that do not say: learned from those that do.

A delivery knows its provider by the MX hosts. Events from before it (accepted) and from outside
(a report, an unsubscription) have the address alone: its domain was seen in deliveries, or stands
in the policies.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from penstock.events import records
from penstock.events.records import AnyEvent

DOMAINS_MAX = 50_000


class Providers:
    """``listed`` gives the provider of a domain by the policies, ``""`` for none. Of one thread."""

    def __init__(self, listed: Callable[[str], str], domains_max: int = DOMAINS_MAX) -> None:
        self._listed, self._domains_max = listed, domains_max
        self._known: OrderedDict[str, str] = OrderedDict()

    def learn(self, event: AnyEvent) -> None:
        if not isinstance(event, records.OfDelivery) or not event.provider:
            return
        domain = event.recipient.rpartition("@")[2].lower()
        if self._known.get(domain) != event.provider:
            self._known[domain] = event.provider
            if len(self._known) > self._domains_max:
                self._known.popitem(last=False)

    def of(self, address: str) -> str:
        domain = address.rpartition("@")[2].lower()
        return self._known.get(domain) or self._listed(domain)
