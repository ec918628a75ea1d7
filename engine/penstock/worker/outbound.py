"""The way out of one worker, put together: names, destinations, dispatcher, settler, steering."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import structlog

from penstock.limits.ports import Limiter
from penstock.mail.dkim_ring import KeyRing
from penstock.mail.outcome import Outcome
from penstock.mail.waits import Wait
from penstock.policy.policies import Policies
from penstock.relay.addresses import interface_addresses
from penstock.relay.build import Builder
from penstock.relay.census import Census
from penstock.relay.connection import Connection
from penstock.relay.destination import DestinationConfig, Destinations
from penstock.relay.dispatch import Dispatcher
from penstock.relay.explain import Explainer
from penstock.relay.opening import open_connection
from penstock.relay.ports import Sandbox
from penstock.relay.presence import Presence
from penstock.relay.report import ReportConfig, Reporter
from penstock.relay.resolver import DnsResolver
from penstock.relay.resumption import TlsSessions
from penstock.relay.settle import OutcomeSettler, SettleConfig
from penstock.relay.site import Site
from penstock.relay.spool import Spool
from penstock.relay.steer import Steering
from penstock.relay.sweep import Sweeper
from penstock.relay.telemetry import Telemetry
from penstock.relay.tls import TlsMemory
from penstock.settings.files import read_file
from penstock.settings.models import Settings
from penstock.worker import parts
from penstock.worker.machine import Machine

log = structlog.get_logger("penstock.relay")


class Outbound:
    """Made inside the running loop. ``sandbox`` stands in for DNS where it is given."""

    def __init__(
        self,
        settings: Settings,
        policies: Policies,
        *,
        spool: Spool,
        limiter: Limiter,
        telemetry: Telemetry,
        sandbox: Sandbox | None,
        worker: int,
        workers: int,
        machine: Machine,
        clock: Callable[[], float],
    ) -> None:
        loop = asyncio.get_running_loop()
        self._hostname = settings.hostname
        self._rng = rng = machine.rng  # for jitter and the order of hosts
        self._tls_memory = TlsMemory(
            sessions=TlsSessions(entries_max=settings.relay.tls_sessions_max),
            handshook=telemetry.handshook,
        )
        self._telemetry = telemetry
        self._dns: DnsResolver | None = None
        resolver = machine.resolver
        if resolver is None:
            dns_config = parts.resolver_config(settings)
            resolver = self._dns = DnsResolver(dns_config, on_lookup=telemetry.looked_up)
        own = DestinationConfig(
            settings.hostname, interface_addresses(), settings.dns.destinations_max
        )
        self._destinations = Destinations(
            resolver,
            policies,
            parts.routes(settings),
            clock=clock,
            config=own,
            sandbox=sandbox,
        )
        self._builder = Builder(parts.key_ring(settings, read_file), machine.now)
        self.dispatcher = Dispatcher(
            parts.dispatch_config(settings, workers),
            policies=policies,
            routes=parts.route_limits(settings),
            spool=spool,
            limiter=limiter,
            find=self._destinations.find,
            connect=self._connect,
            build=self._builder.build,
            now=clock,
            rng=rng,
            waited=telemetry.waited,
        )
        report = ReportConfig(settings.hostname, settings.relay.dsn == "send")
        self.settler = OutcomeSettler(
            SettleConfig(settings.relay.delay_warning_s),
            spool=spool,
            reporter=Reporter(report, spool, telemetry.reported),
            telemetry=telemetry,
            lane_of=self.dispatcher.lane_of,
            now=clock,
            loop_time=loop.time,
            rng=rng,
            held=self.dispatcher.in_flight,
        )
        self.dispatcher.settler = self.settler
        placing, locator = self.dispatcher.placing, self.dispatcher.locator
        sweeper = Sweeper(placing, self.settler, spool, self.dispatcher.in_flight, locator.identify)
        explainer = Explainer(self.dispatcher, self.settler, spool, clock, worker)
        self.explainer = explainer
        self._census = Census(self.dispatcher, self.settler, explainer, spool)
        self.steering = Steering(self.dispatcher, sweeper, explainer, spool, clock)
        # in the sandbox nothing leaves the machine, and from no address but its own
        self._bound = sandbox is None
        self._sources = policies.sources
        self._presence = Presence(parts.source_addresses(policies) if self._bound else {})
        self.look_at_sources()

    async def _connect(self, site: Site) -> Connection | Outcome:
        source = self._sources.get(site.source)
        options = parts.connect_options(self._hostname, site.limits, source, self._bound)
        opened = await open_connection(site.destination, options, self._tls_memory, self._rng)
        if isinstance(opened, Connection):
            self._telemetry.connected()
        return opened

    def look(self) -> None:
        """What is looked at every second: the sources, and what the queue waits for."""
        self.look_at_sources()
        self._census.look()

    def waiting(self) -> Mapping[Wait, int]:
        """How many deliveries wait for what, as of the last count."""
        return self._census.counts

    def sources(self) -> dict[str, bool]:
        """Each source, and whether it can be used."""
        book = self.dispatcher.placing.book
        return {name: not book.why_out(name, "") for name in self._sources}

    def look_at_sources(self) -> None:
        """Whether the addresses of all sources are on this machine; called every few seconds."""
        for change in self._presence.look():
            log.warning("source", name=change.source, up=change.up, reason=change.reason)
        if self.dispatcher.placing.book.absent(self._presence.absent):
            self.dispatcher.placing.sources_changed()

    def reload(self, settings: Settings, policies: Policies, ring: KeyRing) -> None:
        """New routes, policies and keys hold from the next message on."""
        self._builder.ring = ring
        self._sources = policies.sources
        self._presence.reload(parts.source_addresses(policies) if self._bound else {})
        self._destinations.reload(policies, parts.routes(settings))
        self.dispatcher.reload(policies, parts.route_limits(settings))
        self.look_at_sources()

    async def close(self) -> None:
        await self._destinations.close()
        if self._dns is not None:
            await self._dns.close()
