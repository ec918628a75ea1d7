"""The next hop of all benchmarks and load tests: takes every message, counts it, throws it away.

It must cost less than what it measures: plain connections are served by epoll alone, into one
buffer; with a certificate, connections that may turn to TLS are asyncio's. Run as ``python -m
bench.sink HOST PORT COUNTERS [--record FILE] [--certificate FILE --key FILE]``.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import mmap
import pathlib
import select
import socket
import ssl
import sys

import uvloop

from bench.harness import Lines, Program, greets
from bench.sink_session import COUNTERS_BYTES, GREETING, Counters, Session, Tally, read_counters

_BUFFER_BYTES = 1 << 18
_EVENTS = 256
_BACKLOG = 1024
_HANDSHAKE_S = 20.0


class _Plain:
    """All connections in one thread, no more per message than the kernel asks for."""

    def __init__(self, host: str, port: int, tally: Tally) -> None:
        self._tally = tally
        self._poll = select.epoll()
        self._open: dict[int, tuple[socket.socket, Session]] = {}
        self._listener = socket.create_server((host, port), backlog=_BACKLOG)
        self._listener.setblocking(False)

    def serve(self) -> None:
        buffer = bytearray(_BUFFER_BYTES)
        listener = self._listener.fileno()
        self._poll.register(listener, select.EPOLLIN)
        while True:
            for number, _ in self._poll.poll(-1, _EVENTS):
                if number == listener:
                    self._accept()
                else:
                    self._talk(number, buffer)

    def _accept(self) -> None:
        try:
            while True:
                connection, _ = self._listener.accept()
                connection.setblocking(False)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._tally.connections += 1
                self._open[connection.fileno()] = (connection, Session(self._tally))
                self._poll.register(connection.fileno(), select.EPOLLIN)
                connection.send(GREETING)
        except OSError:
            return  # all taken, or one that is gone already

    def _talk(self, number: int, buffer: bytearray) -> None:
        connection, session = self._open[number]
        try:
            length = connection.recv_into(buffer)
            replies = session.feed(buffer, length)
            if replies:
                connection.send(replies)
        except BlockingIOError:
            return
        except OSError:
            length = 0
        if not length or session.leaving:
            self._poll.unregister(number)
            del self._open[number]
            connection.close()


class _Secured(asyncio.Protocol):
    """A connection that is offered STARTTLS."""

    def __init__(self, tally: Tally, context: ssl.SSLContext) -> None:
        self._tally, self._context = tally, context
        self._session = Session(tally, starttls=True)
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        if not self._task:
            self._tally.connections += 1
            transport.write(GREETING)

    def data_received(self, data: bytes) -> None:
        replies = self._session.feed(data, len(data))
        if replies:
            self._transport.write(replies)
        if self._session.leaving:
            self._transport.close()
        elif self._session.securing and not self._task:
            self._task = asyncio.get_running_loop().create_task(self._secure())

    async def _secure(self) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            secured = await loop.start_tls(
                self._transport,
                self,
                self._context,
                server_side=True,
                ssl_handshake_timeout=_HANDSHAKE_S,
            )
            assert secured is not None
            self._transport = secured
            self._session.secured(secured.get_extra_info("ssl_object").session_reused)


async def _serve_secured(host: str, port: int, tally: Tally, context: ssl.SSLContext) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: _Secured(tally, context), host, port, backlog=_BACKLOG
    )
    async with server:
        await server.serve_forever()


class Sink:
    """The sink as a child process; with ``record``, :meth:`delivered` knows what came; with
    ``tls``, the files of a certificate and its key, STARTTLS is offered."""

    def __init__(
        self,
        directory: pathlib.Path,
        host: str,
        port: int,
        *,
        record: bool = False,
        tls: tuple[pathlib.Path, pathlib.Path] | None = None,
    ) -> None:
        self.host, self.port = host, port
        record_path = directory / "delivered.txt"
        self._record = Lines(record_path)
        self._path = directory / f"sink-{port}.counters"
        self._path.write_bytes(bytes(COUNTERS_BYTES))
        command = [sys.executable, "-m", "bench.sink", host, str(port), str(self._path)]
        if record:
            command.append(f"--record={record_path}")
        if tls is not None:
            command += [f"--certificate={tls[0]}", f"--key={tls[1]}"]
        self._program = Program("sink", command, directory / "sink.log")
        try:
            self._program.wait_for(lambda: greets(host, port), 20, "the sink greets")
        except BaseException:
            self._program.kill()
            raise
        with open(self._path, "rb") as file:
            self._shared = mmap.mmap(file.fileno(), COUNTERS_BYTES, access=mmap.ACCESS_READ)

    @property
    def pid(self) -> int:
        return self._program.pid

    def read(self) -> Counters:
        return read_counters(self._shared)

    def delivered(self) -> list[str]:
        """The Message-IDs recorded so far, in order, with repetitions."""
        return [line.partition(" ")[0] for line in self._record.read()]

    def received_ids(self) -> list[str]:
        """What the server before us called each message of :meth:`delivered`."""
        return [line.split(" ")[2] for line in self._record.read()]

    def times_ns(self) -> dict[str, int]:
        """When each Message-ID came, the first time, by ``time.monotonic_ns``."""
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
    parser = argparse.ArgumentParser(prog="python -m bench.sink")
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("counters", help="the shared file")
    parser.add_argument("--record", default="")
    parser.add_argument("--certificate")
    parser.add_argument("--key")
    options = parser.parse_args(arguments)
    tally = Tally(options.counters, options.record)
    gc.freeze()
    if options.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.certificate, options.key)
        uvloop.run(_serve_secured(options.host, options.port, tally, context))
    else:
        _Plain(options.host, options.port, tally).serve()


if __name__ == "__main__":
    main(sys.argv[1:])
