"""Where a worker's answers from DNS come from: c-ares, or a resolver that validates for DANE."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.relay.ports import Resolver
from penstock.relay.resolver import DnsResolver
from penstock.relay.telemetry import Telemetry
from penstock.settings.models import Settings
from penstock.worker import parts

if TYPE_CHECKING:
    from penstock.relay.dane import Dane, ValidatingResolver


class Resolving:
    """``dane`` is ``None`` where TLSA records are not looked at. ``given``: stands in for DNS,
    and then there is no ``dns``."""

    def __init__(self, settings: Settings, telemetry: Telemetry, given: Resolver | None) -> None:
        self.dane: Dane | None = None
        self.dns: DnsResolver | None = None
        self._validating: ValidatingResolver | None = None
        if given is not None:
            self.resolver = given
            return
        config = parts.resolver_config(settings)
        self.dns = DnsResolver(config, on_lookup=telemetry.looked_up)
        self.resolver = self.dns
        if settings.tls.dane:
            # a library that no other worker needs
            from penstock.relay.dane import Dane, ValidatingResolver
            from penstock.relay.dnssec import config_of

            dnssec = config_of(settings.tls.dane_nameservers)
            self._validating = ValidatingResolver(
                dnssec, config, self.dns, on_lookup=telemetry.looked_up
            )
            self.resolver, self.dane = self._validating, Dane(self._validating)

    @property
    def answers(self) -> int:
        """Kept of the resolver that validates."""
        return int(self._validating.stats()["entries"]) if self._validating is not None else 0

    async def close(self) -> None:
        if self._validating is not None:
            await self._validating.close()
        if self.dns is not None:
            await self.dns.close()
