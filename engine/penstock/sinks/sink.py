"""One sink as a consumer of the event log.

:meth:`Sink.take` returns when the broker has the events, and raises where it does not take them:
whoever feeds the sink waits, longer each time, and feeds it again from its checkpoint. The
broker's client lives in an event loop in a thread of the sink's own, so that it can answer the
broker's questions while nothing happens here.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import threading
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from penstock.events.metrics import Registry
from penstock.events.reading import Position
from penstock.events.records import INTERNAL, AnyEvent
from penstock.sinks.config import SinkConfig
from penstock.sinks.places import Places
from penstock.sinks.ports import Message, Publisher, SinkError
from penstock.sinks.subject import subject_of

_T = TypeVar("_T")
_PUBLISHERS = {"nats": ("penstock.sinks.nats", "NatsPublisher")}
_PUBLISHERS["kafka"] = ("penstock.sinks.kafka", "KafkaPublisher")
_BATCHES_WAIT_MAX = 60  # so many times the time-out of one answer may a batch of events take


def make_publisher(config: SinkConfig) -> Publisher:
    """Raises :class:`SinkError` where the broker's library is not installed."""
    module, name = _PUBLISHERS[config.kind]
    try:
        publisher: Publisher = getattr(importlib.import_module(module), name)(config)
    except ModuleNotFoundError as error:
        raise SinkError(
            f"sink {config.name}: {error.name} is not installed; "
            f"pip install 'penstock[{config.kind}]'"
        ) from None
    return publisher


class Sink:
    """``publisher``: another one than that of ``config.kind``."""

    def __init__(
        self, config: SinkConfig, registry: Registry, publisher: Publisher | None = None
    ) -> None:
        self.name = f"sink-{config.name}"
        self._config = config
        self._publisher = publisher or make_publisher(config)
        self._places = Places(os.path.join(config.directory, f"{config.name}.sqlite"))
        self._positions: dict[str, Position] = {}
        self._saved: dict[str, Position] = {}
        self._published = registry.counter("penstock_sink_events_total")
        self._failures = registry.counter("penstock_sink_failures_total")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=self.name, daemon=True)
        self._thread.start()

    def checkpoint(self) -> dict[str, Position]:
        self._positions = self._places.load()
        self._saved = dict(self._positions)
        return dict(self._positions)

    def take(self, log: str, events: Sequence[tuple[bytes, AnyEvent]], upto: Position) -> None:
        """Raises :class:`SinkError`; some of the events may be published then, and come again."""
        messages = [
            message for line, event in events if (message := self._message(line, event)) is not None
        ]
        if messages:
            try:
                self._run(self._publisher.publish(messages))
            except SinkError:
                self._failures.inc((self._config.name,))
                raise
            self._published.inc((self._config.name,), len(messages))
        self._positions[log] = upto

    def flush(self) -> dict[str, Position]:
        if self._positions != self._saved:
            self._places.save(self._positions)
            self._saved = dict(self._positions)
        return dict(self._positions)

    def close(self) -> None:
        """After nothing more is taken."""
        try:
            self._run(self._publisher.close())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(self._config.timeout_s)
            self._loop.close()
            self._places.close()

    def _message(self, line: bytes, event: AnyEvent) -> Message | None:
        kind = str(event.__struct_config__.tag)
        tenant = getattr(event, "tenant", "")
        config = self._config
        if (
            kind in INTERNAL
            or config.tenant not in (tenant, "*")
            or (config.types and kind not in config.types)
        ):
            return None
        subject = subject_of(config.subject, tenant, kind)
        return Message(event.id, subject, getattr(event, "message", ""), line)

    def _run(self, job: Coroutine[Any, Any, _T]) -> _T:
        """Do ``job`` in the sink's loop and wait for it."""
        future = asyncio.run_coroutine_threadsafe(job, self._loop)
        limit_s = self._config.timeout_s * _BATCHES_WAIT_MAX
        try:
            return future.result(limit_s)
        except TimeoutError:
            future.cancel()
            raise SinkError(f"no end within {limit_s:g} s") from None
