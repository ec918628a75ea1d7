"""The addresses of a host by c-ares: without a thread that a slow name server could keep."""

from __future__ import annotations

import socket
from collections.abc import Sequence

import aiodns
from aiodns.error import DNSError


class HostResolver:
    """Belongs to the loop in which it is first called."""

    def __init__(self) -> None:
        self._dns: aiodns.DNSResolver | None = None

    async def __call__(self, host: str) -> Sequence[str]:
        """Raises ``OSError`` where there is none to be had."""
        if self._dns is None:
            self._dns = aiodns.DNSResolver()
        try:
            found = await self._dns.getaddrinfo(host, type=socket.SOCK_STREAM)
        except DNSError as error:
            raise OSError(f"{host}: {error.args[1] if len(error.args) > 1 else error}") from None
        addresses = [node.addr[0] for node in found.nodes]
        return [one.decode() if isinstance(one, bytes) else str(one) for one in addresses]

    async def close(self) -> None:
        if self._dns is not None:
            await self._dns.close()
            self._dns = None
