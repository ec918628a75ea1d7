"""One shard put together: queue, intake, schedule, relay. The composition root of a worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

import structlog

from penstock.control import Channel, ControlError
from penstock.events.configure import Keeper, open_journal
from penstock.events.figures import EventFigures
from penstock.events.metrics import Registry
from penstock.intake.ports import Reception
from penstock.mail.envelope import id_text
from penstock.policy.policies import Policies
from penstock.relay.dispatch import Dispatcher
from penstock.relay.spool import Shard, Spool, shard_path
from penstock.relay.telemetry import Telemetry
from penstock.schedule.clock import SteadyClock
from penstock.settings.files import read_file
from penstock.settings.loader import load_policy_directory, load_settings
from penstock.settings.models import Settings
from penstock.worker import feedback, parts
from penstock.worker.answers import answer
from penstock.worker.gauges import CommitFigures, Gauges, ReplyFigures
from penstock.worker.greeting import Greeting
from penstock.worker.journals import Sent, catch_up
from penstock.worker.machine import Machine
from penstock.worker.observe import IntakeObserver
from penstock.worker.outbound import Outbound
from penstock.worker.own_mail import submit
from penstock.worker.shards import take_over
from penstock.worker.sink import IntakeSink, refused
from penstock.worker.smtp import SmtpListeners
from penstock.worker.suppression import SuppressionList
from penstock.worker.tls_counting import TlsFigures
from penstock_queue import Committer

if TYPE_CHECKING:
    from penstock.worker.api import Api

log = structlog.get_logger("penstock.worker")
_LOG_FLUSH_S = 0.1
_LOOK_S = 1.0
_IN_FLIGHT_NAMED_MAX = 100


class Engine:
    """Everything of one worker but its process. :meth:`open` recovers, :meth:`start` serves."""

    def __init__(
        self,
        settings: Settings,
        policies: Policies,
        greeting: Greeting,
        channel: Channel,
        shards: list[Shard],
        registry: Registry,
        machine: Machine,
        clock: SteadyClock,
        journal: Keeper,
    ) -> None:
        self._journal, self._clock = journal, clock
        self._settings, self._greeting, self._shards = settings, greeting, shards
        self._loop = asyncio.get_running_loop()
        self._registry, self._machine, self._channel = registry, machine, channel
        self._attempts = parts.attempt_log(settings, registry, machine.write)
        self._spool = Spool(shards, self._fresh, refused)
        self._limiter = parts.limiter(channel, self._loop, greeting)
        self._keys = keys = feedback.token_keys(settings)
        self._suppression = SuppressionList(
            settings, registry, machine, self._class_of, journal.write
        )
        self._outbound = Outbound(
            settings,
            policies,
            spool=self._spool,
            limiter=self._limiter,
            telemetry=Telemetry(registry, self._attempts if settings.log.attempts else None),
            registry=registry,
            recorder=journal,
            sandbox=parts.world_sandbox(greeting.world) if greeting.world is not None else None,
            worker=greeting.number,
            workers=greeting.workers,
            machine=machine,
            clock=self._clock,
            keys=keys,
            screen=self._suppression.screen,
        )
        self._dispatcher = self._outbound.dispatcher
        journal.sent_as = Sent(lambda: self._dispatcher.placing.policies)
        self._dispatcher.ordered(greeting.rules)
        self._dispatcher.paces.told(greeting.paces)
        self._dispatcher.warming.ask = self._ask_warmup
        self._sink = self._gate(policies, journal)
        self._gauges = self._figures(registry, journal)
        reading = self._outbound.reading
        self._receptions = feedback.Receptions(
            registry, journal, feedback.reader(lambda: reading.classifier), machine.now
        )
        self._observer = IntakeObserver(
            registry, journal, settings.events.rejected_per_s_max, self._clock
        )
        self._api: Api | None = None
        self._smtp = SmtpListeners(
            self._sink,
            self._observer,
            now=machine.now,
            pools=self._pools,
            reception=self._reception,
            screen=self._suppression.screen,
        )
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._looked = 0.0

    def _gate(self, policies: Policies, journal: Keeper) -> IntakeSink:
        return IntakeSink(
            parts.gate_config(self._settings, policies.limits("", "", "").max_age_s),
            self._spool,
            self._shards[0].queue.free,
            now=self._clock,
            monotonic=self._loop.time,
            observe=self._registry.histogram("penstock_accept_seconds").observe,
            accepted=journal.accepted,
        )

    def _figures(self, registry: Registry, journal: Keeper) -> Gauges:
        """Everything that is read off when somebody asks for the metrics."""
        EventFigures(registry, journal.stats)
        ReplyFigures(registry, self._outbound.reading)
        TlsFigures(registry, self._outbound.tls_counts, self._outbound.resolving)
        return Gauges(
            registry,
            self._spool,
            self._dispatcher,
            self._clock,
            self._sink.reason,
            lambda: self._outbound.census.counts,
            self._outbound.sources.up,
        )

    @classmethod
    async def open(
        cls,
        settings: Settings,
        greeting: Greeting,
        channel: Channel,
        waiting: Callable[[], None],
    ) -> Engine:
        """As :meth:`recover`, on the real machine with the policies of the settings."""
        policies = load_policy_directory(settings.policies)
        if isinstance(policies, list):
            raise RuntimeError("the policies have problems; see penstock check")
        return await cls.recover(settings, policies, greeting, channel, Machine(), waiting)

    @classmethod
    async def recover(
        cls,
        settings: Settings,
        policies: Policies,
        greeting: Greeting,
        channel: Channel,
        machine: Machine,
        waiting: Callable[[], None],
    ) -> Engine:
        """Recover the shards, then put the rest together around them. ``waiting()`` is called
        where a shard is still another worker's."""
        loop = asyncio.get_running_loop()
        config, registry = parts.queue_config(settings), Registry()
        observer = CommitFigures(registry)
        queues = []
        for number in greeting.shards:
            path = shard_path(settings.spool, number)
            queue = await take_over(path, config, machine.disk, machine.now, waiting)
            queues.append((number, queue))
        # whoever had our shards before us has let go of our log by now
        name = f"{greeting.shards[0]:02d}"
        clock = SteadyClock(machine.now, machine.steady)
        journal = open_journal(settings, name, clock, machine.disk, machine.jobs)
        work = machine.jobs, journal.flush, machine.direct, machine.steady
        shards = [
            Shard(number, queue, Committer(queue, loop, observer, *work))
            for number, queue in queues
        ]
        return cls(settings, policies, greeting, channel, shards, registry, machine, clock, journal)

    @property
    def spool(self) -> Spool:
        return self._spool

    @property
    def dispatcher(self) -> Dispatcher:
        return self._dispatcher

    def recovered(self) -> dict[str, Any]:
        """For the log: what was found, and which deliveries may be doubled."""
        entries = sum(shard.queue.recovery.entries for shard in self._shards)
        in_flight = [
            shard.base | seq for shard in self._shards for seq in shard.queue.recovery.in_flight
        ]
        self._gauges.recovered(entries, len(in_flight))
        for shard in self._shards:
            recovery = shard.queue.recovery
            for what in (*recovery.torn, *recovery.quarantined):
                log.warning("recovery", shard=shard.number, found=str(what))
        return {
            "entries": entries,
            "in_flight": len(in_flight),
            "maybe_doubled": [id_text(ref) for ref in in_flight[:_IN_FLIGHT_NAMED_MAX]],
        }

    async def start(self) -> None:
        for shard in self._shards:
            shard.queue.forget_in_flight()
            shard.committer.start()
        if self._settings.events.enabled and (told := catch_up(self._journal, self._spool)):
            log.info("accepted before the crash, told now", messages=told)
        if self._sink.look():
            log.warning("intake", shut=True, reason="disk space or inodes")
        await self._smtp.start(self._settings, self._greeting.listeners)
        await self._start_api()
        self._tick()
        self._keep_up(self._loop.time())

    async def _start_api(self) -> None:
        if not self._greeting.api:
            return  # nothing of it is even imported
        from penstock.worker.api import Api
        from penstock.worker.injection import Injection

        way_in = self._sink, self._suppression.screen, self._observer, self._spool
        injection = Injection(self._settings, self._registry, self._machine.now, *way_in)
        self._api = Api(
            self._greeting.api,
            lambda: self._settings,
            lambda: self._dispatcher.placing.policies,
            self._channel,
            self._limiter,
            self._registry,
            injection,
            now=self._machine.now,
            steady=self._loop.time,
        )
        await self._api.start()

    def _reception(self, number: int) -> Reception:
        policies = self._dispatcher.placing.policies
        return self._receptions.make(number, self._settings, policies, self._keys, self._sink)

    def _pools(self) -> Collection[str]:
        """The names that mail may ask for by X-Penstock-Pool."""
        return self._dispatcher.placing.policies.pools

    def _class_of(self, tenant: str, class_: str) -> str:
        """The class that mail is sent as which names ``class_`` or none."""
        return self._dispatcher.placing.policies.resolve_class(tenant, class_)[0]

    async def stop(self, deadline_s: float) -> None:
        """No new mail, let what is under way end, write everything down."""
        self._sink.stopping = True
        for timer in self._timers.values():
            timer.cancel()
        await asyncio.gather(
            self._smtp.close(deadline_s),
            *([self._api.stop()] if self._api is not None else []),
            self._dispatcher.stop(deadline_s),
        )
        self._receptions.close()
        await self._dispatcher.warming.close()
        await self._outbound.close()
        await self._limiter.close()
        await self._spool.stop(self._journal.close)
        self._attempts.flush()
        self._suppression.close()

    # what runs by itself

    def _tick(self) -> None:
        """Move what came due. A bug in it is reported by the loop and does not end the ticking."""
        pause = 1.0
        try:
            pause = self._dispatcher.tick()
        finally:
            self._timers["tick"] = self._loop.call_later(pause, self._tick)

    def _keep_up(self, planned: float) -> None:
        """Small things, ten times a second: the log, idle connections, room on the disk."""
        now = self._loop.time()
        try:
            self._gauges.lag(now - planned)
            self._sink.lag(now - planned)
            self._attempts.flush()
            self._journal.flush()
            if now - self._looked >= _LOOK_S:
                self._looked = now
                self._look_at_the_clock()
                self._dispatcher.sweep()
                self._outbound.look()
                self._suppression.look()
                if self._api is not None:
                    self._api.look()
                self._tell_tally()
                self._dispatcher.warming.look()
                if self._sink.look():
                    log.warning("intake", shut=self._sink.short, reason="disk space or inodes")
        finally:
            again = now + _LOG_FLUSH_S
            self._timers["keep_up"] = self._loop.call_at(again, self._keep_up, again)

    def _tell_tally(self) -> None:
        """What came of the attempts goes to the supervisor, who finds the pace by it."""
        rows = self._dispatcher.paces.tallies.rows(self._loop.time())
        if rows:
            told = asyncio.ensure_future(self._channel.call("pacing.tally", rows))
            told.add_done_callback(_heard)

    async def _ask_warmup(self, asked: dict[str, Any]) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = await self._channel.call("warmup.ask", asked)
        except ControlError as error:
            raise ConnectionError(str(error)) from None
        return answer

    def _look_at_the_clock(self) -> None:
        jumped = self._clock.look()
        self._gauges.clock(self._clock.offset_s)
        if jumped:
            log.warning("the machine's clock jumped; followed slowly", seconds=round(jumped, 1))

    def _fresh(self, refs: list[int], keys: list[bytes]) -> None:
        self._dispatcher.enqueue(refs, keys)

    # what the supervisor asks

    def answer(self, method: str, params: Any) -> Any:
        """One admin method; raises :class:`ControlError` for what does not exist."""
        match method:
            case "metrics":
                return self._registry.snapshot()
            case "stats":
                return {**self._spool.stats(), **self._dispatcher.stats()}
            case "refusal":
                refusal = self._sink.refusal()
                return "" if refusal is None else str(refusal)
            case "reload":
                return self._reload()
            case "pacing.paces":
                return self._dispatcher.paces.told(params["rows"])
            case "warmup.changed":
                return self._dispatcher.warming.refresh()
            case "keys.changed":
                return self._api.look() if self._api is not None else None
            case "mail.submit":
                return submit(self._sink, params, self._machine.now())
        return answer(self._outbound, method, params)

    def _reload(self) -> None:
        """Read everything again; nothing changes unless all of it is right."""
        settings = load_settings(self._greeting.config)
        if isinstance(settings, list):
            raise ControlError("invalid", "\n".join(map(str, settings)))
        policies = load_policy_directory(settings.policies)
        if isinstance(policies, list):
            raise ControlError("invalid", "\n".join(map(str, policies)))
        try:
            ring = parts.key_ring(settings, read_file)
            keys = feedback.token_keys(settings)
            contexts = [parts.tls_context(smtp) for smtp in settings.smtp]
            if self._api is not None:
                self._api.reload(settings)
        except (OSError, ValueError) as error:
            raise ControlError("invalid", str(error)) from None
        self._settings = settings
        self._keys = keys
        self._outbound.reload(settings, policies, ring, keys)
        self._receptions.reload(settings, policies, keys, self._sink)
        self._smtp.reload(settings.smtp, contexts)


def _heard(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()  # a supervisor that is gone is noticed elsewhere
