"""Reports on TLS leave: once a day is over, to the domains that ask for them (RFC 8460).

What a domain wants is looked up at the moment of sending. What cannot be delivered is tried again
for a day, later each time, and only to the destinations that have not got it. Everything is written
down before the next step, so that a crash sends nothing twice but what was on its way.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import structlog

from penstock.collector import tls_due, tls_tables
from penstock.collector.tls_due import Due
from penstock.mail.tls_report import Report, Submitter, report_bytes, report_mail
from penstock.mail.tlsrpt_record import Destination

log = structlog.get_logger("penstock.tls_reports")
_LOOK_S = 60.0
_AT_ONCE = 100
_AGAIN_FIRST_S, _AGAIN_MAX_S = 300.0, 14_400.0
T = TypeVar("T")
# What a domain wants, or why nobody can say; the mail or the POST, "" or why it was not taken.
LookUp = Callable[[str], Awaitable[tuple[Destination, ...] | str]]
SendMail = Callable[[str, bytes], Awaitable[str]]
Post = Callable[[str, bytes], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class TlsSendingConfig:
    path: str
    submitter: Submitter
    spread_s: float = 14_400.0
    retry_max_s: float = 86_400.0
    report_bytes_max: int = 1 << 20
    sends_max: int = 10


class TlsSending:
    """``run`` is a service of the collector. ``count(result)`` hears of each report."""

    def __init__(
        self,
        config: TlsSendingConfig,
        look_up: LookUp,
        send_mail: SendMail,
        post: Post,
        count: Callable[[str], None],
        now: Callable[[], float] = time.time,
        rng: random.Random | None = None,
    ) -> None:
        self._config, self._look_up = config, look_up
        self._send_mail, self._post, self._count = send_mail, post, count
        self._now, self._rng = now, rng or random.Random()  # noqa: S311
        self._thread = ThreadPoolExecutor(1, "tls-reports")
        self._database: sqlite3.Connection | None = None
        self._gate = asyncio.Semaphore(config.sends_max)
        self._planned = (0, 0)
        self.waiting = 0

    async def run(self) -> None:
        while True:
            await self.turn()
            await asyncio.sleep(_LOOK_S)

    async def turn(self) -> None:
        """Plan what is to be planned and send what is due."""
        await self._plan()
        while found := await self._with(lambda db: tls_due.due(db, self._now(), _AT_ONCE)):
            await asyncio.gather(*map(self._in_turn, found))
        self.waiting = await self._with(tls_due.waiting)

    async def send_now(self, day: int, domain: str) -> tuple[str, str] | None:
        """Whatever became of the report before: its state and what there is to say of it; ``None``
        where there is nothing to tell."""
        retry_s = self._config.retry_max_s
        asked = await self._with(lambda db: tls_due.ask_for(db, day, domain, self._now(), retry_s))
        return await self._in_turn(asked) if asked is not None else None

    async def report(self, day: int, domain: str) -> Report | None:
        policies = await self._with(lambda db: tls_tables.policies_of(db, day, domain))
        return Report(self._config.submitter, domain, day, policies) if policies else None

    async def shown(self, day: int, domain: str, limit: int) -> tuple[list[tls_due.Shown], int]:
        return await self._with(lambda db: tls_due.shown(db, day, domain, limit))

    def close(self) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)
        if self._database is not None:
            self._database.close()
            self._database = None

    # inside

    async def _with(self, act: Callable[[sqlite3.Connection], T]) -> T:
        """In the one thread that has the database."""

        def run() -> T:
            if self._database is None:
                self._database = tls_tables.open_database(self._config.path)
            return act(self._database)

        return await asyncio.get_running_loop().run_in_executor(self._thread, run)

    async def _plan(self) -> None:
        """When a day has ended, and then every hour for what was counted late."""
        config, now = self._config, self._now()
        planned = (tls_due.ended(now), int(now) // 3600)
        if planned != self._planned:
            await self._with(
                lambda db: tls_due.plan(db, now, config.spread_s, config.retry_max_s, self._rng)
            )
            self._planned = planned

    async def _in_turn(self, due: Due) -> tuple[str, str]:
        async with self._gate:
            return await self._one(due)

    async def _one(self, due: Due) -> tuple[str, str]:
        wanted = await self._look_up(due.domain)
        if isinstance(wanted, str):
            return await self._later(due, wanted)
        if not wanted:
            return await self._settle(due, "unwanted", "")
        report = await self.report(due.day, due.domain)
        if report is None:
            return await self._settle(due, "unwanted", "nothing to tell")
        packed = await self._packed(report)
        failures = []
        for destination in wanted:
            if str(destination) in due.done:
                continue
            why = await self._deliver(destination, report, packed)
            if why:
                failures.append(why)
            else:
                due = await self._got(due, str(destination))
        if failures:
            return await self._later(due, "; ".join(failures))
        return await self._settle(due, "sent", ", ".join(map(str, wanted)))

    async def _got(self, due: Due, destination: str) -> Due:
        return await self._with(lambda db: tls_due.got(db, due, destination))

    async def _packed(self, report: Report) -> bytes:
        """Without the details where it would be too large."""
        loop = asyncio.get_running_loop()
        packed = await loop.run_in_executor(None, report_bytes, report)
        if len(packed) > self._config.report_bytes_max:
            policies = tuple(one._replace(failures=()) for one in report.policies)
            packed = report_bytes(report._replace(policies=policies))
        return packed

    async def _deliver(self, destination: Destination, report: Report, packed: bytes) -> str:
        if destination.kind == "https":
            return await self._post(destination.target, packed)
        content = report_mail(report, packed, destination.target, self._now())
        return await self._send_mail(destination.target, content)

    async def _later(self, due: Due, why: str) -> tuple[str, str]:
        now = self._now()
        if now >= due.until:
            return await self._settle(due, "failed", why)
        pause_s = min(_AGAIN_FIRST_S * 2.0 ** min(due.tries, 20), _AGAIN_MAX_S)
        again_at = min(now + pause_s * self._rng.uniform(0.8, 1.2), max(due.until, now + 1.0))
        await self._with(lambda db: tls_due.settle(db, due, "due", why, again_at))
        self._count("later")
        log.info("tls report not delivered yet", domain=due.domain, reason=why)
        return "due", why

    async def _settle(self, due: Due, state: str, note: str) -> tuple[str, str]:
        await self._with(lambda db: tls_due.settle(db, due, state, note, self._now()))
        self._count(state)
        if state == "failed":
            log.warning("tls report given up", domain=due.domain, reason=note)
        return state, note
