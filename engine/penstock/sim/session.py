"""The server's side of SMTP as fake providers speak it: lean, since it also serves as a sink.

Bytes in, replies out, in two modes: commands line by line, content by a search for its end. What is
answered is asked of :class:`~penstock.sim.behaviour.Behaviour`. Latency is one timer: the
replies of a group of pipelined commands leave together after a command's time, the reply to a final
dot after its own; until then what arrives is kept, and beyond a bound not read at all.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from penstock.sim.behaviour import SLOW_S

if TYPE_CHECKING:
    from penstock.sim.server import Provider

LINE_BYTES_MAX = 4096
HELD_BYTES_MAX = 256 << 10
IDLE_S = 300.0
_END = b"\r\n.\r\n"


class Session(asyncio.Protocol):
    """One connection to one provider."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._behaviour = provider.behaviour
        self._profile = provider.behaviour.profile
        self._loop = provider.loop
        self._rng = provider.session_rng()
        self._buffer = b""
        self._out: list[bytes] = []
        self._waiting: asyncio.TimerHandle | None = None
        self._paused = self._closing = self._in_data = False
        self._secure = self._upgrading = False
        self._tail = b""
        self._chunks: list[bytes] = []
        self._size = 0
        self._greeted = False
        self._transactions = 0
        self._sender: str | None = None
        self._recipients: list[str] = []
        self._moods: list[str] = []
        self._client = ""

    # the transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self._client = self._transport.get_extra_info("peername")[0]
        self._provider.sessions.add(self)
        self._seen = self._loop.time()
        self._idle = self._loop.call_later(IDLE_S, self._check_idle)
        refusal = self._behaviour.connected(self._client)
        if refusal:
            self._leave(refusal)
        else:
            self._say(self._profile.banner)
        self._send_later(self._command_s())

    def connection_lost(self, exc: Exception | None) -> None:
        self._idle.cancel()
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        self._closing = True
        self._provider.sessions.discard(self)
        self._behaviour.left(self._client)

    def data_received(self, data: bytes) -> None:
        self._seen = self._loop.time()
        self._buffer = self._buffer + data if self._buffer else data
        if self._waiting is None and not self._upgrading:
            self._work()
        elif len(self._buffer) > HELD_BYTES_MAX and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        return False

    def close(self) -> None:
        self._transport.abort()

    def _check_idle(self) -> None:
        left = self._seen + IDLE_S - self._loop.time()
        if left > 0.5:
            self._idle = self._loop.call_later(left, self._check_idle)
        else:
            self._leave("421 4.4.2 {host} Error: timeout exceeded")
            self._flush()

    # reading

    def _work(self) -> None:
        """Take from the buffer until it is empty or an answer must be waited for."""
        while self._buffer and not self._closing and self._waiting is None:
            if self._in_data:
                self._read_content()
                continue
            line, end, rest = self._buffer.partition(b"\n")
            if not end:
                if len(line) > LINE_BYTES_MAX:
                    self._leave("500 5.5.6 Line too long")
                break
            self._buffer = rest
            self._command(line.rstrip(b"\r"))
        if self._out and self._waiting is None:
            self._send_later(self._command_s())

    def _read_content(self) -> None:
        """The end may lie across two reads: ``_tail`` is the last of what came before."""
        data = self._tail + self._buffer
        at = data.find(_END)
        before = len(self._tail)
        if at < 0:
            self._size += len(self._buffer)
            if self._provider.on_message is not None:
                self._chunks.append(self._buffer)
            self._tail, self._buffer = data[-4:], b""
            return
        stop = at + 2 - before  # in this read; the CRLF before the dot is content
        self._size += stop
        if self._provider.on_message is not None:
            self._chunks.append(self._buffer[: max(stop, 0)])
        self._buffer = data[at + 5 :]
        self._in_data = False
        self._finish_content()

    def _finish_content(self) -> None:
        verdict = self._behaviour.final(self._moods, self._size)
        if verdict == "drop":
            self._closing = True
            self._transport.abort()
            return
        if verdict:
            self._say(verdict, self._recipients[0])
        else:
            self._say(self._profile.accepted)
            if self._provider.on_message is not None:
                content = b"".join(self._chunks)[: self._size]
                self._provider.took(self._sender or "", tuple(self._recipients), content)
        delay_s = self._provider.draw_s(self._rng, self._profile.final_ms)
        if "slow" in self._moods:
            delay_s += SLOW_S
        self._reset()
        if delay_s:
            self._send_later(delay_s)

    # commands

    def _command(self, line: bytes) -> None:
        action = _ACTIONS.get(line[:4].upper())
        if action is None:
            self._say("502 5.5.2 Error: command not recognized")
        else:
            action(self, line)

    def _ehlo(self, line: bytes) -> None:
        self._greeted = True
        self._reset()
        if line[:4].upper() == b"HELO":
            self._say("250 {host}")
        else:
            self._out.append(self._provider.hello(self._secure))

    def _mail(self, line: bytes) -> None:
        start, end = line.find(b"<"), line.find(b">")
        if not self._greeted or self._sender is not None:
            self._say("503 5.5.1 Error: bad sequence of commands")
        elif start < 0 or end < start:
            self._say("501 5.1.7 Bad sender address syntax")
        elif _declared_size(line[end:]) > self._profile.size_max:
            self._say("552 5.3.4 Message size exceeds fixed limit")
        else:
            refusal = self._behaviour.mail(self._transactions, self._loop.time())
            if refusal:
                self._refuse(refusal)
                return
            self._transactions += 1
            self._sender = line[start + 1 : end].decode("utf-8", "replace")
            self._out.append(b"250 2.1.0 Ok\r\n")

    def _rcpt(self, line: bytes) -> None:
        start, end = line.find(b"<"), line.find(b">")
        if self._sender is None:
            self._say("503 5.5.1 Error: need MAIL command")
        elif start < 0 or end <= start + 1:
            self._say("501 5.1.3 Bad recipient address syntax")
        elif 0 < self._profile.recipients_max <= len(self._recipients):
            self._say("452 4.5.3 Error: too many recipients")
        else:
            address = line[start + 1 : end].decode("utf-8", "replace")
            now = self._loop.time()
            refusal, mood = self._behaviour.recipient(self._sender, address, now)
            if refusal:
                self._refuse(refusal, address)
                return
            self._recipients.append(address)
            self._moods.append(mood)
            self._out.append(b"250 2.1.5 Ok\r\n")

    def _data(self, line: bytes) -> None:
        if not self._recipients:
            self._say("503 5.5.1 Error: no valid recipients")
            return
        self._in_data = True
        self._tail = b"\r\n"  # so that a dot on the first line ends an empty message
        self._size = 0
        self._out.append(b"354 End data with <CR><LF>.<CR><LF>\r\n")

    def _rset(self, line: bytes) -> None:
        self._reset()
        self._say("250 2.0.0 Ok")

    def _noop(self, line: bytes) -> None:
        self._say("250 2.0.0 Ok")

    def _quit(self, line: bytes) -> None:
        self._leave("221 2.0.0 {host} closing connection")

    def _starttls(self, line: bytes) -> None:
        if self._provider.tls is None or not self._profile.starttls or self._secure:
            self._say("502 5.5.1 Error: STARTTLS is not available")
            return
        self._say("220 2.0.0 Ready to start TLS")
        self._flush()
        self._buffer = (
            b""  # what was sent in clear after STARTTLS counts for nothing (RFC 3207 4.2)
        )
        self._greeted = False
        self._upgrading = True  # the first command may be here before the handshake's task goes on
        self._reset()
        self._provider.upgrade(self, self._transport)

    def secured(self, transport: asyncio.Transport | None) -> None:
        """The handshake is over; ``None``: it failed."""
        if transport is None:
            self._transport.abort()
            return
        self._transport = transport
        self._secure, self._upgrading = True, False
        self._work()

    # writing

    def _say(self, text: str, address: str = "") -> None:
        self._out.append(self._provider.wire(text, self._client, address))

    def _refuse(self, text: str, address: str = "") -> None:
        """A refusal of this command, or of the connection where its code is 421."""
        if text.startswith("421"):
            self._leave(text, address)
        else:
            self._say(text, address)

    def _leave(self, text: str, address: str = "") -> None:
        self._say(text, address)
        self._closing = True

    def _reset(self) -> None:
        self._sender = None
        self._recipients.clear()
        self._moods.clear()
        self._chunks.clear()
        self._size = 0

    def _command_s(self) -> float:
        return self._provider.draw_s(self._rng, self._profile.command_ms)

    def _send_later(self, delay_s: float) -> None:
        if delay_s <= 0.0:
            self._flush()
        else:
            self._waiting = self._loop.call_later(delay_s, self._continue)

    def _continue(self) -> None:
        self._waiting = None
        self._flush()
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        self._work()

    def _flush(self) -> None:
        if self._out:
            self._transport.write(b"".join(self._out))
            self._out.clear()
        if self._closing:
            self._transport.close()


_ACTIONS: dict[bytes, Any] = {
    b"EHLO": Session._ehlo,
    b"HELO": Session._ehlo,
    b"MAIL": Session._mail,
    b"RCPT": Session._rcpt,
    b"DATA": Session._data,
    b"RSET": Session._rset,
    b"NOOP": Session._noop,
    b"QUIT": Session._quit,
    b"STAR": Session._starttls,
}


def _declared_size(parameters: bytes) -> int:
    """The value of SIZE= (RFC 1870), 0 without one."""
    _, found, rest = parameters.upper().partition(b" SIZE=")
    digits = rest.split(b" ", 1)[0] if found else b""
    return int(digits) if digits.isdigit() else 0
