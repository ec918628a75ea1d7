"""One client's end of a session without sockets: it sends by turns, and may be slow to listen."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from typing import Any

from penstock.intake.auth import WRONG, Account
from penstock.intake.session import Session
from penstock.intake.shared import Shared
from penstock.mail.envelope import Envelope
from penstock.smtp.reply import Reply

READY = b"220 2.0.0 Ready to start TLS\r\n"
ANN = Account("ann", "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$Iyf1ZKDbOpzvGZUkYzVc/Q")


class Sink:
    """Keeps every message; ``late``: tells of it at the loop's next turn."""

    def __init__(self, late: bool) -> None:
        self.messages: list[bytes] = []
        self._late = late
        self._ref = 0

    def refusal(self) -> Reply | None:
        return None

    def reserve(self, recipients: int) -> int:
        self._ref += recipients
        return self._ref

    def submit(self, envelope: Envelope, body: list[bytes]) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self.messages.append(b"".join(body))
        if self._late:
            loop.call_soon(future.set_result, None)
        else:
            future.set_result(None)
        return future


class Doorman:
    """Knows ann and her password, and takes a moment."""

    async def check(self, client: str, login: bytes, password: bytes) -> Account | Reply:
        await asyncio.sleep(0)
        return ANN if (login, password) == (b"ann", b"secret") else WRONG

    def knows(self, name: str) -> bool:
        return name == "ann"


class Transport(asyncio.Transport):
    """Collects what is written; after ``room`` bytes more than the client has read, it is full."""

    def __init__(self, address: str, room: int) -> None:
        super().__init__()
        self.out = b""
        self.read = 0
        self.closed = False
        self.reading = True
        self.full = False
        self.protocol: Any = None
        self._address = address
        self._room = room

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return (self._address, 1234) if name == "peername" else default

    def write(self, data: Any) -> None:
        assert not self.closed
        self.out += data
        if len(self.out) - self.read > self._room and not self.full:
            self.full = True
            self.protocol.pause_writing()

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def listen(self) -> None:
        """The client reads what there is."""
        self.read = len(self.out)
        if self.full:
            self.full = False
            if not self.closed:
                self.protocol.resume_writing()


async def secured(
    loop: asyncio.AbstractEventLoop,
    transport: Transport,
    protocol: asyncio.Protocol,
    context: ssl.SSLContext,
    timeout_s: float,
    first: bytes = b"",
) -> tuple[Transport, str]:
    """In the place of a handshake: from here on, what comes counts as encrypted."""
    await asyncio.sleep(0)
    transport.resume_reading()
    return transport, "TLSv1.3 TLS_AES_256_GCM_SHA384"


async def play(
    shared: Shared,
    address: str,
    turns: Sequence[bytes],
    *,
    step: int = 1 << 20,
    slow: bool = False,
) -> Transport:
    """A whole session; after each turn the client waits until all is said. ``slow``: after each
    piece, too, and it leaves no room for replies. Like any client it sends nothing more in a turn
    once it was told to start TLS."""
    transport = Transport(address, 100 if slow else 1 << 30)
    session = Session(shared)
    transport.protocol = session
    session.connection_made(transport)
    await _settle(session, transport)
    for turn in turns:
        before = transport.out.count(READY)
        for start in range(0, len(turn), step):
            if not transport.reading:
                await _settle(session, transport)
            if transport.closed or transport.out.count(READY) > before:
                break
            session.data_received(turn[start : start + step])
            kept = len(session._buffer)
            assert kept <= shared.config.pipeline_bytes_max + len(turn)
            if slow:
                await _settle(session, transport)
        await _settle(session, transport)
        if transport.closed:
            break
    session.eof_received()
    transport.closed = True
    session.connection_lost(None)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return transport


async def _settle(session: Session, transport: Transport) -> None:
    """Until the server waits for the client."""
    for _ in range(10_000):
        asked = session._asked is not None and not session._asked.done()
        if not transport.full and (not session._busy or asked):
            break
        transport.listen()
        await asyncio.sleep(0)
    else:
        raise AssertionError("the session hangs")
    transport.listen()
    await asyncio.sleep(0)
