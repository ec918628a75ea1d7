"""One end of a simulated connection, as an asyncio transport."""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from penstock.sim.loop import SimLoop
    from penstock.sim.network import Wire

_HIGH = 65536
_LOW = 16384
_GAP_S = 0.0005


class Transport(asyncio.Transport):
    """``sent``: bytes its side ever wrote; ``read``: bytes its side ever was given. ``gone``: its
    protocol hears nothing more."""

    def __init__(
        self,
        loop: SimLoop,
        wire: Wire,
        protocol: Any,
        context: contextvars.Context,
        peername: tuple[str, int],
        sockname: tuple[str, int],
        *,
        made: bool,
    ) -> None:
        super().__init__({"peername": peername, "sockname": sockname})
        self.loop, self.wire, self.protocol, self.context = loop, wire, protocol, context
        self.sent = self.read = 0
        self.made = made
        self.gone = self.closing = False
        self.tap: Callable[[bytes], None] | None = None
        self._inbox = bytearray()  # in the kernel: the other side's bytes, not read yet
        self._outbox = bytearray()  # in this transport: no room in the kernel
        self._eof_sent = self._eof_seen = False
        self._paused = self._holding = False
        self._arriving: asyncio.Handle | None = None
        self._marks: deque[tuple[int, Callable[[], None]]] = deque()

    # what the protocol's side calls

    def get_protocol(self) -> Any:
        return self.protocol

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def is_closing(self) -> bool:
        return self.closing

    def is_reading(self) -> bool:
        return not self._paused

    def get_write_buffer_size(self) -> int:
        return len(self._outbox)

    def can_write_eof(self) -> bool:
        return True

    def write(self, data: Any) -> None:
        if self.closing or self._eof_sent or not data:
            return
        data = bytes(data)
        self.sent += len(data)
        if self.tap is not None:
            self.tap(data)
        self._outbox += data
        self._push()
        if len(self._outbox) > _HIGH and not self._holding:
            self._holding = True
            self.wire.network.count("held back")
            self.protocol.pause_writing()

    def writelines(self, chunks: Iterable[Any]) -> None:
        self.write(b"".join(chunks))

    def write_eof(self) -> None:
        self._eof_sent = True
        self._push()

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False
        self.arrive_soon()

    def close(self) -> None:
        if self.closing:
            return
        self._closed()
        self._forget_arrivals()
        self._eof_sent = True
        self._push()

    def abort(self) -> None:
        if self.gone:
            return
        self._outbox.clear()
        self.close()
        self._end(None)

    # the wire

    def when_read(self, position: int, call: Callable[[], None]) -> None:
        """``call`` when the other side has been given all up to its byte ``position``."""
        self.wire.other(self)._marks.append((position, call))

    def _push(self) -> None:
        """Into the kernel what it has room for."""
        other = self.wire.other(self)
        room = self.wire.line.kernel_bytes - len(other._inbox)
        if room > 0 and self._outbox:
            other._inbox += self._outbox[:room]
            del self._outbox[:room]
        if other._inbox or self._eof_sent:
            other.arrive_soon(self.wire.line.latency_s)
        if self._holding and len(self._outbox) < _LOW:
            self._holding = False
            if not self.closing:
                self.loop.call_soon(self._resume, context=self.context)
        if self.closing and not self._outbox and not self.gone:
            self._end(None)

    def _resume(self) -> None:
        if not self.closing:
            self.protocol.resume_writing()

    def arrive_soon(self, delay_s: float = 0.0) -> None:
        if self._arriving is None and self.made and (self.closing or not self._paused):
            if self.gone and not self.wire.other(self)._outbox and not self._inbox:
                return
            self._arriving = self.loop.call_later(delay_s, self._arrive, context=self.context)

    def _arrive(self) -> None:
        self._arriving = None
        wire = self.wire
        other = wire.other(self)
        if wire.stalled or (self._paused and not self.closing):
            return
        if self.closing:
            # Nobody reads here any more: the system answers for us.
            if self._inbox:
                self._inbox.clear()
                other.lose(ConnectionResetError("Connection reset by peer"))
            return
        if self._inbox:
            whole = wire.rng.random() < wire.line.whole
            size = len(self._inbox) if whole else wire.rng.randint(1, len(self._inbox))
            if not wire.passing(size):
                return
            data = bytes(self._inbox[:size])
            del self._inbox[:size]
            self.read += size
            while self._marks and self._marks[0][0] <= self.read:
                self._marks.popleft()[1]()
            self.protocol.data_received(data)
            other._push()
            if self._inbox:
                self.arrive_soon(_GAP_S)
        if other._eof_sent and not self._inbox and not other._outbox and not self._eof_seen:
            self._eof_seen = True
            if not self.closing and not self.protocol.eof_received():
                self.close()

    # the end

    def lose(self, error: Exception) -> None:
        """The connection broke."""
        if not self.gone:
            self._outbox.clear()
            if not self.closing:
                self._closed()
            self._eof_sent = True
            self._end(error)

    def die(self) -> None:
        """The process at this end is dead."""
        self._outbox.clear()
        self.gone = True
        if not self.closing:
            self._closed()
        self._eof_sent = True
        other = self.wire.other(self)
        if other.gone:
            self.wire.network.ended(self.wire)
        elif not self.wire.stalled:
            delay_s = self.wire.line.latency_s
            self.loop.call_later(delay_s, other._mourn, context=other.context)

    def _mourn(self) -> None:
        if self._inbox and not self._paused:
            self._arrive()
            if not self.gone:
                self.loop.call_later(_GAP_S, self._mourn, context=self.context)
        else:
            self.lose(ConnectionResetError("Connection reset by peer"))

    def _closed(self) -> None:
        self.closing = True
        if self is self.wire.near:
            self.wire.closed_at = self.wire.network.loop.time()
        self.wire.network.watch(self.wire, "closed" if self is self.wire.near else "closed far")

    def _forget_arrivals(self) -> None:
        if self._arriving is not None and not self._inbox:
            self._arriving.cancel()
            self._arriving = None

    def _end(self, error: Exception | None) -> None:
        self.gone = True
        if self.made:
            self.loop.call_soon(self._lost, error, context=self.context)
        if self.wire.other(self).gone:
            self.wire.network.ended(self.wire)

    def _lost(self, error: Exception | None) -> None:
        self.protocol.connection_lost(error)
