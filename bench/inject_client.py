"""An HTTP client that costs little: it sends the same few requests over and over on connections
that stay open, as soon as one is answered or by a timetable, and notes how long each took.

``python -m bench.inject_client OPTIONS``, where the options are one JSON object; answers with one.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import uvloop

_HEAD_END = b"\r\n\r\n"


class _Connection(asyncio.Protocol):
    """One connection; a request at a time."""

    def __init__(self, job: _Job) -> None:
        self._job = job
        self._buffer = b""
        self._due = self._wanted = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._job.free(self)

    def send(self, request: bytes, due: int) -> None:
        self._due, self._wanted = due, 0
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer = self._buffer + data
        if not self._wanted:
            end = buffer.find(_HEAD_END)
            if end < 0:
                return
            head = buffer[:end].lower()
            at = head.index(b"content-length:") + 15
            length = int(head[at : head.find(b"\r", at) if b"\r" in head[at:] else None])
            self._wanted = end + 4 + length
        if len(buffer) < self._wanted:
            return
        self._buffer = b""
        self._job.answered(self, buffer, self._due)

    def connection_lost(self, exc: Exception | None) -> None:
        self._job.lost()


class _Job:
    def __init__(self, requests: Sequence[bytes], count: int, rate: float) -> None:
        self._requests, self._count, self._rate = requests, count, rate
        self._idle: deque[_Connection] = deque()
        self._due: deque[int] = deque()
        self._sent = 0
        self.times: list[int] = []
        self.failed: list[str] = []
        self.done = asyncio.get_running_loop().create_future()
        self.began = self.ended = 0

    def start(self) -> None:
        self.began = time.monotonic_ns()
        if self._rate:
            self._tick()
        else:
            while self._idle and self._sent < self._count:
                self._send(self._idle.popleft(), time.monotonic_ns())

    def _tick(self) -> None:
        now = time.monotonic_ns()
        due = min(self._count, int((now - self.began) * self._rate / 1e9) + 1)
        while self._sent + len(self._due) < due:
            number = self._sent + len(self._due)
            self._due.append(self.began + int(number / self._rate * 1e9))
        while self._due and self._idle:
            self._send(self._idle.popleft(), self._due.popleft())
        if self._sent < self._count:
            asyncio.get_running_loop().call_later(0.001, self._tick)

    def _send(self, connection: _Connection, due: int) -> None:
        connection.send(self._requests[self._sent % len(self._requests)], due)
        self._sent += 1

    def free(self, connection: _Connection) -> None:
        self._idle.append(connection)

    def answered(self, connection: _Connection, answer: bytes, due: int) -> None:
        now = time.monotonic_ns()
        self.times.append(now - due)
        if not answer.startswith(b"HTTP/1.1 202"):
            self.failed.append(answer[:500].decode(errors="replace"))
        if len(self.times) == self._count:
            self.ended = now
            self.done.set_result(None)
        elif self._rate:
            if self._due:
                self._send(connection, self._due.popleft())
            else:
                self._idle.append(connection)
        elif self._sent < self._count:
            self._send(connection, now)

    def lost(self) -> None:
        if not self.done.done():
            self.done.set_exception(ConnectionError("the server closed a connection"))


async def run(options: dict[str, Any]) -> dict[str, Any]:
    requests = [one.encode("latin-1") for one in options["requests"]]
    job = _Job(requests, options["count"], options["rate"])
    loop = asyncio.get_running_loop()
    for _ in range(options["connections"]):
        await loop.create_connection(lambda: _Connection(job), "127.0.0.1", options["port"])
    job.start()
    await job.done
    return {
        "seconds": (job.ended - job.began) / 1e9,
        "times_ns": job.times,
        "failed": job.failed[:3],
        "failures": len(job.failed),
    }


if __name__ == "__main__":
    print(json.dumps(uvloop.run(run(json.load(sys.stdin)))))
