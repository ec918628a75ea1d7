"""A session without sockets, and dialogues as text.

``C:`` lines are sent with CRLF, ``C!:`` lines are Python escapes sent as they are, ``S:`` lines are
expected, in order and complete; ``...`` stands for anything. ``S: <closed>`` says that the server
has closed. Each dialogue runs twice: what the client says between two replies as a whole, and byte
by byte.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Collection
from typing import Any

import pytest

from penstock.intake.auth import Authenticator
from penstock.intake.control import no_pools
from penstock.intake.listener import ListenerConfig
from penstock.intake.session import Session
from penstock.intake.shared import Shared
from penstock.mail.envelope import Envelope
from penstock.smtp.reply import Reply
from penstock.suppression.screen import Screen

NOW = 1_700_000_000.0


class MemorySink:
    """Keeps what it is given. ``held``: futures stay open until ``commit``."""

    def __init__(self) -> None:
        self.messages: list[tuple[Envelope, bytes]] = []
        self.refused: Reply | None = None
        self.error: BaseException | None = None
        self.late_error: BaseException | None = None
        self.held = False
        self.waiting: list[asyncio.Future[None]] = []
        self._ref = 0

    def refusal(self) -> Reply | None:
        return self.refused

    def reserve(self, recipients: int) -> int:
        self._ref += recipients
        return self._ref

    def submit(self, envelope: Envelope, body: list[bytes]) -> asyncio.Future[None]:
        if self.error is not None:
            raise self.error
        future = asyncio.get_running_loop().create_future()
        self.messages.append((envelope, b"".join(body)))
        if self.held:
            self.waiting.append(future)
        elif self.late_error is not None:
            future.set_exception(self.late_error)
        else:
            future.set_result(None)
        return future

    def commit(self, error: BaseException | None = None) -> None:
        for future in self.waiting:
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)
        self.waiting.clear()


class Recorder:
    """An observer that writes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []
        self.errors: list[BaseException] = []

    def on_connect(self, client: str) -> None:
        self.heard.append(("connect", client))

    def on_close(self, client: str, reason: str) -> None:
        self.heard.append(("close", client, reason))

    def on_accept(self, envelope: Envelope, size: int) -> None:
        self.heard.append(("accept", envelope.id, size))

    def on_reject(
        self, reply: Reply, phase: str, client: str, account: str = "", tenant: str = ""
    ) -> None:
        self.heard.append(("reject", str(reply), phase))

    def on_auth(self, client: str, account: str, reason: str) -> None:
        self.heard.append(("auth", account, reason))

    def on_error(self, error: BaseException, phase: str) -> None:
        self.heard.append(("error", type(error).__name__, phase))
        self.errors.append(error)

    def of(self, kind: str) -> list[tuple[Any, ...]]:
        return [heard for heard in self.heard if heard[0] == kind]


class MemoryTransport(asyncio.Transport):
    """Collects writes; ``room`` bytes fit before it pauses the protocol."""

    def __init__(self, peername: Any, room: int = 1 << 30) -> None:
        super().__init__()
        self.peername = peername
        self.out = b""
        self.writes: list[bytes] = []
        self.room = room
        self.closed = self.aborted = False
        self.reading = True
        self.protocol: Any = None

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.peername if name == "peername" else default

    def write(self, data: Any) -> None:
        assert not self.closed
        self.out += data
        self.writes.append(bytes(data))
        if len(self.out) > self.room and self.protocol is not None:
            self.room = 1 << 30
            self.protocol.pause_writing()

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    def abort(self) -> None:
        self.aborted = True
        self.close()

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class Line:
    """One client's connection to one session."""

    def __init__(self, shared: Shared, peername: Any, room: int = 1 << 30) -> None:
        self.shared = shared
        self.transport = MemoryTransport(peername, room)
        self.session = Session(shared)
        self.transport.protocol = self.session
        self.session.connection_made(self.transport)
        self._seen = 0

    def send(self, data: bytes, bytewise: bool = False) -> None:
        pieces = [data[i : i + 1] for i in range(len(data))] if bytewise else [data]
        for piece in pieces:
            if not self.transport.closed:
                self.session.data_received(piece)

    async def said(self, lines: int = 0) -> list[str]:
        """What the server said since the last time, once there are ``lines`` of it."""
        for _ in range(200):
            if self.transport.out[self._seen :].count(b"\r\n") >= lines:
                break
            await asyncio.sleep(0)
        for _ in range(5):
            await asyncio.sleep(0)
        new = self.transport.out[self._seen :].decode()
        self._seen = len(self.transport.out)
        return new.split("\r\n")[:-1]

    async def ask(self, text: str) -> list[str]:
        """Send lines, return what is said to them."""
        self.send(text.replace("\n", "\r\n").encode() + b"\r\n")
        return await self.said()

    async def greet(self) -> None:
        await self.said(1)
        await self.ask("EHLO client.example")


