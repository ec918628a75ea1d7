"""An injector that keeps its pace, whatever the server does: messages come at a rate, not when the
last was taken.

Each message goes to an idle session, or to a new one as long as there are fewer than
``--sessions``; beyond that it is given up at once and counted. A message whose connection fails or
is refused is not sent again. Every acknowledged one is noted with the times
(``time.monotonic_ns``) of its start and of its 250, so that latency is that of what was taken in,
connecting included.

``python -m bench.storm HOST PORT DIRECTORY --rate R --seconds S``; ends after ``S`` or on SIGTERM.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import pathlib
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import uvloop

from bench.harness import Lines, Program

SENDER = "bounce@src.example"
PATIENCE_S = 60.0
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT


class Taken(NamedTuple):
    """One acknowledged message: its Message-ID, when it was begun and when it was taken in."""

    message_id: str
    start_ns: int
    end_ns: int

    @property
    def seconds(self) -> float:
        return (self.end_ns - self.start_ns) / 1e9


class _Notes:
    """What came of each message, appended to two files."""

    def __init__(self, options: argparse.Namespace) -> None:
        directory = pathlib.Path(options.directory)
        self._taken = os.open(directory / f"{options.name}.taken", _APPEND)
        self._failed = os.open(directory / f"{options.name}.failed", _APPEND)

    def taken(self, message_id: str, start_ns: int) -> None:
        line = f"{message_id} {start_ns} {time.monotonic_ns()}\n"
        os.write(self._taken, line.encode())

    def failed(self, reason: bytes) -> None:
        os.write(self._failed, reason + b"\n")


class _Session(asyncio.Protocol):
    """One message at a time: ``_due`` are the replies still to come."""

    def __init__(self, pool: _Pool) -> None:
        self._pool = pool
        self._partial = b""
        self._due = ["greeting"]
        self._refusal = b""
        self._number = self._start_ns = 0
        self.transport: asyncio.Transport | None = None

    def begin(self, number: int, start_ns: int) -> None:
        self._number, self._start_ns = number, start_ns
        if not self._due:
            self._mail()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._number:
            self._pool.notes.failed(self._refusal or (b"reset" if exc else b"closed"))
        self._pool.gone(self)

    def data_received(self, data: bytes) -> None:
        *lines, self._partial = (self._partial + data).split(b"\r\n")
        for line in lines:
            if line[3:4] != b"-":
                self._reply(line, self._due.pop(0) if self._due else "farewell")

    def _reply(self, line: bytes, what: str) -> None:
        assert self.transport is not None
        if line[:1] not in b"23" or what == "farewell":
            self._refusal = self._refusal or line
            self.transport.abort()
        elif what == "greeting":
            self.transport.write(b"EHLO storm.example\r\n")
            self._due.append("hello")
        elif what == "hello":
            if self._number:
                self._mail()
        elif what == "data":
            self.transport.write(self._pool.content(self._number))
            self._due.append("content")
        elif what == "content":
            self._pool.notes.taken(self._pool.message_id(self._number), self._start_ns)
            self._number = 0
            self._pool.idle.append(self)
            self._pool.rested()

    def _mail(self) -> None:
        assert self.transport is not None
        self.transport.write(self._pool.commands(self._number))
        self._due += ("mail", "rcpt", "data")


class _Pool:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.notes = _Notes(options)
        self.idle: list[_Session] = []
        self._open: set[_Session] = set()
        self._connecting: set[asyncio.Task[None]] = set()
        self._over: asyncio.Event | None = None
        self._line = b"x" * 76 + b"\r\n"

    def message_id(self, number: int) -> str:
        return f"{self.options.name}.{number}@storm.example"

    def commands(self, number: int) -> bytes:
        domain = f"{self.options.domain}{number % self.options.domains}.example"
        return f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<u{number}@{domain}>\r\nDATA\r\n".encode()

    def content(self, number: int) -> bytes:
        head = (
            f"From: <{SENDER}>\r\nTo: <u{number}@example>\r\nSubject: storm {number}\r\n"
            f"Date: Sun, 22 Nov 2026 08:00:00 +0000\r\nMessage-ID: <{self.message_id(number)}>\r\n"
            "\r\n"
        )
        return head.encode() + self._line * max(1, self.options.size // len(self._line)) + b".\r\n"

    def send(self, number: int) -> None:
        start_ns = time.monotonic_ns()
        if self.idle:
            self.idle.pop().begin(number, start_ns)
        elif len(self._open) + len(self._connecting) < self.options.sessions:
            task = asyncio.ensure_future(self._connect(number, start_ns))
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)
        else:
            self.notes.failed(b"unsent")

    async def _connect(self, number: int, start_ns: int) -> None:
        session = _Session(self)
        session.begin(number, start_ns)
        self._open.add(session)
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: session, self.options.host, self.options.port
            )
        except OSError as error:
            self.gone(session)
            self.notes.failed(f"connect: {error.strerror}".encode())

    def gone(self, session: _Session) -> None:
        self._open.discard(session)
        if session in self.idle:
            self.idle.remove(session)
        self.rested()

    def rested(self) -> None:
        """One session more has nothing under way."""
        if self._over is not None and len(self._open) <= len(self.idle):
            self._over.set()

    async def finish(self) -> None:
        """Wait for the sessions that still have a message under way."""
        self._over = asyncio.Event()
        self.rested()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), PATIENCE_S)


async def _run(options: argparse.Namespace) -> None:
    pool = _Pool(options)
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, over.set)
    began, number = loop.time(), 0
    while not over.is_set() and loop.time() - began < options.seconds:
        for _ in range(int((loop.time() - began) * options.rate) + 1 - number):
            number += 1
            pool.send(number)
        await asyncio.sleep(min(0.002, 1 / options.rate))
    await pool.finish()


class Storm:
    """The injector as a child process, its notes in ``directory``."""

    def __init__(
        self,
        directory: pathlib.Path,
        host: str,
        port: int,
        *,
        rate: float,
        seconds: float = 3600.0,
        name: str = "storm",
        sessions: int = 100,
        size: int = 10240,
        domains: int = 1,
        domain: str = "d",
    ) -> None:
        self._taken = Lines(directory / f"{name}.taken")
        self._failed = Lines(directory / f"{name}.failed")
        self.program = Program(
            f"storm {name}",
            [
                *(sys.executable, "-m", "bench.storm", host, str(port), str(directory)),
                *(f"--name={name}", f"--sessions={sessions}", f"--size={size}"),
                *(f"--domains={domains}", f"--rate={rate}", f"--seconds={seconds}"),
                f"--domain={domain}",
            ],
            directory / f"{name}.log",
        )

    def taken(self) -> list[Taken]:
        parts = (line.split() for line in self._taken.read())
        return [Taken(id_, int(start), int(end)) for id_, start, end in parts]

    def failed(self) -> Counter[str]:
        """How often each reply, or ``unsent``, ``reset``, ``closed``, ``connect: ...``."""
        return Counter(self._failed.read())

    def __enter__(self) -> Storm:
        return self

    def __exit__(self, *exc: object) -> None:
        if self.program.running:
            self.program.kill()


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.storm")
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("directory")
    parser.add_argument("--rate", type=float, required=True, help="messages a second")
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--name", default="storm")
    parser.add_argument("--sessions", type=int, default=100, help="at most")
    parser.add_argument("--size", type=int, default=10240, help="bytes of a message")
    parser.add_argument("--domains", type=int, default=1, help="recipient domains")
    parser.add_argument("--domain", default="d", help="what their names begin with")
    uvloop.run(_run(parser.parse_args(arguments)))


if __name__ == "__main__":
    main(sys.argv[1:])
