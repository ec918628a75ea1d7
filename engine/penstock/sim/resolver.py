"""The sandbox's answers to the relay: its Sandbox port and its Resolver port, from one map."""

from __future__ import annotations

from penstock.relay.ports import AddressRecords, Host, LookupFailure, MxRecords
from penstock.sim.names import Names
from penstock.smtp.reply import Reply

TTL_S = 3600.0


class SandboxResolver:
    """Answers from :class:`Names` alone: no name leaves the machine. Every domain exists but those
    under ``.invalid``."""

    def __init__(self, names: Names) -> None:
        self._names = names

    async def mx(self, domain: str) -> MxRecords | LookupFailure:
        names = self._names.mx(domain)
        if not names:
            return LookupFailure("nxdomain", Reply.of(550, f"5.1.2 Domain not found: {domain}"))
        return MxRecords(tuple((10 * n, name) for n, name in enumerate(names, 1)), TTL_S)

    async def addresses(self, name: str) -> AddressRecords | LookupFailure:
        if not self._names.mx(name):
            return LookupFailure("nxdomain", Reply.of(550, f"5.1.2 Domain not found: {name}"))
        return AddressRecords((self._names.address(name)[0],), TTL_S)

    def port(self, name: str) -> int:
        """The port of a host, which DNS does not tell: the providers share one address."""
        return self._names.address(name)[1]

    def hosts(self, domain: str) -> tuple[Host, ...]:
        """Host by host in order of preference; empty for a domain that does not exist."""
        found = []
        for number, name in enumerate(self._names.mx(domain), 1):
            address, port = self._names.address(name)
            found.append(Host(name, (address,), 10 * number, port))
        return tuple(found)
