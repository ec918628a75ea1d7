"""TLS of one worker's way out, put together: contexts, MTA-STS, and what is told of each try."""

from __future__ import annotations

import os.path
from collections.abc import Callable
from typing import Any

import structlog

from penstock.events.metrics import Registry
from penstock.mail.outcome import Outcome
from penstock.policy.mta_sts import StsPolicy
from penstock.policy.policies import Policies
from penstock.relay.destination import Destinations, normal_domain
from penstock.relay.ports import Destination
from penstock.relay.resolver import DnsResolver
from penstock.relay.resumption import TlsSessions
from penstock.relay.securing import Wanted
from penstock.relay.site import Site
from penstock.relay.sts import MtaSts, Store
from penstock.relay.sts_fetch import FetchConfig, Fetcher
from penstock.relay.sts_store import Kept, StsStore
from penstock.relay.tls import HandshakeEnd, TlsFiles, TlsMemory
from penstock.relay.tls_finding import TlsFinding, TlsSeen, nobody_counts
from penstock.relay.tls_show import shown
from penstock.settings.models import Settings

log = structlog.get_logger("penstock.relay")
STORE = "mta-sts"  # the directory in the spool


class NoStore:
    """Where there is no disk to keep policies on: each is fetched again."""

    def get(self, domain: str, now: float) -> Kept | None:
        return None

    def put(self, domain: str, policy: StsPolicy, now: float) -> None:
        pass

    def __len__(self) -> int:
        return 0

    def close(self) -> None:
        pass


class OutboundTls:
    """``resolver`` is ``None`` where no name may leave the machine; ``now``: seconds since the
    epoch. ``seen`` hears of each try, and may be set."""

    def __init__(
        self,
        settings: Settings,
        resolver: DnsResolver | None,
        registry: Registry,
        handshook: Callable[[HandshakeEnd], None],
        now: Callable[[], float],
    ) -> None:
        self.seen: TlsSeen = nobody_counts
        self._now = now
        self._sessions = TlsSessions(entries_max=settings.relay.tls_sessions_max)
        self.memory = TlsMemory(
            keep_s=settings.tls.broken_s,
            entries_max=settings.tls.hosts_max,
            sessions=self._sessions,
            handshook=handshook,
            files=files(settings),
        )
        self._results = registry.counter("penstock_tls_sessions_total")
        self._fetches = registry.counter("penstock_mta_sts_fetches_total")
        self._store: StsStore | NoStore = NoStore()
        self.sts: MtaSts | None = None
        if resolver is not None and settings.tls.mta_sts:
            self._store = _open_store(settings)
            fetcher = Fetcher(_fetch_config(settings), resolver)
            store: Store = self._store
            told = lambda result: self._fetches.inc((result,))  # noqa: E731
            self.sts = MtaSts(resolver, fetcher.fetch, store, now, told=told)
        self._gauges = (
            registry.gauge("penstock_mta_sts_policies"),
            registry.gauge("penstock_tls_broken_hosts"),
            registry.gauge("penstock_tls_sessions_kept"),
        )
        registry.on_snapshot(self._collect)

    def _collect(self) -> None:
        policies, broken, sessions = self._gauges
        policies.set(len(self._store))
        broken.set(self.memory.stats()["entries"])
        sessions.set(self._sessions.stats()["entries"])

    def wanted(self, site: Site) -> Wanted:
        """What a connection of ``site`` must have."""
        destination, terms = site.destination, site.terms
        named = destination.via != "mx" or terms.published.names_hosts
        demand = terms.demand(site.limits)
        return Wanted(demand, destination.domain, terms.published, named, self._tell, self._now)

    def _tell(self, finding: TlsFinding) -> None:
        self._results.inc((finding.policy_type, finding.result_type or "ok"))
        self.seen(finding)

    def reload(self, settings: Settings) -> None:
        """Whom we trust and our certificate hold from the next connection on."""
        self.memory.reload(files(settings))

    async def show(
        self, domain: str, destinations: Destinations, policies: Policies
    ) -> dict[str, Any]:
        """What TLS mail for ``domain`` has to have, and who says so."""
        found: Destination | Outcome = await destinations.find(domain)
        return shown(normal_domain(domain) or domain, found, policies)

    async def close(self) -> None:
        if self.sts is not None:
            await self.sts.close()
        self._store.close()


def files(settings: Settings) -> TlsFiles:
    return TlsFiles(settings.tls.ca, settings.tls.certificate, settings.tls.key)


def _fetch_config(settings: Settings) -> FetchConfig:
    tls = settings.tls
    return FetchConfig(
        tls.ca,
        tls.mta_sts_timeout_s,
        tls.mta_sts_port,
        tls.mta_sts_networks,
        tls.mta_sts_fetches_max,
    )


def _open_store(settings: Settings) -> StsStore | NoStore:
    path = os.path.join(settings.spool, STORE)
    try:
        return StsStore(path, settings.tls.mta_sts_policies_max)
    except OSError as error:
        log.error("MTA-STS policies cannot be kept", error=str(error))
        return NoStore()