@pytest.fixture
def sink() -> MemorySink:
    return MemorySink()


@pytest.fixture
def observer() -> Recorder:
    return Recorder()


@pytest.fixture
async def connect(sink: MemorySink, observer: Recorder) -> Callable[..., Line]:
    """``connect(client="127.0.0.1", authenticator=None, pools=..., screen=None, **config)``; all
    share one listener as long as the configuration is not given again."""
    listeners: list[Shared] = []

    def make(
        client: str = "127.0.0.1",
        authenticator: Authenticator | None = None,
        room: int = 1 << 30,
        pools: Callable[[], Collection[str]] = no_pools,
        screen: Screen | None = None,
        **config: Any,
    ) -> Line:
        if config or authenticator or not listeners or pools is not no_pools or screen:
            listeners.append(
                Shared(
                    ListenerConfig(**{"hostname": "mx.example"} | config),
                    sink,
                    observer,
                    asyncio.get_running_loop(),
                    authenticator=authenticator,
                    clock=lambda: NOW,
                    pools=pools,
                    screen=screen,
                )
            )
        peername = (client, 1234, 0, 0) if ":" in client else (client, 1234)
        return Line(listeners[-1], peername, room)

    return make


@pytest.fixture
def kit() -> Callable[..., tuple[Line, MemorySink, Recorder]]:
    """``kit(**config)`` within a running loop: a line of its own, with its sink and observer."""

    def make(**config: Any) -> tuple[Line, MemorySink, Recorder]:
        sink, observer = MemorySink(), Recorder()
        loop = asyncio.get_running_loop()
        shared = Shared(ListenerConfig(**config), sink, observer, loop, clock=lambda: NOW)
        return Line(shared, ("127.0.0.1", 1)), sink, observer

    return make


def _matches(pattern: str, line: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, pattern.split("..."))), line) is not None


@pytest.fixture(params=["whole", "bytewise"])
def converse(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """``await converse(line, text)``: run a dialogue; how many replies were as they should be."""

    async def run(line: Line, text: str) -> int:
        turns: list[tuple[bytes, list[str]]] = [(b"", [])]
        for row in (row.strip() for row in text.strip().splitlines()):
            mark, _, rest = row.partition(":")
            rest = rest.removeprefix(" ")
            if mark == "S":
                turns[-1][1].append(rest)
                continue
            raw = (
                rest.encode("latin-1").decode("unicode_escape").encode("latin-1")
                if mark == "C!"
                else rest.encode() + b"\r\n"
            )
            if turns[-1][1]:
                turns.append((b"", []))
            turns[-1] = (turns[-1][0] + raw, [])
        for sent, expected in turns:
            line.send(sent, request.param == "bytewise")
            wanted = [row for row in expected if row != "<closed>"]
            said = await line.said(len(wanted))
            assert len(said) == len(wanted), f"to {sent!r}: {said}, expected {wanted}"
            for pattern, got in zip(wanted, said, strict=True):
                assert _matches(pattern, got), f"to {sent!r}: {got!r}, expected {pattern!r}"
            assert line.transport.closed is ("<closed>" in expected)
        return sum(len(expected) for _, expected in turns)

    return run
