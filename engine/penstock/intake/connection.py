"""The lower half of a session: the transport, who is behind it, and when it ends.

Knows PROXY and TLS, counts errors, holds back what would overflow, and looks at the time when the
listener's sweep comes by. What the bytes mean is the upper half's (:mod:`session`).
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import Any

from penstock.intake import replies
from penstock.intake.networks import plain_address
from penstock.intake.peer import Peer
from penstock.intake.proxy import BadProxyHeader, read_proxy
from penstock.intake.shared import Shared
from penstock.intake.sifting import SuppressedReply
from penstock.intake.tls import describe, secure
from penstock.intake.transaction import Transaction
from penstock.intake.verbs import Verbs
from penstock.intake.watch import Watch
from penstock.smtp.data import ChunkReader, DataReader
from penstock.smtp.reply import Reply


class Connection(Verbs):
    """``_busy``: a coroutine runs, or a commit or handshake is awaited; input is kept aside.
    ``_reason``: why the connection is being closed, ``""`` while it is not."""

    def __init__(self, shared: Shared) -> None:
        # aiosmtpd's own constructor is costly and would find the same each time.
        self.__dict__.update(shared.template)
        self._shared = shared
        self._buffer = bytearray()  # input not yet looked at
        self._body: DataReader | ChunkReader | None = None
        self._held = 0  # bytes of an unfinished message, as counted in Shared.receiving
        self._busy = False
        self._proxied = False  # a PROXY header is awaited
        self._choked = False  # the client does not read our replies
        self._reading = True
        self._eof = False
        self._opened = False
        self._reason = ""
        self._errors = 0
        self._verb = ""
        self._said: list[bytes] = []
        self._asked: asyncio.Future[bytes] | None = None  # a line of the client's, for AUTH
        self._task: asyncio.Task[None] | None = None
        self._seat: str | None = None
        self._watch = Watch(shared.config)
        self._received = 0  # bytes
        self._lines = 0  # complete command lines

    # -- coming and going -------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        shared = self._shared
        config = shared.config
        self.transport = transport
        shared.sessions.add(self)
        shared.connections += 1
        address = plain_address(transport.get_extra_info("peername"))
        near = address in config.relay_networks
        tls = describe(transport)
        self.meet(Peer(self.loop, address, defaults=config.defaults))
        if address in config.proxy_networks:
            self._proxied = True
        elif config.tls == "implicit" and not tls:
            self._encrypt(address, near)
        else:
            self._open(address, near, tls)

    def meet(self, peer: Peer) -> None:
        self.session = peer
        shared = self._shared
        self._transaction = Transaction(
            shared.config, shared.sink, peer, shared.reception, shared.screen
        )

    def _open(self, address: str, near: bool, tls: str) -> None:
        """The client is known: take it in or turn it away."""
        shared = self._shared
        self.meet(Peer(self.loop, address, near=near, tls=tls, defaults=shared.config.defaults))
        self._opened = True
        shared.observer.on_connect(address)
        refusal = shared.sink.refusal()
        if shared.draining:
            refusal = replies.SHUTTING_DOWN
        elif len(shared.sessions) > shared.config.connections_max:
            refusal = replies.TOO_MANY_CONNECTIONS
        elif refusal is None or refusal.code != 421:
            self._seat = self._seat or shared.clients.enter(address)
            refusal = replies.TOO_MANY_YOURS if self._seat is None else None
        if refusal is None:
            self._write(shared.greeting)
        else:
            shared.refused += 1
            self._write(self.refuse(refusal, "connect"))
            self._leave("refused")

    def connection_lost(self, error: Exception | None) -> None:
        shared = self._shared
        if self not in shared.sessions:
            return  # a broken handshake is told by both ends
        shared.sessions.discard(self)
        if not shared.sessions:
            shared.empty.set()
        self._drop_body()
        self._buffer.clear()
        if self._seat is not None:
            shared.clients.leave(self._seat)
        if self._task is not None:
            self._task.cancel()
        self._reason = self._reason or "lost"
        if self._opened:
            shared.observer.on_close(self.peer.address, self._reason)
        self.transport = None

    def eof_received(self) -> bool:
        """A client that is owed a reply still gets it, where the transport can be half closed."""
        self._eof = True
        return self._busy and not self.peer.tls

    def _leave(self, reason: str) -> None:
        self._reason = self._reason or reason
        transport = self.transport
        if transport is not None and not transport.is_closing():
            transport.close()

    @property
    def idle(self) -> bool:
        """Nothing is under way that a shutdown should wait for."""
        return not self._busy and self._body is None and self._transaction.envelope is None

    def _end(self) -> None:
        """Close where nothing is owed any more."""
        if self._reason:
            self._leave(self._reason)
        elif self._busy or self._choked:
            return
        elif self._eof:
            self._leave("lost")
        elif self.idle and self._shared.draining:
            self._reason = "shutdown"
            self._write(self.refuse(replies.SHUTTING_DOWN, "shutdown"))
            self._leave("shutdown")

    def shut_down(self) -> None:
        """Told once, when the listener begins to drain."""
        if self._proxied:
            self._leave("shutdown")
        else:
            self._end()

    def cut_off(self) -> None:
        """The time for draining is over."""
        transport: Any = self.transport
        if not self._reason and self._opened:
            self._reason = "shutdown"
            self._write(self.refuse(replies.SHUTTING_DOWN, "shutdown"))
        if transport is not None:
            transport.abort()

    # -- replies ----------------------------------------------------------------------------------

    def _write(self, data: bytes) -> None:
        transport: Any = self.transport
        if transport is not None and not transport.is_closing():
            transport.write(data)

    def flush(self) -> None:
        if self._said:
            self._write(b"".join(self._said))
            self._said.clear()

    def refuse(self, reply: Reply, phase: str) -> bytes:
        shared = self._shared
        peer = self.peer
        account = peer.account.name if peer.account is not None else ""
        shared.observer.on_reject(reply, phase, peer.address, account, peer.defaults[0])
        answer = replies.wire(reply)
        if reply.code == 421:
            self._reason = self._reason or "refused"
        elif reply.code >= 500 and not self._reason and not isinstance(reply, SuppressedReply):
            self._errors += 1
            if self._errors >= shared.config.errors_max:
                self._reason = "errors"
                answer += self.refuse(replies.TOO_MANY_ERRORS, phase)
        return answer

    # -- back-pressure ----------------------------------------------------------------------------

    def pause_writing(self) -> None:
        self._choked = True
        self._regulate()

    def resume_writing(self) -> None:
        self._choked = False
        self._go_on([])

    def _regulate(self) -> None:
        """Read only while there is room for what comes."""
        wanted = not self._choked and len(self._buffer) <= self._shared.config.pipeline_bytes_max
        transport: Any = self.transport
        if wanted is self._reading or transport is None or transport.is_closing():
            return
        self._reading = wanted
        if wanted:
            transport.resume_reading()
        else:
            transport.pause_reading()

    @abstractmethod
    def _go_on(self, out: list[bytes]) -> None:
        """Write ``out`` and handle what was kept aside, as far as that is possible now."""

    def _drop_body(self) -> None:
        """No message is being received."""
        self._body = None
        self._shared.receiving -= self._held
        self._held = 0

    def discard_input(self) -> None:
        self._buffer.clear()

    # -- PROXY and TLS before the greeting --------------------------------------------------------

    def _read_proxy(self) -> None:
        shared = self._shared
        try:
            found = read_proxy(bytes(self._buffer))
        except BadProxyHeader:
            shared.refused += 1
            self._leave("proxy")
            return
        if found is None:
            return
        del self._buffer[: found.length]
        self._proxied = False
        # A proxy that speaks for itself, or for an unknown client, is trusted with nothing.
        near = found.address in shared.config.relay_networks
        address = found.address or self.peer.address
        if shared.config.tls == "implicit":
            self._encrypt(address, near)
        else:
            self._open(address, near, "")
            self._go_on([])

    def _encrypt(self, address: str, near: bool) -> None:
        """Handshakes count as connections: who has no place is let go without one, and unheard."""
        shared = self._shared
        if len(shared.sessions) <= shared.config.connections_max:
            self._seat = shared.clients.enter(address)
        if self._seat is None:
            shared.refused += 1
            self._leave("refused")
            return
        self._busy = True
        self._task = self.loop.create_task(self._encrypt_then_open(address, near))

    async def _encrypt_then_open(self, address: str, near: bool) -> None:
        first = bytes(self._buffer)
        self._buffer.clear()
        try:
            tls = await self.start_tls(first)
        except OSError:
            self.tls_failed()
            return
        finally:
            self._task = None
            self._busy = False
        self._open(address, near, tls)
        self._go_on([])

    async def start_tls(self, first: bytes = b"") -> str:
        shared = self._shared
        transport: Any = self.transport
        assert shared.tls_context is not None
        transport.pause_reading()  # the next bytes are the handshake's
        self.transport, tls = await secure(
            self.loop,
            transport,
            self,
            shared.tls_context,
            shared.config.handshake_timeout_s,
            first,
        )
        self._choked = False  # what the old transport said is of no concern
        self._reading = True
        return tls

    def tls_failed(self) -> None:
        transport: Any = self.transport
        self._reason = self._reason or "tls"
        if transport is not None:
            transport.abort()
        self.connection_lost(None)  # which of the transports would tell depends on the loop

    # -- time -------------------------------------------------------------------------------------

    def sweep(self, now: float) -> None:
        """Close what has been silent or slow for too long; ``now`` on any monotonic axis."""
        if self._reason:
            transport: Any = self.transport
            if self._watch.lingered(now) and transport is not None:
                transport.abort()
            return
        reply = self._watch.look(
            now,
            bytes_in=self._received,
            lines=self._lines,
            busy=self._busy and self._asked is None,
            body=self._body is not None,
            handshake=self._proxied,
            open_transaction=self._transaction.envelope is not None,
            crowded=self._shared.crowded,
        )
        if reply is not None:
            self._shared.timeouts += 1
            self._reason = "timeout"
            if self._opened:
                self._write(self.refuse(reply, "timeout"))
            self._drop_body()
            self._leave("timeout")
