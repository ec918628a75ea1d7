"""What warming up does to where mail stands: the one way from it to the placing."""

from __future__ import annotations

from collections.abc import Iterator

from penstock.relay.lane import Lane
from penstock.relay.placing import Placing
from penstock.relay.site import Site
from penstock.relay.ways import Warmth


class WarmedSites:
    """The sites of one worker, as those see them whose source is warmed up."""

    def __init__(self, placing: Placing) -> None:
        self._placing = placing

    def lane_of(self, ref: int) -> Lane:
        return self._placing.lane_of(ref)

    def put_back(self, site: Site, ref: int) -> None:
        """It may not go now: first in its line again, or where it belongs since it was taken."""
        placing = self._placing
        if placing.source_of(placing.lane_of(ref), ref) in ("", site.source):
            placing.put_back(site, ref)
        else:
            placing.enqueue_due([ref])

    def look_at_source(self, site: Site) -> None:
        """The site was left alone: look again whether its source can be used."""
        self._placing.look_at_source(site)

    def changed(self, warmth: Warmth) -> None:
        """Sources went out or came back, or keep another part of their mail."""
        self._placing.book.warmed(warmth)
        self._placing.sources_changed()

    def waiting(self, source: str, provider: str) -> int:
        """How much mail stands at the sites of ``source`` at ``provider``."""
        return sum(len(site.ready) for site in self._of(source, provider))

    def wake(self, source: str, provider: str) -> None:
        """End their pauses."""
        for site in list(self._of(source, provider)):
            self._placing.permits.wake(site)

    def sleep(self, site: Site, ref: int, key: str, until: float) -> None:
        """The lane of ``ref`` has no turn at the site before ``until``, on the loop's axis."""
        number = self._placing.lane_of(ref).number
        permits = self._placing.permits
        permits.put_to_sleep(site, number, "lane", key, until, 0.0, everybody=True)

    def _of(self, source: str, provider: str) -> Iterator[Site]:
        for site in self._placing.sites.values():
            if site.source == source and site.provider == provider:
                yield site
