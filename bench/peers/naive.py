"""What one writes in an afternoon: aiosmtpd in, one synced file a message, aiosmtplib out.

A process for each core on one port, the sync in a thread, 20 connections kept in each, on uvloop.
No retries worth the name, no recovery, no limits: it is here to show what the libraries cost. With
a key, dkimpy signs.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import os
import pathlib
import sys
from typing import Any

from bench.harness import NotThere, Program, free_port, greets
from bench.peers import place

CONNECTIONS = 20
PROCESSES = 2


def check(signed: bool) -> None:
    try:
        import aiosmtpd  # noqa: F401
        import aiosmtplib  # noqa: F401

        if signed:
            import dkim  # noqa: F401
    except ImportError as error:
        raise NotThere(str(error)) from None


class Naive:
    def __init__(self, sink: str, domain: str, key: pathlib.Path | None) -> None:
        self.name = "aiosmtpd + aiosmtplib"
        self._sink, self._domain, self._key = sink, domain, key
        self._programs: list[Program] = []

    def start(self, directory: pathlib.Path) -> list[int]:
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        command = [sys.executable, "-m", "bench.peers.naive", str(port), self._sink, str(directory)]
        if self._key is not None:
            key = directory / "dkim.pem"
            place.traditional(self._key, key)
            command += [f"--key={key}", f"--domain={self._domain}"]
        self._programs = []
        for number in range(PROCESSES):
            log = directory / f"naive-{number}.log"
            self._programs.append(Program("naive", command, log))
        for one in self._programs:
            ready = directory / f"ready-{one.pid}"
            one.wait_for(ready.exists, 20, "it listens")
        assert greets("127.0.0.1", port)
        return [one.pid for one in self._programs]

    def stop(self) -> None:
        for one in self._programs:
            if one.running:
                one.kill()


class _Relay:
    """The relay itself: aiosmtpd calls :meth:`handle_DATA`."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._numbers = itertools.count()
        self._key = pathlib.Path(options.key).read_bytes() if options.key else b""
        self._waiting: asyncio.Queue[tuple[str, Any, bytes]] = asyncio.Queue()

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        path = f"{self._options.directory}/{os.getpid()}-{next(self._numbers)}"
        content = envelope.original_content
        head = f"{envelope.mail_from}\n{','.join(envelope.rcpt_tos)}\n".encode()
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, _store, path, head + content)
        self._waiting.put_nowait((path, envelope, content))
        return "250 OK"

    async def send_all(self) -> None:
        """One connection, over and over."""
        import aiosmtplib

        host, _, port = self._options.sink.rpartition(":")
        client: Any = None
        while True:
            path, envelope, content = await self._waiting.get()
            try:
                if client is None:
                    client = aiosmtplib.SMTP(hostname=host, port=int(port), start_tls=False)
                    await client.connect()
                signed = self._sign(content) if self._key else content
                await client.sendmail(envelope.mail_from, envelope.rcpt_tos, signed)
                os.unlink(path)
            except (aiosmtplib.SMTPException, OSError):
                client = None
                self._waiting.put_nowait((path, envelope, content))
                await asyncio.sleep(1)

    def _sign(self, content: bytes) -> bytes:
        import dkim

        relaxed = (b"relaxed", b"relaxed")
        domain = self._options.domain.encode()
        return bytes(dkim.sign(content, b"s1", domain, self._key, canonicalize=relaxed)) + content


def _store(path: str, data: bytes) -> None:
    temporary = f"{path}.tmp"
    with open(temporary, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.rename(temporary, path)


async def _serve(options: argparse.Namespace) -> None:
    from aiosmtpd.smtp import SMTP

    relay = _Relay(options)
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(relay, hostname="mta.example"),
        "127.0.0.1",
        options.port,
        reuse_port=True,
        backlog=200,
    )
    os.close(os.open(f"{options.directory}/ready-{os.getpid()}", os.O_CREAT, 0o644))
    senders = [asyncio.create_task(relay.send_all()) for _ in range(CONNECTIONS)]
    with contextlib.suppress(asyncio.CancelledError):
        await server.serve_forever()
    for sender in senders:
        sender.cancel()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.peers.naive")
    parser.add_argument("port", type=int)
    parser.add_argument("sink")
    parser.add_argument("directory")
    parser.add_argument("--key", default="")
    parser.add_argument("--domain", default="")
    import uvloop

    uvloop.run(_serve(parser.parse_args()))


if __name__ == "__main__":
    main()
