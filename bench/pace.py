"""An injector that keeps to a timetable, for latencies that hide no queue.

Each message has its time, whatever became of those before it, and its latency counts from that
time: a server that stalls is charged for all that could not be sent meanwhile (else the stall would
count once; "coordinated omission"). Commands are pipelined: two round trips a message. One thread,
sockets and epoll; it waits to the microsecond, for a loop with timers of a millisecond would add
its own.

``python -m bench.pace HOST PORT FILE [--rate N] ...``: without a rate, as fast as replies come.
FILE gets three numbers a message, nanoseconds of the monotonic clock: due, end of data sent,
accepted.
"""

from __future__ import annotations

import argparse
import array
import contextlib
import pathlib
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Sequence

from bench.harness import Program
from bench.load import SENDER

_REPLY_BYTES = 1 << 16
_COMMANDS = f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<user@rcpt.example>\r\nDATA\r\n".encode()
_LINE = b"x" * 76 + b"\r\n"


class _Refused(Exception):
    """The server does not do its part; the message is what it said."""


class _Session:
    """``due``: replies still to come; ``number``: of the message under way, -1 for none."""

    __slots__ = ("_partial", "due", "number", "socket")

    def __init__(self, host: str, port: int) -> None:
        self.socket = socket.create_connection((host, port), 20.0)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.number = -1
        self.due = 0
        self._partial = b""
        self._exchange(b"", 1, b"220")
        self._exchange(b"EHLO client.example\r\n", 1, b"250")

    def _exchange(self, command: bytes, replies: int, code: bytes) -> None:
        self.socket.sendall(command)
        self.due = replies
        while self.due:
            self.hear(code)

    def hear(self, *codes: bytes) -> None:
        """Take what has come; all of it must be among ``codes``."""
        data = self.socket.recv(_REPLY_BYTES)
        *lines, self._partial = (self._partial + data).split(b"\r\n")
        for line in lines:
            if not line.startswith(codes):
                raise _Refused(line.decode("ascii", "replace"))
            self.due -= line[3:4] != b"-"
        if not data:
            raise _Refused("the connection is closed")


class _Pacer:
    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._body: bytes = _LINE * max(1, (options.size - 300) // len(_LINE)) + b".\r\n"
        self._sessions = [_Session(options.host, options.port) for _ in range(options.sessions)]
        self._by_number = {one.socket.fileno(): one for one in self._sessions}
        self._idle = deque(self._sessions)
        self._poll = select.epoll()
        for number in self._by_number:
            self._poll.register(number, select.EPOLLIN)
        self._step_ns = 1e9 / options.rate if options.rate else 0.0
        self._begun = self._accepted = 0
        self.times = array.array("Q", bytes(24 * options.count))

    def run(self) -> None:
        start = time.monotonic_ns()
        count = self._options.count
        while self._accepted < count:
            now = time.monotonic_ns()
            while self._idle and self._begun < count:
                due = start + int(self._begun * self._step_ns) if self._step_ns else now
                if due > now:
                    break
                self._begin(due)
            wait_s = None
            if self._idle and self._begun < count:
                due = start + int(self._begun * self._step_ns)
                wait_s = max(0.0, (due - time.monotonic_ns()) / 1e9)
            select.select([self._poll], [], [], wait_s)
            for number, _ in self._poll.poll(0):
                self._continue(self._by_number[number])

    def _begin(self, due: int) -> None:
        session = self._idle.popleft()
        session.number, session.due = self._begun, 3
        self.times[3 * self._begun] = due
        self._begun += 1
        session.socket.sendall(_COMMANDS)

    def _continue(self, session: _Session) -> None:
        session.hear(b"250", b"354")
        if session.due:
            return
        place = 3 * session.number
        if not self.times[place + 1]:
            session.socket.sendall(self._content(session.number))
            self.times[place + 1] = time.monotonic_ns()
            session.due = 1
        else:
            self.times[place + 2] = time.monotonic_ns()
            self._accepted += 1
            self._idle.append(session)

    def _content(self, number: int) -> bytes:
        head = (
            f"From: <{SENDER}>\r\nTo: <user@rcpt.example>\r\nSubject: pace {number}\r\n"
            "Date: Sun, 22 Nov 2026 08:00:00 +0000\r\n"
            f"Message-ID: <{self._options.name}.{number}>\r\n\r\n"
        )
        return head.encode() + self._body


def pace(
    directory: pathlib.Path,
    address: str,
    *,
    name: str,
    rate: float,
    count: int,
    sessions: int,
    size: int,
    timeout_s: float,
) -> list[tuple[int, int, int]]:
    """Inject in a process of its own; the three times of each message, by its number. Its
    Message-ID is ``name.number``. Raises :class:`bench.harness.Failed`."""
    host, _, port = address.rpartition(":")
    path = directory / f"{name}.times"
    command = [sys.executable, "-m", "bench.pace", host, port, str(path), f"--name={name}"]
    command += [f"--rate={rate}", f"--count={count}", f"--sessions={sessions}", f"--size={size}"]
    program = Program("pace", command, directory / f"{name}.log")
    try:
        program.wait_for(path.exists, timeout_s, f"all {count} messages are accepted")
        program.wait(10)
    finally:
        if program.running:
            program.kill()
    times = array.array("Q", path.read_bytes())
    return list(zip(times[::3], times[1::3], times[2::3], strict=True))


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.pace")
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("file", type=pathlib.Path)
    parser.add_argument("--name", default="pace")
    parser.add_argument("--rate", type=float, default=0.0, help="messages/s; 0: as they go")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--size", type=int, default=10240)
    options = parser.parse_args(arguments)
    pacer = _Pacer(options)
    try:
        pacer.run()
    except (_Refused, OSError) as error:
        print(f"bench.pace: {error}", file=sys.stderr)
        return 1
    temporary = options.file.with_suffix(".part")
    temporary.write_bytes(pacer.times.tobytes())
    with contextlib.suppress(OSError):
        temporary.rename(options.file)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
