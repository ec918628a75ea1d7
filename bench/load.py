"""An injector that knows what was promised: it notes the Message-ID of every message acknowledged.

Sessions pipeline to the limit of RFC 2920: the content of one message travels with the commands of
the next, so a session has one round trip a message. A session whose connection is lost or refused
tries again until the end. A message that was not acknowledged is never sent a second time, so what
arrives twice was doubled by the server.

``python -m bench.load HOST PORT DIRECTORY ...``; ends by itself after ``--count``, else on SIGTERM.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import pathlib
import signal
import sys
from collections import deque
from collections.abc import Sequence

import uvloop

from bench.harness import Lines, Program

SENDER = "bounce@src.example"
_PAUSE_S = 0.1


class _Job:
    """What all sessions share: the numbers given out, the notes taken."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.sent = self.settled = 0
        self.stopping = False
        self.finished = asyncio.Event()
        directory = pathlib.Path(options.directory)
        self._acknowledged = os.open(directory / f"{options.name}.acknowledged", _APPEND)
        self._refused = os.open(directory / f"{options.name}.refused", _APPEND)
        line = b"x" * 76 + b"\r\n"
        self._body: bytes = line * max(1, (options.size - 300) // len(line)) + b".\r\n"

    def next(self) -> int | None:
        """The number of a new message, if there is one to send."""
        if self.stopping or (self.options.count and self.sent >= self.options.count):
            return None
        self.sent += 1
        return self.sent

    def message_id(self, number: int) -> str:
        return f"{self.options.name}.{number}@load.example"

    def commands(self, number: int) -> bytes:
        options = self.options
        domain = options.domain or f"d{number % int(options.domains)}.example"
        return f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<u{number}@{domain}>\r\nDATA\r\n".encode()

    def content(self, number: int) -> bytes:
        head = (
            f"From: <{SENDER}>\r\nTo: <u{number}@example>\r\nSubject: load {number}\r\n"
            f"Date: Sun, 22 Nov 2026 08:00:00 +0000\r\nMessage-ID: <{self.message_id(number)}>\r\n"
            "\r\n"
        )
        return head.encode() + self._body

    def acknowledged(self, number: int) -> None:
        os.write(self._acknowledged, f"{self.message_id(number)}\n".encode())
        self.settle()

    def refused(self, reply: bytes) -> None:
        os.write(self._refused, reply + b"\n")
        self.settle()

    def settle(self) -> None:
        self.settled += 1
        if self.options.count and self.settled >= self.options.count:
            self.finished.set()


_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT


class _Session(asyncio.Protocol):
    """``_due`` holds what the replies still to come belong to: a verb and a message's number."""

    def __init__(self, job: _Job) -> None:
        self._job = job
        self._partial = b""
        self._due: deque[tuple[str, int]] = deque([("greeting", 0)])
        self._refusal = b""
        self.closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        for verb, _ in self._due:
            if verb in ("data", "content"):
                self._job.settle()  # nobody knows what became of it
        self._due.clear()
        if not self.closed.done():
            self.closed.set_result(None)

    def data_received(self, data: bytes) -> None:
        *lines, self._partial = (self._partial + data).split(b"\r\n")
        for line in lines:
            if line[3:4] != b"-" and self._due:
                self._reply(line, *self._due.popleft())

    def _reply(self, line: bytes, verb: str, number: int) -> None:
        if verb == "greeting":
            self._transport.write(b"EHLO load.example\r\n")
            self._due.append(("hello", 0))
        elif verb == "hello":
            self._begin()
        elif verb in ("mail", "rcpt"):
            if line[:1] != b"2":
                self._refusal = self._refusal or line
        elif verb == "data":
            if line.startswith(b"354") and not self._refusal:
                self._due.append(("content", number))
                self._transport.write(self._job.content(number) + self._more())
            else:
                self._failed(line)
        elif line.startswith(b"250"):
            self._job.acknowledged(number)
            if not self._due:
                self._begin()
        else:
            self._failed(line)

    def _more(self) -> bytes:
        """The commands of the next message, to travel behind the content of this one."""
        number = self._job.next()
        if number is None:
            return b""
        self._due += (("mail", number), ("rcpt", number), ("data", number))
        return self._job.commands(number)

    def _begin(self) -> None:
        commands = self._more()
        if commands:
            self._transport.write(commands)
        else:
            self._transport.close()

    def _failed(self, line: bytes) -> None:
        """The server takes no mail now: note why, drop the connection, come again later."""
        self._job.refused(self._refusal or line)
        self._refusal = b""
        self._transport.abort()


async def _keep_session(job: _Job) -> None:
    loop = asyncio.get_running_loop()
    options = job.options
    while not job.finished.is_set():
        try:
            _, session = await loop.create_connection(
                lambda: _Session(job), options.host, options.port
            )
        except OSError:
            session = None
        if session is not None:
            await session.closed
        if job.stopping or (options.count and job.sent >= options.count):
            return
        await asyncio.sleep(_PAUSE_S)


async def _run(options: argparse.Namespace) -> None:
    job = _Job(options)
    loop = asyncio.get_running_loop()

    def stop() -> None:
        job.stopping = True

    loop.add_signal_handler(signal.SIGTERM, stop)
    await asyncio.gather(*(_keep_session(job) for _ in range(options.sessions)))


class Load:
    """The injector as a child process, its notes in ``directory``."""

    def __init__(
        self,
        directory: pathlib.Path,
        host: str,
        port: int,
        *,
        name: str = "load",
        sessions: int = 20,
        size: int = 10240,
        count: int = 0,
        domains: int = 1,
        domain: str = "",
    ) -> None:
        self._acknowledged = Lines(directory / f"{name}.acknowledged")
        self._refused = Lines(directory / f"{name}.refused")
        self.program = Program(
            f"load {name}",
            [
                *(sys.executable, "-m", "bench.load", host, str(port), str(directory)),
                *(f"--name={name}", f"--sessions={sessions}", f"--size={size}"),
                *(f"--count={count}", f"--domains={domains}"),
                f"--domain={domain}",
            ],
            directory / f"{name}.log",
        )

    def acknowledged(self) -> list[str]:
        """Message-IDs that the server answered 250 for, so far."""
        return self._acknowledged.read()

    def refused(self) -> list[str]:
        """The replies of all refusals, so far."""
        return self._refused.read()

    def stop(self, timeout_s: float = 30.0) -> None:
        """No new messages; those under way are waited for."""
        self.program.stop(timeout_s)

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *exc: object) -> None:
        if self.program.running:
            self.program.kill()


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.load")
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("directory")
    parser.add_argument("--name", default="load")
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--size", type=int, default=10240, help="bytes of a message")
    parser.add_argument("--count", type=int, default=0, help="messages; 0: until SIGTERM")
    parser.add_argument("--domains", type=int, default=1, help="recipient domains")
    parser.add_argument("--domain", default="", help="instead: one recipient domain by name")
    uvloop.run(_run(parser.parse_args(arguments)))


if __name__ == "__main__":
    main(sys.argv[1:])
