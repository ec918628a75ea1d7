"""Five thousand connections that say next to nothing: others are served.

Progress is counted in turns of the event loop, not in seconds: while everybody drips, an honest
client's next reply is at most a few turns away.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from penstock.intake.listener import Listener

MANY = 5000
TURNS_MAX = 12  # of the loop, from a command to its reply
ROOM = {"connections_max": MANY + 100}
STYLES = [
    b"",  # silence
    b"EHLO x\r\nNO",  # amid a command
    b"EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nSubject: x\r\n",  # amid a message
    b"EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 1000\r\n",  # amid a chunk
]


class Crowd:
    """Clients without event loop, protocol or manners. ``addresses``: so many, a few each."""

    def __init__(self, port: int, number: int, addresses: int) -> None:
        self.sockets: list[socket.socket] = []
        self._port = port
        self._number, self._addresses = number, addresses

    async def come(self) -> None:
        for i in range(self._number):
            client = socket.socket()
            client.bind((f"127.1.{i % self._addresses // 250}.{i % self._addresses % 250 + 1}", 0))
            client.connect(("127.0.0.1", self._port))
            client.setblocking(False)
            self.sockets.append(client)
            if i % 200 == 0:
                await asyncio.sleep(0)

    def say_something(self) -> None:
        for i, client in enumerate(self.sockets):
            client.send(STYLES[i % len(STYLES)] or b"E")

    def drip(self) -> None:
        for client in self.sockets:
            client.send(b"x")

    def fates(self) -> tuple[int, int]:
        """How many were greeted, how many refused."""
        heard = [client.recv(4096) for client in self.sockets]
        return sum(h.startswith(b"220") for h in heard), sum(h.startswith(b"421") for h in heard)

    def leave(self) -> None:
        for client in self.sockets:
            client.close()


@pytest.fixture
def crowd() -> Any:
    crowds: list[Crowd] = []

    def make(port: int, number: int = MANY, addresses: int = 50) -> Crowd:
        crowds.append(Crowd(port, number, addresses))
        return crowds[-1]

    yield make
    for one in crowds:
        one.leave()


class Honest:
    """Delivers mail, and counts the loop's turns until each reply."""

    def __init__(self) -> None:
        self.turns: list[int] = []

    async def dial(self, port: int) -> str:
        self._socket = socket.socket()
        self._socket.setblocking(False)
        self._socket.bind(("127.0.0.1", 0))
        await asyncio.get_running_loop().sock_connect(self._socket, ("127.0.0.1", port))
        return await self.hear()

    async def hear(self) -> str:
        for turn in range(20_000):
            try:
                heard = self._socket.recv(4096).decode()
            except BlockingIOError:
                await asyncio.sleep(0)
                continue
            self.turns.append(turn)
            return heard
        raise AssertionError("not served")

    async def say(self, text: str) -> str:
        self._socket.send(text.encode() + b"\r\n")
        return await self.hear()

    async def deliver(self) -> None:
        for command, code in [
            ("EHLO honest.example", "250"),
            ("MAIL FROM:<a@b.example>", "250"),
            ("RCPT TO:<c@d.example>", "250"),
            ("DATA", "354"),
            ("Subject: x\r\n\r\nhello\r\n.", "250 2.6.0"),
        ]:
            said = await self.say(command)
            assert said.startswith(code), (command, said)

    def leave(self) -> None:
        self._socket.close()


async def met(listener: Listener, number: int) -> float:
    """Once the listener has met so many in all: how many are still there."""
    for _ in range(100_000):
        if listener.stats()["connections_total"] == number:
            break
        await asyncio.sleep(0)
    else:
        raise AssertionError(f"met {listener.stats()['connections_total']} instead of {number}")
    for _ in range(10):  # for the transports to report
        await asyncio.sleep(0)
    return listener.stats()["connections"]


@pytest.mark.slow
async def test_others_are_served_while_five_thousand_drip(
    start: Any, sink: Any, crowd: Callable[..., Crowd], descriptors: Callable[[int], None]
) -> None:
    descriptors(2 * MANY + 500)
    listener, port = await start(**ROOM)
    loris = crowd(port)
    await loris.come()
    assert await met(listener, MANY) == MANY
    loris.say_something()
    honest = Honest()
    assert (await honest.dial(port)).startswith("220")
    for _ in range(3):
        loris.drip()
        await honest.deliver()
    assert len(sink.messages) == 3
    assert max(honest.turns) <= TURNS_MAX
    print(f"turns of the loop until a reply: {max(honest.turns)} at most")
    honest.leave()


