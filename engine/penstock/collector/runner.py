"""One consumer's thread: read, hand over, make durable; try again later what failed.

A consumer that fails or is slow holds up nothing but itself: it has a thread, a place in the logs
and a pause of its own. What is behind it is on disk already, so nothing is buffered for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from penstock.collector.consumer import Consumer
from penstock.collector.logs import Place

log = structlog.get_logger("penstock.collector")
_LOOK_S = 1.0
_RETRY_FIRST_S = 0.5
_EVENT_BYTES_START = 500.0  # an event's size, until it is known


@dataclass(frozen=True, slots=True)
class RunnerConfig:
    poll_s: float = 0.5
    flush_s: float = 1.0
    retry_max_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a consumer is behind: events by their usual size, seconds since what it took last was
    written."""

    events: int
    seconds: float


class Runner:
    """``monotonic`` and ``now`` are the two clocks; ``fed`` hears how many events went in."""

    def __init__(
        self,
        consumer: Consumer,
        place: Place,
        config: RunnerConfig,
        fed: Callable[[int], None],
        failed: Callable[[], None],
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.consumer, self._place, self._config = consumer, place, config
        self._fed, self._failed = fed, failed
        self._monotonic, self._now = monotonic, now
        self._begun = False
        self._looked_at = self._flushed_at = float("-inf")
        self._event_bytes = _EVENT_BYTES_START
        self._last_at = ""
        self._reading = False  # there may be more at once
        self._failing_since = 0.0
        self.failures = 0  # in a row
        self.error = ""
        self.lag = Lag(0, 0.0)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    # the thread

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name=self.consumer.name, daemon=True)
        self._thread.start()

    def tell_to_stop(self) -> None:
        self._stop.set()

    def join(self, timeout_s: float) -> bool:
        """Whether it has ended within the time."""
        if self._thread is not None:
            self._thread.join(timeout_s)
        return self._thread is None or not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._stop.wait(self.turn())
        if self._begun:
            self._guarded(self.flush)

    # one turn, which tests take without a thread

    def turn(self) -> float:
        """Feed what there is, one batch of each log; the seconds to wait before the next turn. All
        consumers turn at the same moments, and so read the same batches."""
        if not self._guarded(self._feed):
            return min(_RETRY_FIRST_S * 2.0 ** (self.failures - 1), self._config.retry_max_s)
        poll_s = self._config.poll_s
        return 0.0 if self._reading else poll_s - self._monotonic() % poll_s

    def _guarded(self, action: Callable[[], None]) -> bool:
        try:
            action()
        except Exception as error:
            self._on_failure(error)
            return False
        return True

    def _feed(self) -> None:
        now = self._monotonic()
        if not self._begun:
            self._place.begin(self.consumer.checkpoint())
            self._begun, self._looked_at, self._flushed_at = True, float("-inf"), now
        if look := now - self._looked_at >= _LOOK_S:
            self._place.look()
            self._looked_at = now
        more = False
        for name in self._place.names:
            batch = self._place.next(name)
            if batch is None:
                continue
            self.consumer.take(name, batch.events, batch.upto)
            self._took(name, len(batch.events), batch.upto.offset)
            if batch.events:
                self._last_at = batch.events[-1][1].at
                self._fed(len(batch.events))
            self._place.positions[name] = batch.upto
            more |= batch.full
        if now - self._flushed_at >= self._config.flush_s:
            self.flush()
            self._flushed_at = now
        if more != self._reading or look:
            self._measure(more)

    def flush(self) -> None:
        self.consumer.flush()
        if self.failures:
            log.info("consumer goes on", consumer=self.consumer.name)
        self.failures, self.error = 0, ""

    def _took(self, name: str, events: int, offset: int) -> None:
        """Learn how long an event is, from what one batch came to."""
        before = self._place.positions[name].offset
        if events and offset > before:
            self._event_bytes += 0.1 * ((offset - before) / events - self._event_bytes)

    def _measure(self, more: bool) -> None:
        """While it fails it is behind by as long: nothing that it took has come to anything."""
        self._reading = more
        events = int(self._place.bytes_behind() / max(self._event_bytes, 1.0))
        seconds = self._seconds_behind() if events else 0.0
        self.lag = Lag(events, max(seconds, self._failing_s()))

    def _seconds_behind(self) -> float:
        try:
            return max(0.0, self._now() - datetime.fromisoformat(self._last_at).timestamp())
        except ValueError:
            return 0.0

    def _failing_s(self) -> float:
        return self._now() - self._failing_since if self.failures else 0.0

    def _on_failure(self, error: Exception) -> None:
        if not self.failures:
            self._failing_since = self._now()
        self.failures += 1
        self._begun = False
        self.error = f"{type(error).__name__}: {error}"
        self._failed()
        self.lag = Lag(self.lag.events, self._failing_s())
        log.error(
            "consumer failed",
            consumer=self.consumer.name,
            failures=self.failures,
            error=self.error,
            exc_info=error if self.failures == 1 else None,
        )
