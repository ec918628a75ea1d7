"""The next hop of all benchmarks and load tests: takes every message, counts it, throws it away.

It must cost less than what it measures: content is searched for its end in bulk, a group of
pipelined commands is answered by one write, and counters live in a small shared file that the
parent reads without asking. Run as ``python -m bench.sink HOST PORT COUNTERS [RECORD]``; with
RECORD a line for each message is appended to that file before its 250 is sent: its Message-ID, the
time (``time.monotonic_ns``), and what the server before us called it in its Received field.
"""

from __future__ import annotations

import asyncio
import gc
import mmap
import os
import pathlib
import re
import struct
import sys
import time
from typing import NamedTuple

import uvloop

from bench.harness import Lines, Program, greets

_COUNTERS = struct.Struct("=6Q")
_END = b"\r\n.\r\n"
_MESSAGE_ID = re.compile(rb"^message-id:\s*<([^>\r\n]*)>", re.IGNORECASE | re.MULTILINE)
_RECEIVED_ID = re.compile(rb"^received:(?:[^\n]|\n[ \t])*?\sid ([^\s;]+)", re.I | re.MULTILINE)
_GREETING = b"220 sink.example ESMTP\r\n"
_EHLO = b"".join(
    (
        b"250-sink.example\r\n250-PIPELINING\r\n250-SIZE 0\r\n",
        b"250-ENHANCEDSTATUSCODES\r\n250 8BITMIME\r\n",
    )
)
_REPLIES = {
    b"EHLO": _EHLO,
    b"HELO": b"250 sink.example\r\n",
    b"DATA": b"354 End data with <CR><LF>.<CR><LF>\r\n",
    b"RCPT": b"250 2.1.5 Ok\r\n",
}


class Counters(NamedTuple):
    """``first_ns`` and ``last_ns``: ``time.monotonic_ns`` of the first and last message."""

    messages: int = 0
    recipients: int = 0
    connections: int = 0
    signed: int = 0
    first_ns: int = 0
    last_ns: int = 0


class _Session(asyncio.Protocol):
    """One connection. ``_head`` keeps the content until its marks are found, only if asked."""

    __slots__ = ("_head", "_in_content", "_partial", "_server", "_transport")

    def __init__(self, server: _Server) -> None:
        self._server = server
        self._partial = b""
        self._in_content = False
        self._head: list[bytes] = []

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._server.connections += 1
        transport.write(_GREETING)

    def data_received(self, data: bytes) -> None:
        replies: list[bytes] = []
        data = self._partial + data if self._partial else data
        while data:
            if self._in_content:
                end = data.find(_END)
                if end < 0:
                    keep = len(_END) - 1
                    self._head.append(data[:-keep])
                    data = data[-keep:]
                    break
                self._head.append(data[:end])
                data = data[end + len(_END) :]
                self._in_content = False
                self._server.took(b"".join(self._head))
                self._head.clear()
                replies.append(b"250 2.0.0 Ok\r\n")
                continue
            line, newline, rest = data.partition(b"\n")
            if not newline:
                break
            data = rest
            verb = line[:4].upper()
            replies.append(_REPLIES.get(verb, b"250 2.1.0 Ok\r\n"))
            if verb == b"DATA":
                self._in_content = True
                data = b"\r\n" + data  # so that content of no lines has its end found too
            elif verb == b"RCPT":
                self._server.recipients += 1
            elif verb == b"QUIT":
                replies[-1] = b"221 2.0.0 Bye\r\n"
                self._transport.write(b"".join(replies))
                self._transport.close()
                return
        self._partial = data
        if replies:
            self._transport.write(b"".join(replies))


class _Server:
    def __init__(self, counters: str, record: str) -> None:
        with open(counters, "r+b") as file:
            self._shared = mmap.mmap(file.fileno(), _COUNTERS.size)
        self._record = os.open(record, os.O_WRONLY | os.O_APPEND | os.O_CREAT) if record else -1
        self.messages = self.recipients = self.connections = self.signed = self.first_ns = 0

    def took(self, content: bytes) -> None:
        now = time.monotonic_ns()
        if not self.messages:
            self.first_ns = now
        self.messages += 1
        head = content[: content.find(b"\r\n\r\n") + 2]
        self.signed += b"\nDKIM-Signature:" in head
        if self._record >= 0:
            found, received = _MESSAGE_ID.search(head), _RECEIVED_ID.search(head)
            ours, theirs = (found[1] if found else b"?"), (received[1] if received else b"?")
            os.write(self._record, b"%s %d %s\n" % (ours, now, theirs))
        _COUNTERS.pack_into(
            self._shared,
            0,
            self.messages,
            self.recipients,
            self.connections,
            self.signed,
            self.first_ns,
            now,
        )


async def _serve(host: str, port: int, counters: str, record: str) -> None:
    shared = _Server(counters, record)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Session(shared), host, port, backlog=1024)
    gc.freeze()
    async with server:
        await server.serve_forever()


class Sink:
    """The sink as a child process; with ``record``, :meth:`delivered` knows what came."""

    def __init__(
        self, directory: pathlib.Path, host: str, port: int, *, record: bool = False
    ) -> None:
        self.host, self.port = host, port
        record_path = directory / "delivered.txt"
        self._record = Lines(record_path)
        self._path = directory / f"sink-{port}.counters"
        self._path.write_bytes(bytes(_COUNTERS.size))
        command = [sys.executable, "-m", "bench.sink", host, str(port), str(self._path)]
        if record:
            command.append(str(record_path))
        self._program = Program("sink", command, directory / "sink.log")
        try:
            self._program.wait_for(lambda: greets(host, port), 20, "the sink greets")
        except BaseException:
            self._program.kill()
            raise
        with open(self._path, "rb") as file:
            self._shared = mmap.mmap(file.fileno(), _COUNTERS.size, access=mmap.ACCESS_READ)

    @property
    def pid(self) -> int:
        return self._program.pid

    def read(self) -> Counters:
        return Counters(*_COUNTERS.unpack(self._shared[:]))

    def delivered(self) -> list[str]:
        """The Message-IDs recorded so far, in order, with repetitions."""
        return [line.partition(" ")[0] for line in self._record.read()]

    def received_ids(self) -> list[str]:
        """What the server before us called each message of :meth:`delivered`."""
        return [line.split(" ")[2] for line in self._record.read()]

    def times_ns(self) -> dict[str, int]:
        """When each Message-ID came, the first time."""
        found: dict[str, int] = {}
        for line in self._record.read():
            name, at, _ = line.split(" ")
            found.setdefault(name, int(at))
        return found

    def stop(self) -> None:
        self._program.kill()

    def __enter__(self) -> Sink:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()


def main(arguments: list[str]) -> None:
    host, port, counters, *record = arguments
    uvloop.run(_serve(host, int(port), counters, record[0] if record else ""))


if __name__ == "__main__":
    main(sys.argv[1:])
