"""A network in memory: connections with latency, a small kernel buffer, random boundaries, and
everything that can happen to them.

A byte that was written lies in the kernel's buffer until the other side reads it; what does not
fit waits in the transport, which then holds its writer back. A connection may be *cut* (both sides
hear of it), *stalled* (nobody hears of anything again) or refused. All of it is decided by the
``weather`` of the world.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from penstock.sim.loop import Process, SimLoop, current_process, owner
from penstock.sim.transport import Transport

Address = tuple[str, int]
Fate = Literal["answers", "refuses", "vanishes"]


@dataclass(frozen=True, slots=True)
class Line:
    """One connection's nature. After ``cut_after`` or ``stall_after`` bytes in either direction it
    is cut or stalled; ``None``: never. ``whole``: chance that all that has come is handed over at
    once."""

    fate: Fate = "answers"
    latency_s: float = 0.001
    whole: float = 0.8
    kernel_bytes: int = 65536
    cut_after: int | None = None
    stall_after: int | None = None


Weather = Callable[[Address], Line]


class Wire:
    """One connection; ``near`` made it, ``far`` was called."""

    def __init__(self, network: Network, line: Line, address: Address, number: int) -> None:
        self.network, self.line, self.address, self.number = network, line, address, number
        self.rng = random.Random(network.rng.getrandbits(64))
        self.passed = 0
        self.stalled = False
        self.process = current_process()
        self.mails: list[float] = []  # when each MAIL was written
        self._begun: float | None = None
        self.closed_at: float | None = None  # when the near end was
        self.near: Transport
        self.far: Transport

    def note_mails(self, data: bytes) -> None:
        now = self.network.loop.time()
        mails = data.count(b"MAIL FROM:")
        if mails:  # one that had to wait for the reply to RSET was begun with that
            self.mails += [self._begun or now] + [now] * (mails - 1)
        self._begun = now if not mails and data.startswith(b"RSET") else None

    def other(self, end: Transport) -> Transport:
        return self.far if end is self.near else self.near

    def passing(self, size: int) -> bool:
        """Bytes arrive; False where they do not, after all."""
        self.passed += size
        network = self.network
        network.deliveries += 1
        if network.trap is not None and network.deliveries >= network.trap[0]:
            spring, network.trap = network.trap[1], None
            network.world.copy().run(spring)
        line = self.line
        if line.cut_after is not None and self.passed > line.cut_after:
            self.network.count("cut")
            self.cut()
        elif line.stall_after is not None and self.passed > line.stall_after:
            self.network.count("stalled")
            self.stalled = True
        else:
            return True
        return False

    def cut(self) -> None:
        for end in (self.near, self.far):
            end.lose(ConnectionResetError("Connection reset by peer"))


class Server:
    def __init__(self, network: Network, address: Address) -> None:
        self._network, self._address = network, address

    def close(self) -> None:
        self._network.unlisten(self._address, self)


class Network:
    """``intake``: where ``SimLoop.create_server`` listens. ``counts``: what happened, by name."""

    intake: Address = ("127.0.0.1", 25)

    def __init__(self, loop: SimLoop, rng: random.Random, weather: Weather) -> None:
        self.loop, self.rng, self.weather = loop, rng, weather
        self.deliveries = 0
        self.trap: tuple[int, Callable[[], object]] | None = None
        self.world = contextvars.copy_context()
        self.counts: dict[str, int] = {}
        self.wires: dict[Wire, None] = {}
        self.watch: Callable[[Wire, str], None] = lambda wire, what: None
        self._numbers = 0
        self._listeners: dict[Address, tuple[Any, contextvars.Context, Server]] = {}

    def count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    def listen(self, factory: Callable[[], Any], address: Address | None = None) -> Server:
        at = address or self.intake
        if at in self._listeners:
            raise OSError(98, "Address already in use")
        server = Server(self, at)
        self._listeners[at] = (factory, contextvars.copy_context(), server)
        return server

    def unlisten(self, address: Address, server: Server | None = None) -> None:
        found = self._listeners.get(address)
        if found is not None and server in (None, found[2]):
            del self._listeners[address]

    async def connect(
        self, factory: Callable[[], Any], address: Address, source: str = ""
    ) -> tuple[Transport, Any]:
        line = self.weather(address)
        await asyncio.sleep(line.latency_s)
        if line.fate == "vanishes":
            self.count("vanished")
            await self.loop.create_future()
        found = self._listeners.get(address)
        if line.fate == "refuses" or found is None:
            self.count("refused")
            raise ConnectionRefusedError(111, "Connection refused")
        self._numbers += 1
        wire = Wire(self, line, address, self._numbers)
        near: Any = factory()
        far: Any = found[0]()
        here = (source or "127.0.0.1", 1024 + self._numbers)
        context = contextvars.copy_context()
        wire.near = Transport(self.loop, wire, near, context, address, here, made=True)
        wire.far = Transport(self.loop, wire, far, found[1].copy(), here, address, made=False)
        wire.near.tap = wire.note_mails
        self.wires[wire] = None
        self.watch(wire, "open")
        near.connection_made(wire.near)
        self.loop.call_soon(self._accept, wire, context=wire.far.context)
        return wire.near, near

    def _accept(self, wire: Wire) -> None:
        if not wire.far.gone:
            wire.far.protocol.connection_made(wire.far)
            wire.far.made = True
            wire.far.arrive_soon()

    def ended(self, wire: Wire) -> None:
        """Both ends are gone."""
        self.wires.pop(wire, None)

    def hang_up(self, process: Process) -> None:
        """The process died: its sockets are closed by the system, what they had taken still
        leaves; nobody at this end hears of it."""
        listening = [
            at for at, (_, context, _) in self._listeners.items() if owner(context) is process
        ]
        for at in listening:
            self.unlisten(at)
        for wire in list(self.wires):
            for end in (wire.near, wire.far):
                if owner(end.context) is process:
                    end.die()