@pytest.mark.slow
async def test_those_that_only_drip_are_shown_the_door(
    start: Any, crowd: Callable[..., Crowd], descriptors: Callable[[int], None]
) -> None:
    """Every style of it, whoever they are; the honest client stays."""
    descriptors(2 * MANY + 500)
    listener, port = await start(**ROOM)
    loris = crowd(port)
    await loris.come()
    assert await met(listener, MANY) == MANY
    loris.say_something()
    honest = Honest()
    await honest.dial(port)
    for second in range(0, 12, 3):
        loris.drip()
        await honest.deliver()
        listener.sweep(1000.0 + second)
    assert listener.stats()["timeouts_total"] < MANY
    listener.sweep(1013.0)
    await honest.deliver()
    for _ in range(3):
        await asyncio.sleep(0)
    # So many went that it is a crowd no longer; for the rest the usual patience holds.
    left = listener.stats()["connections"]
    assert left <= ROOM["connections_max"] * 0.75
    assert listener.stats()["timeouts_total"] == MANY + 1 - left
    honest.leave()


@pytest.mark.slow
async def test_a_full_listener_refuses_and_soon_has_room_again(
    start: Any, sink: Any, crowd: Callable[..., Crowd], descriptors: Callable[[int], None]
) -> None:
    """With fewer places than there are comers: no more are let in, and these lose their place."""
    descriptors(2 * MANY + 500)
    listener, port = await start(connections_max=1000, connections_per_client_max=100)
    loris = crowd(port)
    await loris.come()
    inside = await met(listener, MANY)
    assert 950 <= inside <= 1000  # who is being refused takes a place for a moment
    assert loris.fates() == (inside, MANY - inside)
    for i in range(1000 - int(inside)):
        extra = crowd(port, 1, addresses=1)
        await extra.come()
        await met(listener, MANY + i + 1)
    honest = Honest()
    assert (await honest.dial(port)).startswith("421 4.7.0 Too many connections")
    honest.leave()
    listener.sweep(1000.0)
    listener.sweep(1011.0)
    assert await met(listener, MANY + 1 + 1000 - int(inside)) == 0
    assert (await honest.dial(port)).startswith("220")
    await honest.deliver()
    assert len(sink.messages) == 1
    assert listener.stats()["clients"] == 1
    honest.leave()


@pytest.mark.slow
async def test_one_client_gets_its_share_and_no_more(
    start: Any, sink: Any, crowd: Callable[..., Crowd], descriptors: Callable[[int], None]
) -> None:
    descriptors(2 * MANY + 500)
    listener, port = await start(connections_max=1000, connections_per_client_max=100)
    loris = crowd(port, addresses=1)
    await loris.come()
    assert await met(listener, MANY) == 100
    assert loris.fates() == (100, MANY - 100)
    honest = Honest()
    assert (await honest.dial(port)).startswith("220")
    await honest.deliver()
    assert len(sink.messages) == 1
    assert max(honest.turns) <= TURNS_MAX
    honest.leave()


SERVER = """
import socket, uvloop
from asyncio import get_running_loop
from penstock.intake.listener import ListenerConfig, serve

class Sink:
    def refusal(self):
        return None

async def main():
    sock = socket.create_server(("127.0.0.1", 0), backlog=4096)
    listener = await serve(sock, ListenerConfig(connections_max=6000, backlog=4096), Sink())
    print(sock.getsockname()[1], flush=True)
    while await get_running_loop().run_in_executor(None, input):
        print(int(listener.stats()["connections"]), flush=True)

uvloop.run(main())
"""


@pytest.mark.slow
def test_an_idle_connection_costs_little(
    crowd: Callable[..., Crowd], descriptors: Callable[[int], None]
) -> None:
    """Resident memory of a process that does nothing but listen, on the loop that workers use."""
    descriptors(MANY + 500)
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with server:
        assert server.stdin is not None
        assert server.stdout is not None

        def ask(line: str) -> int:
            server.stdin.write(line)
            server.stdin.flush()
            return int(server.stdout.readline())

        def resident_bytes() -> int:
            return int(Path(f"/proc/{server.pid}/statm").read_text().split()[1]) * 4096

        loris = crowd(ask(""))
        assert ask("how many\n") == 0
        before = resident_bytes()
        asyncio.run(loris.come())
        loris.say_something()
        while ask("how many\n") < MANY:
            pass
        each = (resident_bytes() - before) / MANY
        server.stdin.write("\n")
    print(f"memory of an idle connection: {each / 1024:.1f} KiB")
    assert 1024 < each < 24 << 10


async def test_handshakes_that_never_come_are_connections_too(
    start: Any, crowd: Callable[..., Crowd], certified: Any
) -> None:
    """With TLS from the first byte there is nothing to greet, but there are places to take."""
    listener, port = await start(
        tls="implicit", tls_context=certified, connections_max=60, connections_per_client_max=20
    )
    one = crowd(port, 100, addresses=1)
    await one.come()
    assert await met(listener, 100) == 20
    many = crowd(port, 100, addresses=50)
    await many.come()
    inside = await met(listener, 200)
    assert 50 <= inside <= 60
    assert listener.stats()["refused_total"] == 200 - inside
    one.leave()
    many.leave()
    assert await met(listener, 200) == 0
    assert listener.stats()["clients"] == 0
