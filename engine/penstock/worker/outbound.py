"""The way out of one worker, put together: names, destinations, dispatcher, settler, steering."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from penstock.events.journal import Recorder
from penstock.events.metrics import Registry
from penstock.limits.ports import Limiter
from penstock.mail.dkim_ring import KeyRing
from penstock.mail.outcome import Outcome
from penstock.mail.verp import TokenKeys
from penstock.policy.policies import Policies
from penstock.relay.addresses import interface_addresses
from penstock.relay.build import Builder
from penstock.relay.census import Census
from penstock.relay.connection import Connection
from penstock.relay.destination import DestinationConfig, Destinations
from penstock.relay.dispatch import Dispatcher
from penstock.relay.egress import WayOut
from penstock.relay.explain import Explainer
from penstock.relay.live import live_rows
from penstock.relay.opening import open_connection
from penstock.relay.outbox import Outbox
from penstock.relay.ports import Sandbox
from penstock.relay.reading import Reading
from penstock.relay.report import ReportConfig, Reporter
from penstock.relay.screening import Screening
from penstock.relay.selection import Selection
from penstock.relay.settle import OutcomeSettler, SettleConfig
from penstock.relay.site import Site
from penstock.relay.spool import Spool
from penstock.relay.steer import Steering
from penstock.relay.sweep import Sweeper
from penstock.relay.telemetry import Telemetry
from penstock.settings.files import read_file
from penstock.settings.models import Settings
from penstock.suppression.screen import Screen
from penstock.worker import feedback, parts
from penstock.worker.machine import Machine
from penstock.worker.resolving import Resolving
from penstock.worker.sources import Sources
from penstock.worker.tls import OutboundTls
from penstock.worker.tls_counting import tls_counts


class Outbound:
    """Made inside the running loop. ``sandbox`` stands in for DNS where it is given, ``keys`` sign
    the tokens in what goes out, where there are any; ``screen``: the suppression list, where it is
    looked at."""

    def __init__(
        self,
        settings: Settings,
        policies: Policies,
        *,
        spool: Spool,
        limiter: Limiter,
        telemetry: Telemetry,
        registry: Registry,
        recorder: Recorder,
        sandbox: Sandbox | None,
        worker: int,
        workers: int,
        machine: Machine,
        clock: Callable[[], float],
        keys: TokenKeys | None,
        screen: Screen | None = None,
    ) -> None:
        self._now = clock
        self._rng = rng = machine.rng  # for jitter and the order of hosts
        self._telemetry, self._recorder, self._way_out = telemetry, recorder, WayOut()
        self.tls_counts = tls_counts(settings, recorder)
        self.resolving = Resolving(settings, telemetry, machine.resolver)
        asked = self.resolving.dns if sandbox is None else None  # nothing may leave the machine
        self.tls = OutboundTls(settings, asked, registry, telemetry.handshook, machine.now)
        self.tls.seen = self.tls_counts.seen
        self._destinations = self._finding(settings, policies, sandbox)
        self._wall = machine.now
        self._outbox = Outbox(asyncio.get_running_loop())
        self._builder = Builder(
            parts.key_ring(settings, read_file),
            machine.now,
            feedback.stamp(keys, policies, machine.now),
        )
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
        self.dispatcher.placing.stamps = self._builder.stamp is not None
        self.reading = Reading(
            policies.replies, settings.relay.unmatched_replies_max, telemetry.forgot
        )
        self.dispatcher.paces.reading = self.reading
        self._screening = Screening(screen, spool, clock) if screen is not None else None
        if self._screening is not None:
            self.dispatcher.stager.sift = self._screening.sift
        self.settler = self._settler(settings, spool)
        self.dispatcher.settler = self.settler
        self.sources = Sources(
            settings.hostname, policies, self.dispatcher.placing, read_file, bound=sandbox is None
        )
        self.steering = self._steering(spool, worker)

    def _finding(
        self, settings: Settings, policies: Policies, sandbox: Sandbox | None
    ) -> Destinations:
        own = DestinationConfig(
            settings.hostname, interface_addresses(), settings.dns.destinations_max
        )
        return Destinations(
            self.resolving.resolver,
            policies,
            parts.routes(settings),
            clock=self._now,
            config=own,
            sandbox=sandbox,
            sts=self.tls.sts,
            dane=self.resolving.dane,
        )

    def _settler(self, settings: Settings, spool: Spool) -> OutcomeSettler:
        report = ReportConfig(settings.hostname, settings.relay.dsn == "send")
        return OutcomeSettler(
            SettleConfig(settings.relay.delay_warning_s),
            spool=spool,
            reporter=Reporter(report, spool, self._telemetry.reported),
            telemetry=self._telemetry,
            recorder=self._recorder,
            reading=self.reading,
            lane_of=self.dispatcher.lane_of,
            now=self._now,
            loop_time=asyncio.get_running_loop().time,
            rng=self._rng,
            held=self.dispatcher.in_flight,
            paces=self.dispatcher.paces,
        )

    def _steering(self, spool: Spool, worker: int) -> Steering:
        dispatcher = self.dispatcher
        self.explainer = Explainer(dispatcher, self.settler, spool, self._now, worker, self.reading)
        if self._screening is not None:
            self.explainer.suppressed = self._screening.why
        self.census = Census(dispatcher, self.settler, self.explainer, spool)
        selection = Selection(dispatcher.placing, dispatcher.locator, spool)
        sweeper = Sweeper(
            dispatcher.placing,
            self.settler,
            spool,
            dispatcher.in_flight,
            selection,
        )
        return Steering(dispatcher, sweeper, self.explainer, selection, spool, self._now)

    async def _connect(self, site: Site) -> Connection | Outcome:
        options = self.sources.options(site.source, site.limits)
        opened = await open_connection(
            site.destination,
            options,
            self.tls.memory,
            self._rng,
            way_out=self._way_out,
            wanted=self.tls.wanted(site),
            outbox=self._outbox,
        )
        if isinstance(opened, Connection):
            self._telemetry.connected()
        return opened

    def look(self) -> None:
        """What is looked at every second: the sources, and what the queue waits for."""
        self.sources.look()
        self.census.look()
        self.tls_counts.look()

    def top(self) -> list[dict[str, Any]]:
        """What goes on by provider and source: see ``relay/live.py``."""
        return live_rows(self.dispatcher, self.census, self._telemetry.pulse, self._now())

    def reload(
        self, settings: Settings, policies: Policies, ring: KeyRing, keys: TokenKeys | None
    ) -> None:
        """New routes, policies and keys hold from the next message on."""
        self._builder.ring = ring
        self._builder.stamp = stamp = feedback.stamp(keys, policies, self._wall)
        self.dispatcher.placing.stamps = stamp is not None
        self.tls.reload(settings)
        self._destinations.reload(policies, parts.routes(settings))
        self.dispatcher.reload(policies, parts.route_limits(settings))
        self.sources.reload(policies)
        self.reading.reload(policies.replies)

    async def show_tls(self, domain: str) -> dict[str, Any]:
        """What TLS mail for ``domain`` has to have: see ``relay/tls_show.py``."""
        return await self.tls.show(domain, self._destinations, self.dispatcher.placing.policies)

    async def close(self) -> None:
        self.tls_counts.flush()
        await self._destinations.close()
        await self.tls.close()
        await self._way_out.close()
        await self.resolving.close()
