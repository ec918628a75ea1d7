"""Next hops that do not work, each in its own way; for what must go on beside them.

``silent`` takes connections and never says a word; ``hang`` takes a message and never says what
became of it; ``slow`` answers every command only after ``SLOW_S``; ``busy`` greets with 421.
A dead one that refuses connections needs no program: a port where nobody listens.
Run as ``python -m bench.trouble HOST PORT KIND``.
"""

from __future__ import annotations

import asyncio
import contextlib
import pathlib
import socket
import sys

import uvloop

from bench.harness import Program

KINDS = ("silent", "hang", "slow", "busy")
SLOW_S = 2.0


async def _silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(4096):
        pass


async def _busy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"421 4.3.2 Too busy, come again\r\n")


async def _talk(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pause_s: float, final: bool
) -> None:
    """SMTP without extensions, so that each command is a round trip."""
    writer.write(b"220 trouble.example ESMTP\r\n")
    while line := await reader.readline():
        await asyncio.sleep(pause_s)
        if line[:4].upper() != b"DATA":
            writer.write(b"250 2.0.0 Ok\r\n")
            continue
        writer.write(b"354 Go on\r\n")
        while (line := await reader.readline()) not in (b".\r\n", b""):
            pass
        await asyncio.sleep(pause_s)
        if final:
            writer.write(b"250 2.0.0 Ok\r\n")


async def _session(kind: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        if kind == "silent":
            await _silent(reader, writer)
        elif kind == "busy":
            await _busy(reader, writer)
        else:
            await _talk(reader, writer, SLOW_S if kind == "slow" else 0.0, kind != "hang")
    writer.close()


async def _serve(host: str, port: int, kind: str) -> None:
    server = await asyncio.start_server(
        lambda reader, writer: _session(kind, reader, writer), host, port, backlog=1024
    )
    async with server:
        await server.serve_forever()


class Trouble:
    """One of them as a child process."""

    def __init__(self, directory: pathlib.Path, host: str, port: int, kind: str) -> None:
        command = [sys.executable, "-m", "bench.trouble", host, str(port), kind]
        self._program = Program(f"trouble {kind}", command, directory / f"trouble-{kind}.log")
        try:
            self._program.wait_for(lambda: _listens(host, port), 20, "it listens")
        except BaseException:
            self._program.kill()
            raise

    def stop(self) -> None:
        self._program.kill()

    def __enter__(self) -> Trouble:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()


def _listens(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), 2.0).close()
    except OSError:
        return False
    return True


def main(arguments: list[str]) -> None:
    host, port, kind = arguments
    if kind not in KINDS:
        raise SystemExit(f"there are: {', '.join(KINDS)}")
    uvloop.run(_serve(host, int(port), kind))


if __name__ == "__main__":
    main(sys.argv[1:])
