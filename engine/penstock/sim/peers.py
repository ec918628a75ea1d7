"""The other side: mail hosts that are honest, and the ways in which hosts are not.

A host takes mail by the book, but for its *trouble*: at one point of one conversation it does what
its name says. Whatever it does, the host itself knows what it has taken, and tells the ledger.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable
from typing import NamedTuple

from penstock.sim.ledger import Copy, Ledger
from penstock.sim.loop import SimLoop
from penstock.sim.transport import Transport

_POINTS = ("banner", "ehlo", "mail", "rcpt", "data", "dot", "dot", "dot")
# What may come at any point, and what only after the dot.
_ANYWHERE = ("hangs", "garbage", "endless", "drips", "closes", "421", "later", "slow", "odd reply")
_AFTER_DOT = ("answers twice", "closes after 250", "takes and defers", "refuses content")
TROUBLES = (*_ANYWHERE, *_AFTER_DOT, "reads slowly")
# After these the engine cannot know whether a message was taken.
_DOUBTFUL = {"hangs", "garbage", "endless", "drips", "closes", "421", "odd reply"}
_PATH = re.compile(rb"<([^>]*)>")


class Trouble(NamedTuple):
    point: str
    kind: str
    message: int  # in which transaction of the connection
    takes: bool  # whether a message that this is about is taken all the same


class Host:
    """One mail host. ``mood(rng)`` draws the trouble of a new conversation, ``None``: by the
    book."""

    def __init__(
        self,
        loop: SimLoop,
        name: str,
        ledger: Ledger,
        rng: random.Random,
        mood: Callable[[random.Random], Trouble | None],
    ) -> None:
        self.loop, self.name, self.ledger, self.rng, self.mood = loop, name, ledger, rng, mood
        self.pipelining = rng.random() < 0.7
        self.counts: dict[str, int] = {}

    def count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    def __call__(self) -> Conversation:
        return Conversation(self)


def draw_trouble(rng: random.Random) -> Trouble:
    point = rng.choice(_POINTS)
    kinds = _ANYWHERE + _AFTER_DOT if point == "dot" else _ANYWHERE
    kind = rng.choice((*kinds, "reads slowly"))
    return Trouble(point, kind, rng.choice((0, 0, 1, 2)), rng.random() < 0.7)


class Conversation(asyncio.Protocol):
    """One connection, from the host's side."""

    transport: Transport

    def __init__(self, host: Host) -> None:
        self._host = host
        self._rng = random.Random(host.rng.getrandbits(64))
        self._trouble = host.mood(self._rng)
        self._buffer = bytearray()
        self._body = False
        self._silent = False
        self._mails = 0
        self._ahead = False  # every reply is taken for that to the next command from here on
        self._null = False  # a report, whose loss nobody would be told of
        self._recipients: list[str] = []
        self._count = 0
        self._timers: list[asyncio.Handle] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, Transport)
        self.transport = transport
        if self._trouble is not None and self._trouble.kind == "reads slowly":
            self._host.count("reads slowly")
            transport.pause_reading()
            self._later(self._rng.uniform(1.0, 8.0), transport.resume_reading)
        self._answer("banner", b"220 %b ready\r\n" % self._host.name.encode())

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in self._timers:
            timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while not self._silent and not self.transport.closing:
            if self._body:
                end = self._buffer.find(b"\r\n.\r\n")
                if end < 0:
                    return
                content = bytes(self._buffer[: end + 2])
                del self._buffer[: end + 5]
                self._body = False
                self._dot(content)
                continue
            end = self._buffer.find(b"\r\n")
            if end < 0:
                return
            line = bytes(self._buffer[:end])
            del self._buffer[: end + 2]
            self._line(line)

    # commands

    def _line(self, line: bytes) -> None:
        verb = line[:4].upper()
        if verb in (b"EHLO", b"HELO"):
            offers = b"250-PIPELINING\r\n" if self._host.pipelining else b""
            self._answer("ehlo", offers + b"250-8BITMIME\r\n250 SIZE 10000000\r\n")
        elif verb == b"MAIL":
            self._mails += 1
            self._null = b"<>" in line
            self._recipients = []
            self._answer("mail", b"250 2.1.0 ok\r\n")
        elif verb == b"RCPT":
            self._rcpt(self._path(line).decode())
        elif verb == b"DATA":
            if not self._recipients:
                self._say(b"554 5.5.1 no valid recipients\r\n")
            elif self._answer("data", b"354 go on\r\n"):
                self._body = True
        elif verb == b"RSET":
            self._recipients = []
            self._say(b"250 2.0.0 ok\r\n")
        elif verb == b"QUIT":
            self._say(b"221 2.0.0 bye\r\n")
            self.transport.close()
        else:
            self._say(b"500 5.5.2 what\r\n")

    def _path(self, line: bytes) -> bytes:
        found = _PATH.search(line)
        return found[1] if found else b""

    def _rcpt(self, address: str) -> None:
        if self._ahead:  # the refusal of another may be taken for that of the whole message
            self._host.ledger.refusals.setdefault(address, self._host.name)
        if address.startswith("gone"):
            self._host.ledger.refused_for_good(address, self._host.name)
            self._say(b"550 5.1.1 no such user\r\n")
        elif self._answer("rcpt", b"250 2.1.5 ok\r\n"):
            self._recipients.append(address)

    def _dot(self, content: bytes) -> None:
        content = content.replace(b"\r\n.", b"\r\n")
        if content.startswith(b"."):
            content = content[1:]
        trouble = self._due("dot")
        recipients, self._recipients = self._recipients, []
        self._count += 1
        if trouble is None or trouble.kind in ("answers twice", "closes after 250", "slow"):
            copy = self._take(content, recipients, "")
            self._delayed_or_now(trouble, copy)
            return
        self._host.count(trouble.kind)
        if trouble.kind == "refuses content" and not self._null:
            for address in recipients:
                self._host.ledger.refused_for_good(address, self._host.name)
            self._say(b"554 5.7.1 not this\r\n")
        elif trouble.kind == "takes and defers":
            self._take(content, recipients, trouble.kind)
            self._say(b"451 4.3.0 try again\r\n")
        elif trouble.kind in ("later", "refuses content"):
            self._say(b"451 4.7.1 try again\r\n")
        else:
            if trouble.takes:
                self._take(content, recipients, trouble.kind)
            self._misbehave(trouble.kind, "dot")

    def _delayed_or_now(self, trouble: Trouble | None, copy: Copy) -> None:
        reply = b"250 2.0.0 taken\r\n"
        if trouble is None:
            self._confirm(reply, copy)
        elif trouble.kind == "slow":
            self._host.count("slow")
            self._silent = True
            self._later(self._rng.uniform(0.5, 15.0), lambda: self._confirm_late(reply, copy))
        else:
            self._host.count(trouble.kind)
            self._confirm(reply, copy)
            if trouble.kind == "answers twice":
                self._ahead = True
                self._say(reply)
            else:
                self.transport.close()

    def _confirm_late(self, reply: bytes, copy: Copy) -> None:
        self._silent = False
        if not self.transport.closing:
            self._confirm(reply, copy)
            self.data_received(b"")

    def _take(self, content: bytes, recipients: list[str], doubt: str) -> Copy:
        host = self._host
        return host.ledger.took(
            host.name, self.transport.wire, self._mails - 1, recipients, content, doubt
        )

    def _confirm(self, reply: bytes, copy: Copy) -> None:
        """The one honest 250; the ledger hears when the engine has been given all of it."""
        self._say(reply)
        ledger = self._host.ledger
        self.transport.when_read(self.transport.sent, lambda: ledger.confirmed(copy))

    # replies

    def _answer(self, point: str, reply: bytes) -> bool:
        """True where the reply was the good one."""
        trouble = self._due(point)
        if trouble is None:
            self._say(reply)
            return True
        self._host.count(trouble.kind)
        if trouble.kind == "later":
            self._say(b"451 4.7.1 try again\r\n")
        elif trouble.kind == "slow":
            self._silent = True
            self._later(self._rng.uniform(0.5, 15.0), lambda: self._say_late(reply))
            return True
        else:
            self._misbehave(trouble.kind, point)
        return False

    def _say_late(self, reply: bytes) -> None:
        self._silent = False
        self._say(reply)
        self.data_received(b"")

    def _due(self, point: str) -> Trouble | None:
        trouble = self._trouble
        if trouble is None or trouble.point != point or trouble.kind == "reads slowly":
            return None
        if point not in ("banner", "ehlo") and trouble.message != self._count:
            return None
        self._trouble = None
        return trouble

    def _misbehave(self, kind: str, point: str) -> None:
        if kind == "odd reply":
            odd = (b"399 x\r\n", b"150 y\r\n", b"2501 z\r\n", b"200 hm\r\n250 so\r\n")
            self._say(self._rng.choice(odd[:3] if point == "dot" else odd))
        elif kind == "421":
            self._say(b"421 4.3.2 closing\r\n")
            self.transport.close()
        elif kind == "closes":
            self.transport.abort()
        else:
            self._silent = True
            if kind == "garbage":
                self._say(b"\xff\x00" + self._rng.randbytes(self._rng.randint(1, 3000)) + b"\r\n")
            elif kind == "endless":
                self._endless(self._rng.choice((0.001, 1.0)))
            elif kind == "drips":
                self._drip(bytearray(b"250-one\r\n250 two\r\n"))

    def _endless(self, pause_s: float) -> None:
        if not self.transport.closing:
            self._say(b"250-and\r\n" * 100)
            self._later(pause_s, lambda: self._endless(min(1.0, pause_s * 1.5)))

    def _drip(self, rest: bytearray) -> None:
        if rest and not self.transport.closing:
            self._say(bytes(rest[:1]))
            del rest[:1]
            self._later(60.0, lambda: self._drip(rest))

    def _say(self, data: bytes) -> None:
        if not self.transport.closing:
            self.transport.write(data)

    def _later(self, delay_s: float, call: Callable[[], None]) -> None:
        self._timers.append(self._host.loop.call_later(delay_s, call))
