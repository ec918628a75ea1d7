"""How a connection leaves: from the source's own address, or through the source's proxy.

What goes wrong here is of two kinds, and they must not be mixed up. That the host cannot be reached
is an ``OSError``, as without a proxy. That the way out itself is broken (the proxy does not answer
or does not let us in, the address is not on this machine) is an ``EgressError``: it says nothing of
the host, and every other host would fare the same.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import socket
from collections.abc import Callable

from aiosmtpd.proxy_protocol import AF, PROTO, V2_CMD, V2_SIGNATURE

from penstock.relay.addresses import address_text
from penstock.relay.cache import AnswerCache
from penstock.relay.options import ConnectOptions, Proxy
from penstock.relay.presence import missing_addresses
from penstock.relay.socks import Refused, converse
from penstock.smtp.reply import Reply

_V2_VERSION = 0x20


class EgressError(Exception):
    """The source's way out is broken; ``reply`` says how."""

    def __init__(self, enhanced: str, text: str) -> None:
        super().__init__(text)
        self.reply = Reply.of(451, f"{enhanced} {text}")


class ProxyNames:
    """The addresses of proxies that are given by name, from the machine's own resolver."""

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        keep_s: float = 60.0,
        keep_failure_s: float = 5.0,
        timeout_s: float = 10.0,
        entries_max: int = 1000,
    ) -> None:
        self._keep_s, self._keep_failure_s, self._timeout_s = keep_s, keep_failure_s, timeout_s
        self._cache: AnswerCache[str, tuple[str, ...]] = AnswerCache(self._find, clock, entries_max)

    async def addresses(self, host: str) -> tuple[str, ...]:
        """None where ``host`` has none or nobody could say."""
        return (host,) if address_text(host) is not None else await self._cache.get(host)

    async def _find(self, host: str) -> tuple[tuple[str, ...], float]:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeout_s):
                found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            return (), self._keep_failure_s
        return tuple(dict.fromkeys(str(where[4][0]) for where in found)), self._keep_s

    async def close(self) -> None:
        await self._cache.close()


class WayOut:
    """Makes connections for sources; one serves them all."""

    def __init__(self, names: ProxyNames | None = None) -> None:
        self._names = names or ProxyNames(asyncio.get_running_loop().time)

    async def connect(
        self, protocol: asyncio.Protocol, address: str, port: int, options: ConnectOptions
    ) -> asyncio.BaseTransport:
        """``protocol`` connected to a host within ``options.connect_timeout_s``.

        Raises ``EgressError`` where the way out is broken, ``OSError`` where the host is not to be
        reached.
        """
        if options.proxy is not None:
            return await self._through(options.proxy, protocol, address, port, options)
        source = options.source_for(address)
        try:
            async with asyncio.timeout(options.connect_timeout_s):
                transport, _ = await asyncio.get_running_loop().create_connection(
                    lambda: protocol, address, port, local_addr=(source, 0) if source else None
                )
        except OSError as error:
            _blame_source(source, error)
            raise
        return transport

    async def close(self) -> None:
        await self._names.close()

    async def _through(
        self,
        proxy: Proxy,
        protocol: asyncio.Protocol,
        address: str,
        port: int,
        options: ConnectOptions,
    ) -> asyncio.BaseTransport:
        passage = _Passage(proxy)
        try:
            async with asyncio.timeout(options.connect_timeout_s):
                await passage.reach(await self._names.addresses(proxy.host))
                if proxy.kind == "haproxy":
                    header = proxy_header(options.source_for(address), address, port)
                    await passage.send(header)
                else:
                    await passage.ask(address, port)
                return await passage.give(protocol)
        except TimeoutError as error:
            raise passage.failure("timed out") from error
        finally:
            passage.close()


class _Passage:
    """One attempt to get through a proxy. ``asked``: it has been told the host, and from here on
    silence may be the host's."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._loop = asyncio.get_running_loop()
        self._sock: socket.socket | None = None
        self._asked = False

    async def reach(self, addresses: tuple[str, ...]) -> None:
        """A connection to the proxy at the first of its addresses that takes it."""
        why = "its name has no address"
        for address in addresses:
            self.close()
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            kind = socket.SOCK_STREAM | socket.SOCK_NONBLOCK
            # by its number, or asyncio does not take it for TCP and leaves TCP_NODELAY unset
            self._sock = socket.socket(family, kind, socket.IPPROTO_TCP)
            try:
                await self._loop.sock_connect(self._sock, (address, self._proxy.port))
                return
            except OSError as error:
                why = _words(error)
        raise self.failure(why)

    async def send(self, data: bytes) -> None:
        assert self._sock is not None
        try:
            await self._loop.sock_sendall(self._sock, data)
        except OSError as error:
            raise self.failure(_words(error)) from error

    async def ask(self, address: str, port: int) -> None:
        """The SOCKS conversation, up to its end and not a byte further: what follows is the
        host's."""
        proxy = self._proxy
        steps = converse(address, port, proxy.user, proxy.password)
        step = next(steps)
        while True:
            self._asked = step.asked
            await self.send(step.send)
            answer = await self._receive(step.need)
            try:
                step = steps.send(answer)
            except StopIteration as end:
                refused: Refused | None = end.value
                break
        if refused is not None:
            self._asked = refused.about_host
            raise self.failure(refused.text, refused.enhanced)

    async def _receive(self, need: int) -> bytes:
        assert self._sock is not None
        data = b""
        while len(data) < need:
            try:
                more = await self._loop.sock_recv(self._sock, need - len(data))
            except OSError as error:
                raise self.failure(_words(error)) from error
            if not more:
                raise self.failure("connection closed")
            data += more
        return data

    async def give(self, protocol: asyncio.Protocol) -> asyncio.BaseTransport:
        """The socket becomes the protocol's."""
        transport, _ = await self._loop.create_connection(lambda: protocol, sock=self._sock)
        self._sock = None
        return transport

    def failure(self, why: str, enhanced: str = "4.4.1") -> Exception:
        """Of the proxy, or of the host where the proxy has been asked for it."""
        if self._asked:
            return OSError(errno.EHOSTUNREACH, f"{why}, through {self._proxy}")
        return EgressError(enhanced, f"The source's {self._proxy} failed: {why}")

    def close(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None


def proxy_header(source: str, address: str, port: int) -> bytes:
    """A PROXY header, version 2: from ``source``, any port, to a host of the same family."""
    ours, theirs = ipaddress.ip_address(source), ipaddress.ip_address(address)
    family = AF.INET if ours.version == 4 else AF.INET6
    where = ours.packed + theirs.packed + b"\0\0" + port.to_bytes(2, "big")
    head = bytes((_V2_VERSION | V2_CMD.PROXY, family << 4 | PROTO.STREAM))
    return bytes(V2_SIGNATURE) + head + len(where).to_bytes(2, "big") + where


def _blame_source(source: str, error: OSError) -> None:
    """Raise where a connection could not even begin, for want of the address or of a port on it.

    ``EADDRNOTAVAIL`` alone does not tell: it is also what connecting to one host says when all
    ports towards that host are taken.
    """
    if not source:
        return
    if error.errno == errno.EADDRNOTAVAIL and missing_addresses([source]):
        text = f"The source's address {source} is not an address of this machine"
        raise EgressError("4.4.1", text) from error
    if error.errno == errno.EADDRINUSE:
        raise EgressError("4.4.5", f"The source's address {source} has no port left") from error


def _words(error: OSError) -> str:
    """The system's own: the event loops put theirs in their place."""
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return str(error) or type(error).__name__
