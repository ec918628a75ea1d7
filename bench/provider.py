"""A mailbox provider on loopback that mail reaches by way of DNS, with all limits of policy.

Mail follows no MX record to loopback, so limits of providers cannot be measured with a route. Here
a small DNS server says of every name that ``mx.NAME`` takes its mail, at an address that belongs to
nobody, and the daemon's source has a HAProxy-like peer as its proxy: this program, which takes the
PROXY header and is whatever host was asked for. So nothing leaves the machine, whatever happens.

``python -m bench.provider PORT NOTES [--pause S] [--rate RATE]``: DNS on UDP and SMTP on TCP, one
number for both. ``--pause`` is how long each message takes; ``--rate`` is a limit that it keeps to
itself: what is more in any period is put off at the final dot. In the notes is a line for each
message taken or put off and each connection that opens or ends, with the time.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import os
import pathlib
import socket
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

import uvloop

from bench.harness import Lines, Program, free_port
from bench.sink_session import GREETING, Session
from penstock.policy.rate import Rate

HOST = "127.0.0.1"
ADDRESS = "192.88.99.1"  # the anycast address of 6to4, given up by RFC 7526
# what a daemon needs in ``policies/sources.toml`` to send to a provider
SOURCE = '[source.{name}]\nipv4 = "192.88.99.{number}"\nproxy = "haproxy://127.0.0.1:{port}"\n'
_TOO_MANY = (
    b"421-4.7.28 Our system has detected an unusual rate of unsolicited mail originating\r\n"
    b"421 4.7.28 from your IP address. Mail has been temporarily rate limited.\r\n"
)
_HEADER_BYTES = 28  # a PROXY header, version 2, of two IPv4 addresses
_TTL_S = 86_400
_MX, _A = 15, 1
_TYPE_BYTES = 4
_ANSWER_HEAD = b"\xc0\x0c"  # the name is that of the question


class Arrival(NamedTuple):
    """``name`` is the local part of the Message-ID; ``at_s`` by ``time.monotonic``."""

    name: str
    at_s: float


class Opened(NamedTuple):
    """How many connections were open from ``at_s`` on."""

    at_s: float
    number: int


class _Notes:
    """What came and when. It stands in for the tally of :mod:`bench.sink_session`."""

    def __init__(self, path: str, rate: Rate | None) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self.recipients = self.signed = self.open = 0
        self._rate = rate
        self._taken: collections.deque[float] = collections.deque()

    def took(self, header: bytes) -> None:
        head = header.lower()
        at = head.find(b"message-id: <")
        name = header[at + 13 : header.find(b"@", at)] if at >= 0 else b"?"
        self._note(b"message", name)

    def too_many(self) -> bool:
        """Whether another message now is one more than the limit; else it counts."""
        if self._rate is None:
            return False
        now, taken = time.monotonic(), self._taken
        while taken and taken[0] <= now - self._rate.period_s:
            taken.popleft()
        if len(taken) >= self._rate.count:
            self._note(b"put-off", b"?")
            return True
        taken.append(now)
        return False

    def opened(self, change: int) -> None:
        self.open += change
        self._note(b"open", b"%d" % self.open)

    def _note(self, kind: bytes, what: bytes) -> None:
        os.write(self._file, b"%s %d %s\n" % (kind, time.monotonic_ns(), what))


class _Limited(Session):
    """Says nothing of its limit but that it is exceeded."""

    __slots__ = ("_notes",)

    def __init__(self, notes: _Notes) -> None:
        super().__init__(notes)  # type: ignore[arg-type]
        self._notes = notes

    def _took(self) -> bytes:
        if self._notes.too_many():
            self._header, self._content, self.leaving = b"", False, True
            return _TOO_MANY
        return super()._took()


class _Host(asyncio.Protocol):
    """One connection: first the PROXY header, or none where somebody only looks."""

    def __init__(self, notes: _Notes, pause_s: float) -> None:
        self._notes, self._pause_s = notes, pause_s
        self._session = _Limited(notes)
        self._left = _HEADER_BYTES
        self._greeted = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._greeted:
            self._notes.opened(-1)

    def data_received(self, data: bytes) -> None:
        if not self._greeted:
            data, self._left = data[self._left :], self._left - len(data)
            if self._left > 0:
                return
            self._greeted = True
            self._notes.opened(1)
            self._transport.write(GREETING)
        replies = self._session.feed(data, len(data))
        if self._pause_s and b"2.0.0 Ok" in replies:
            self._transport.pause_reading()
            asyncio.get_running_loop().call_later(self._pause_s, self._answer, replies)
        elif replies:
            self._transport.write(replies)
        if self._session.leaving:
            self._transport.close()

    def _answer(self, replies: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(replies)
            self._transport.resume_reading()


class _Names(asyncio.DatagramProtocol):
    """``mx.NAME`` for the MX of any name, one address for any host, nothing else."""

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        end = data.index(b"\0", 12) + 1 + _TYPE_BYTES
        question = data[12:end]
        kind = int.from_bytes(question[-4:-2])
        if kind == _MX:
            self._send(data, question, b"\0\x0a\x02mx\xc0\x0c", address)
        elif kind == _A:
            self._send(data, question, bytes(map(int, ADDRESS.split("."))), address)
        else:
            self._send(data, question, b"", address)

    def _send(self, data: bytes, question: bytes, record: bytes, to: tuple[str, int]) -> None:
        count = b"\0\1" if record else b"\0\0"
        head = data[:2] + b"\x85\x80" + b"\0\1" + count + bytes(4)
        answer = b""
        if record:
            length = len(record).to_bytes(2)
            answer = _ANSWER_HEAD + question[-4:] + _TTL_S.to_bytes(4) + length + record
        self._transport.sendto(head + question + answer, to)


class Provider:
    """It as a child process; :meth:`arrivals` and :meth:`opened` are what it noted so far."""

    def __init__(self, directory: pathlib.Path, *, pause_s: float = 0.0, rate: str = "") -> None:
        self.port = free_port(HOST)
        notes = directory / f"provider-{self.port}.notes"
        command = [sys.executable, "-m", "bench.provider", str(self.port), str(notes)]
        command += [f"--pause={pause_s}", f"--rate={rate}"]
        self._notes = Lines(notes)
        self._program = Program("provider", command, directory / f"provider-{self.port}.log")
        try:
            self._program.wait_for(lambda: _serves(self.port), 20, "it greets")
        except BaseException:
            self._program.kill()
            raise

    @property
    def settings(self) -> str:
        """The tables of a daemon that asks this one for names."""
        return f'[dns]\nnameservers = ["{HOST}:{self.port}"]\n'

    def source(self, name: str, number: int = 2) -> str:
        """The table of a source whose mail comes here; each has a ``number`` of its own."""
        return SOURCE.format(name=name, number=number, port=self.port)

    def arrivals(self) -> list[Arrival]:
        return [Arrival(what, at) for kind, at, what in self._read() if kind == "message"]

    def put_off(self) -> list[float]:
        """When it refused a message for its limit."""
        return [at for kind, at, _ in self._read() if kind == "put-off"]

    def opened(self) -> list[Opened]:
        return [Opened(at, int(what)) for kind, at, what in self._read() if kind == "open"]

    def _read(self) -> list[tuple[str, float, str]]:
        rows = (line.split(" ", 2) for line in self._notes.read())
        return [(kind, int(at) / 1e9, what) for kind, at, what in rows]

    def stop(self) -> None:
        self._program.kill()

    def __enter__(self) -> Provider:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()


def _serves(port: int) -> bool:
    try:
        with socket.create_connection((HOST, port), 2.0) as connection:
            connection.sendall(bytes(_HEADER_BYTES))
            return connection.recv(64).startswith(b"220")
    except OSError:
        return False


async def _serve(options: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    notes = _Notes(options.notes, Rate.parse(options.rate) if options.rate else None)
    await loop.create_datagram_endpoint(_Names, (HOST, options.port))
    server = await loop.create_server(
        lambda: _Host(notes, options.pause), HOST, options.port, backlog=1024
    )
    async with server:
        await server.serve_forever()


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.provider")
    parser.add_argument("port", type=int)
    parser.add_argument("notes", help="the file of what came")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds that a message takes")
    parser.add_argument("--rate", default="", help="a limit of messages that it hides")
    uvloop.run(_serve(parser.parse_args(arguments)))


if __name__ == "__main__":
    main(sys.argv[1:])
