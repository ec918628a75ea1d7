"""What TLS a domain demands, asked for while its hosts are being looked up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from penstock.relay.ports import DaneAnswer, DaneFinder, Host, StsAnswer, StsFinder
from penstock.relay.tls_demand import DomainTls

_NEVER = float("inf")


class Asking:
    """One domain's questions, under way for as long as its context. MTA-STS is asked for at once,
    DANE when the hosts are known."""

    def __init__(self, domain: str, sts: StsFinder | None, dane: DaneFinder | None) -> None:
        self._domain, self._sts, self._dane = domain, sts, dane
        self._task: asyncio.Task[StsAnswer] | None = None

    def __enter__(self) -> Asking:
        if self._sts is not None:
            self._task = asyncio.create_task(self._sts.find(self._domain))
        return self

    def __exit__(self, *error: object) -> None:
        if self._task is not None:
            self._task.cancel()

    async def answer(self, hosts: Sequence[Host]) -> tuple[DomainTls, float]:
        """What the domain publishes, and for how many seconds that may be relied on."""
        dane = DaneAnswer(ttl_s=_NEVER)
        if self._dane is not None:
            dane = await self._dane.find(self._domain, hosts)
        sts = StsAnswer(ttl_s=_NEVER)
        if self._task is not None:
            sts = await self._task
        tls = DomainTls(sts.policy, sts.trouble, dane.tlsa, dane.secure)
        return tls, min(sts.ttl_s, dane.ttl_s)
