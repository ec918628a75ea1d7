"""DNS of a simulated world: a Resolver that answers from a table, late, and sometimes not."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping

from penstock.relay.ports import AddressRecords, LookupFailure, MxRecords
from penstock.smtp.reply import Reply


class NameServer:
    """``zones``: domain -> (host name, address). ``ill()``: it does not answer now."""

    def __init__(
        self,
        zones: Mapping[str, tuple[str, str]],
        rng: random.Random,
        ill: Callable[[], bool],
    ) -> None:
        self._zones, self._rng, self._ill = zones, rng, ill
        self._addresses = dict(zones.values())
        self.failures = 0

    async def mx(self, domain: str) -> MxRecords | LookupFailure:
        failure = await self._failure(domain)
        if failure is not None:
            return failure
        zone = self._zones.get(domain)
        if zone is None:
            return LookupFailure("nxdomain", Reply.of(550, f"5.1.2 Domain not found: {domain}"))
        return MxRecords(((10, zone[0]),), self._rng.uniform(5.0, 100.0))

    async def addresses(self, name: str) -> AddressRecords | LookupFailure:
        failure = await self._failure(name)
        if failure is not None:
            return failure
        return AddressRecords((self._addresses[name],), self._rng.uniform(5.0, 100.0))

    async def _failure(self, name: str) -> LookupFailure | None:
        await asyncio.sleep(self._rng.uniform(0.001, 0.1))
        if not self._ill():
            return None
        self.failures += 1
        return LookupFailure("failed", Reply.of(451, f"4.4.3 No answer about {name}"))
