"""MTA-STS of recipient domains (RFC 8461): the record, the policy, and which of them holds now.

The record says whether there is a policy and which; it is looked up together with the MX records,
and for a domain that has none, as nearly all, that is all there is to it. A policy is fetched when
it is new and kept to its ``max_age``. What was kept holds until something newer was fetched: a
record that has gone, a policy host that is down or broken, change nothing about it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from penstock.policy.mta_sts import BadPolicy, StsPolicy, parse_record
from penstock.relay.ports import LookupFailure, StsAnswer, TxtRecords
from penstock.relay.sts_store import Kept
from penstock.relay.tls_demand import Fault

log = structlog.get_logger("penstock.relay")
Fetch = Callable[[str, str], Awaitable[StsPolicy | Fault]]


class TxtResolver(Protocol):
    """DNS as it is needed here; never raises for what DNS may answer."""

    async def txt(self, name: str) -> TxtRecords | LookupFailure: ...


class Store(Protocol):
    """Where policies are kept; both may raise ``OSError``, ``put`` may block."""

    def get(self, domain: str, now: float) -> Kept | None: ...
    def put(self, domain: str, policy: StsPolicy, now: float) -> None: ...


@dataclass(frozen=True, slots=True)
class StsConfig:
    """``ttl_s``: how long an answer may be relied on at most. ``retry_s``: how long a policy host
    that failed is left alone. ``refresh_s``: a policy in use is fetched again when it is so old, or
    has half its time behind it."""

    ttl_s: float = 3600.0
    retry_s: float = 300.0
    refresh_s: float = 86_400.0
    failures_max: int = 10_000
    refreshes_max: int = 100


class MtaSts:
    """The :class:`~penstock.relay.ports.StsFinder`. ``now``: seconds since the epoch; ``told``
    hears how each fetch ended: ``ok`` or a result type of RFC 8460."""

    def __init__(
        self,
        resolver: TxtResolver,
        fetch: Fetch,
        store: Store,
        now: Callable[[], float],
        config: StsConfig | None = None,
        told: Callable[[str], None] = lambda result: None,
    ) -> None:
        self._resolver, self._fetch, self._store = resolver, fetch, store
        self._now, self._config, self._told = now, config or StsConfig(), told
        self._failed: OrderedDict[str, tuple[float, Fault]] = OrderedDict()
        self._refreshing: dict[str, asyncio.Task[object]] = {}

    async def find(self, domain: str) -> StsAnswer:
        """What holds for ``domain`` now."""
        config = self._config
        found = await self._resolver.txt(f"_mta-sts.{domain}")
        now = self._now()
        kept = self._kept(domain, now)
        fault = Fault("", "")
        if isinstance(found, LookupFailure):
            id, ttl_s = None, config.retry_s if found.kind == "failed" else config.ttl_s
        else:
            ttl_s = min(found.ttl_s, config.ttl_s)
            try:
                id = parse_record(found.texts)
            except BadPolicy as error:
                id, fault = None, Fault("sts-policy-invalid", str(error))
        if id is not None and (kept is None or kept.policy.id != id):
            fetched = await self._fetched(domain, id)
            if isinstance(fetched, Kept):
                kept = fetched
            else:
                fault, ttl_s = fetched, min(ttl_s, config.retry_s)
        elif id is not None and kept is not None and self._stale(kept, now):
            self._refresh(domain, id)
        if kept is None:
            return StsAnswer(None, fault, ttl_s)
        return StsAnswer(kept.policy, ttl_s=max(1.0, min(ttl_s, kept.expires_at - now)))

    def _kept(self, domain: str, now: float) -> Kept | None:
        try:
            return self._store.get(domain, now)
        except OSError as error:
            log.error("MTA-STS policies cannot be read", error=str(error))
            return None

    def _stale(self, kept: Kept, now: float) -> bool:
        half = kept.fetched_at + (kept.expires_at - kept.fetched_at) / 2
        return now >= min(half, kept.fetched_at + self._config.refresh_s)

    async def _fetched(self, domain: str, id: str) -> Kept | Fault:
        """A policy of the domain that was fetched just now, or why there is none."""
        failed = self._failed.get(domain)
        if failed is not None and failed[0] > self._now():
            return failed[1]
        found = await self._fetch(domain, id)
        now = self._now()
        if isinstance(found, Fault):
            self._told(found.result_type)
            log.info("MTA-STS policy", domain=domain, result=found.result_type, why=found.text)
            self._failed[domain] = (now + self._config.retry_s, found)
            self._failed.move_to_end(domain)
            if len(self._failed) > self._config.failures_max:
                self._failed.popitem(last=False)
            return found
        self._told("ok")
        self._failed.pop(domain, None)
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(None, self._store.put, domain, found, now)
        except OSError as error:
            log.error("MTA-STS policy cannot be kept", domain=domain, error=str(error))
        return Kept(found, now, now + found.max_age_s)

    def _refresh(self, domain: str, id: str) -> None:
        """Fetch it again, behind the back of the mail that goes on with the old one."""
        if domain in self._refreshing or len(self._refreshing) >= self._config.refreshes_max:
            return
        task = asyncio.ensure_future(self._fetched(domain, id))
        self._refreshing[domain] = task
        task.add_done_callback(lambda done: self._refreshed(domain, done))

    def _refreshed(self, domain: str, done: asyncio.Task[object]) -> None:
        del self._refreshing[domain]
        if not done.cancelled():
            done.exception()

    async def close(self) -> None:
        tasks = list(self._refreshing.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def stats(self) -> dict[str, float]:
        return {"failed": len(self._failed), "refreshing": len(self._refreshing)}
