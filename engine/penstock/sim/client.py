"""Clients that submit mail and believe only a 250: what was not acknowledged they send again."""

from __future__ import annotations

import asyncio
import random
import re
from dataclasses import dataclass
from typing import Any

from penstock.sim.ledger import Ledger
from penstock.sim.loop import SimLoop

_ID = re.compile(rb"^250 .* as (\S+)")
_PATIENCE_S = 40.0


@dataclass(frozen=True, slots=True)
class Order:
    """One message to be submitted. ``recipients``: (prefix, domain) each. ``extra``: parameters of
    RCPT."""

    number: int
    start_s: float
    recipients: tuple[tuple[str, str], ...]
    null_sender: bool
    size: int
    extra: str = ""


class _Lines(asyncio.Protocol):
    """A connection as lines."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._waiter: asyncio.Future[None] | None = None
        self._lost = False
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def reply(self) -> bytes:
        """The next reply's last line; raises ``OSError``."""
        while True:
            end = self._buffer.find(b"\n")
            if end >= 0:
                line = bytes(self._buffer[: end + 1])
                del self._buffer[: end + 1]
                if line[3:4] != b"-":
                    return line
                continue
            if self._lost:
                raise ConnectionResetError("lost")
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    async def ask(self, text: str, wanted: bytes) -> bytes:
        self.transport.write(text.encode() + b"\r\n")
        return await self.expect(wanted)

    async def expect(self, wanted: bytes) -> bytes:
        line = await self.reply()
        if not line.startswith(wanted):
            raise ConnectionError(f"not {wanted!r}: {line!r}")
        return line


class Client:
    """Submits its orders one after the other, each until it is acknowledged."""

    def __init__(
        self, loop: SimLoop, ledger: Ledger, rng: random.Random, orders: list[Order]
    ) -> None:
        self._loop, self._ledger, self._rng = loop, ledger, rng
        self._orders = sorted(orders, key=lambda order: order.start_s)
        self._pipelines = rng.random() < 0.5
        self._lines: _Lines | None = None
        self.done = not orders
        self.refusals = 0

    async def run(self) -> None:
        for order in self._orders:
            await asyncio.sleep(max(0.0, order.start_s - self._loop.time()))
            attempt = 0
            while not await self._submitted(order, attempt):
                attempt += 1
                await asyncio.sleep(self._rng.uniform(0.2, 4.0))
        self._hang_up()
        self.done = True

    def _hang_up(self) -> None:
        if self._lines is not None:
            self._lines.transport.close()
            self._lines = None

    async def _submitted(self, order: Order, attempt: int) -> bool:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                lines = self._lines = self._lines or await self._connect()
                await self._submit(lines, order, attempt)
        except (OSError, TimeoutError) as error:
            self.refusals += 1
            self._ledger.log(f"client: {order.number}.{attempt} not accepted: {error}")
            self._hang_up()
            return False
        return True

    async def _connect(self) -> _Lines:
        _, lines = await self._loop.create_connection(_Lines, "127.0.0.1", 25)
        assert isinstance(lines, _Lines)
        self._lines = lines
        await lines.expect(b"220")
        await lines.ask("EHLO client.example", b"250")
        return lines

    async def _submit(self, lines: _Lines, order: Order, attempt: int) -> None:
        tag = f"{order.number}.{attempt}"
        addresses = [
            f"{prefix}{tag}.{index}@{domain}"
            for index, (prefix, domain) in enumerate(order.recipients)
        ]
        sender = "" if order.null_sender else f"s{tag}.0@home.example"
        body = self._body(tag, order.size)
        self._ledger.sends(tag, body)
        commands = [f"MAIL FROM:<{sender}>"]
        commands += [f"RCPT TO:<{address}>{order.extra}" for address in addresses]
        if self._pipelines:
            lines.transport.write(("\r\n".join([*commands, "DATA"]) + "\r\n").encode())
            for _ in commands:
                await lines.expect(b"250")
            await lines.expect(b"354")
        else:
            for command in commands:
                await lines.ask(command, b"250")
            await lines.ask("DATA", b"354")
        head = f"From: <s@home.example>\r\nSubject: {tag}\r\nX-Sim: {tag}\r\n\r\n".encode()
        content = (head + body).replace(b"\r\n.", b"\r\n..")
        lines.transport.write(content + b".\r\n")
        line = await lines.expect(b"250")
        found = _ID.match(line)
        id = found[1].decode() if found else "?"
        told = not order.null_sender and "NEVER" not in order.extra
        self._ledger.acknowledged(tag, id, addresses, told)

    def _body(self, tag: str, size: int) -> bytes:
        line = f".{tag} the quick brown fox\r\n..\r\n".encode()
        return line * max(1, size // len(line))
