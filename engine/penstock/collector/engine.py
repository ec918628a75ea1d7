"""The collector at work: a thread for each consumer, a task for each service, one voice for all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import Any

import structlog

from penstock.collector.logs import Logs, Place
from penstock.collector.part import Parts, Service, Surroundings, keys_of, open_own_log
from penstock.collector.parts import parts_of
from penstock.collector.runner import Runner, RunnerConfig
from penstock.control import Channel, ControlError
from penstock.events.metrics import Registry
from penstock.policy.policies import Policies
from penstock.settings.loader import load_policy_directory, load_settings
from penstock.settings.models import Settings

log = structlog.get_logger("penstock.collector")
_ASK_S = 10.0
_AGAIN_FIRST_S, _AGAIN_MAX_S = 0.5, 60.0
_SNAPSHOT_TRIES = 10


class Engine:
    """``sockets``: bound by the supervisor, by name; ``channel`` leads to it."""

    def __init__(
        self,
        config_path: str,
        settings: Settings,
        policies: Policies,
        sockets: dict[str, int],
        channel: Channel,
    ) -> None:
        self._config_path, self._channel = config_path, channel
        self._loop = asyncio.get_running_loop()
        self._registry = Registry()
        self._own_log = open_own_log(settings)
        self._around = Surroundings(
            settings,
            policies,
            self._registry,
            self._own_log,
            sockets,
            self._ask,
            keys_of(settings),
        )
        self._parts: Parts = parts_of(self._around)
        options = settings.collector
        self._logs = Logs(settings.spool, options.batch_bytes, options.batches_kept)
        config = RunnerConfig(options.poll_s, options.flush_s, options.retry_max_s)
        self.runners = [self._runner(consumer, config) for consumer in self._parts.consumers]
        self._services: list[asyncio.Task[None]] = []
        self._measure()

    def _runner(self, consumer: Any, config: RunnerConfig) -> Runner:
        label = (consumer.name,)
        fed = self._registry.counter("penstock_consumer_events_total")
        failed = self._registry.counter("penstock_consumer_failures_total")
        failed.inc(label, 0)
        return Runner(
            consumer,
            Place(self._logs),
            config,
            lambda events: fed.inc(label, events),
            lambda: failed.inc(label),
        )

    def start(self) -> None:
        for runner in self.runners:
            runner.start()
        self._services = [
            asyncio.create_task(_kept(name, service), name=name)
            for name, service in self._parts.services.items()
        ]

    async def stop(self, deadline_s: float) -> None:
        """Make durable what was read; what takes longer is read again by the next one."""
        for task in self._services:
            task.cancel()
        for runner in self.runners:
            runner.tell_to_stop()
        end = time.monotonic() + deadline_s
        for runner in self.runners:
            left = max(0.0, end - time.monotonic())
            if not await self._loop.run_in_executor(None, runner.join, left):
                log.warning("consumer did not stop in time", consumer=runner.consumer.name)
        await asyncio.gather(*self._services, return_exceptions=True)
        for close in self._parts.closing:
            await self._loop.run_in_executor(None, close)
        self._own_log.close()

    # answers to the supervisor

    def answer(self, method: str, params: Any) -> Any | Awaitable[Any]:
        if method == "metrics":
            return self._snapshot()
        if method == "state":
            return self.state()
        if method == "reload":
            return self._reload()
        handler = self._parts.methods.get(method.partition(".")[0])
        if handler is None:
            raise ControlError("unknown-method", f"no method {method!r}")
        return handler(method, params)

    def state(self) -> dict[str, Any]:
        return {
            "consumers": [
                {
                    "name": runner.consumer.name,
                    "lag_events": runner.lag.events,
                    "lag_s": round(runner.lag.seconds, 1),
                    "failures": runner.failures,
                    "error": runner.error,
                }
                for runner in self.runners
            ]
        }

    async def _reload(self) -> None:
        """The policies as they are now; the supervisor has found them good."""
        settings = load_settings(self._config_path)
        if isinstance(settings, list):
            raise ControlError("invalid", str(settings[0]))
        policies = await self._loop.run_in_executor(None, load_policy_directory, settings.policies)
        if isinstance(policies, list):
            raise ControlError("invalid", str(policies[0]))
        try:
            self._around.token_keys = keys_of(settings)
        except (OSError, ValueError) as error:
            raise ControlError("invalid", str(error)) from None
        self._around.policies = policies
        for take_up in self._parts.on_reload:
            take_up(policies)

    def _snapshot(self) -> dict[str, Any]:
        """Counters belong to threads, and one may add a row at this moment."""
        for _ in range(_SNAPSHOT_TRIES):
            try:
                return self._registry.snapshot()
            except RuntimeError:
                continue
        raise ControlError("unavailable", "the counters change too fast to be read")

    def _measure(self) -> None:
        events = self._registry.gauge("penstock_consumer_lag_events")
        seconds = self._registry.gauge("penstock_consumer_lag_seconds")
        unreadable = self._registry.gauge("penstock_event_lines_unreadable")
        batches = self._registry.gauge("penstock_event_batches")

        def measure() -> None:
            for runner in self.runners:
                label = (runner.consumer.name,)
                events.set(runner.lag.events, label)
                seconds.set(runner.lag.seconds, label)
            unreadable.set(self._logs.unreadable)
            batches.set(self._logs.kept)

        self._registry.on_snapshot(measure)

    def _ask(self, method: str, params: Any) -> Any:
        """The supervisor's answer, for threads; raises ``ControlError`` and ``OSError``."""

        async def call() -> Any:
            return await asyncio.wait_for(self._channel.call(method, params), _ASK_S)

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(_ASK_S + 1.0)


async def _kept(name: str, service: Service) -> None:
    """Run it until cancelled, again and again."""
    pause = _AGAIN_FIRST_S
    while True:
        started = time.monotonic()
        try:
            await service()
            log.error("service ended", service=name)
        except Exception as error:
            log.error("service failed", service=name, error=str(error), exc_info=error)
        if time.monotonic() - started > _AGAIN_MAX_S:
            pause = _AGAIN_FIRST_S
        await asyncio.sleep(pause)
        pause = min(2 * pause, _AGAIN_MAX_S)
