"""An established connection that carries a feed's transactions: the shell around ``Exchange``.

Events of the transport go straight into the exchange; the task that runs the connection sleeps
until there is nothing left to send. One lazy timer watches the deadline that the exchange names, so
a reply costs no timer of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import cast

from aiosmtplib import SMTPException

from penstock.relay.client import Client, ClientProtocol
from penstock.relay.exchange import Exchange
from penstock.relay.options import ConnectOptions
from penstock.relay.outbox import Outbox
from penstock.relay.ports import Feed
from penstock.smtp.client_reply import ReplyParser

_NEVER = float("inf")
_CHECKS_PER_TIMEOUT = 8  # a timeout is noticed at most an eighth of the shortest one late


class Connection:
    """Made by ``open_connection``; good for one :meth:`run`.

    ``host``, ``address``: the peer; ``tls``: version and cipher, or ``""``; ``peer``: what it
    offers.
    """

    def __init__(
        self,
        client: Client,
        host: str,
        address: str,
        options: ConnectOptions,
        clock: Callable[[], float] | None = None,
        outbox: Outbox | None = None,
    ) -> None:
        protocol = client.protocol
        assert isinstance(protocol, ClientProtocol)
        transport = cast(asyncio.WriteTransport, client.transport)  # uvloop's is no subclass
        self.host, self.address, self.tls = host, address, client.tls
        self.peer = client.peer()
        self.writing = True
        self._client, self._protocol, self._transport = client, protocol, transport
        self._options = options
        self._loop = asyncio.get_running_loop()
        self._clock = clock or self._loop.time
        self._parser = ReplyParser()
        self._exchange: Exchange | None = None
        self._error: Exception | None = None
        self._idle: asyncio.Future[None] | None = None
        self._waiting: asyncio.Task[None] | None = None
        self._interrupted = False
        self._timer: asyncio.TimerHandle | None = None
        shortest = min(options.command_timeout_s, options.data_timeout_s, options.final_timeout_s)
        self._check_s = shortest / _CHECKS_PER_TIMEOUT
        self._outbox = outbox or Outbox(self._loop)
        self._held: Sequence[bytes] = ()

    @property
    def passes_dsn(self) -> bool:
        """Whether the peer takes over delivery status notifications (RFC 3461)."""
        return self.peer.dsn

    @property
    def used(self) -> int:
        """Transactions so far."""
        return self._exchange.used if self._exchange is not None else 0

    async def run(self, feed: Feed) -> None:
        """Carry transactions until the feed ends, the connection is used up, or it breaks.

        Every transaction taken has been reported when this returns, raises or is cancelled. Raises
        only what the feed raised.
        """
        if self._exchange is not None:
            raise RuntimeError("a connection runs once")
        where = (self.host, self.address, self.tls)
        exchange = Exchange(self, feed, self.peer, self._options, self._clock, where)
        self._exchange = exchange
        try:
            if self._protocol.is_connected:
                self._protocol.driver = self
                await self._carry(exchange, feed)
        finally:
            if not exchange.closed and exchange.resting:
                self._say_goodbye()
            exchange.abandon()
            self._protocol.driver = None
            if self._timer is not None:
                self._timer.cancel()
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Close at once; a running :meth:`run` reports what it has and returns."""
        if self._exchange is not None:
            self._guarded(self._exchange.abandon)
        self.drop()

    async def _carry(self, exchange: Exchange, feed: Feed) -> None:
        while await self._turn(exchange, feed):
            pass
        if not exchange.closed:
            self._protocol.driver = None
            self._release()
            with contextlib.suppress(SMTPException, OSError):
                await self._client.quit(timeout=self._options.quit_timeout_s)
            self._client.close()

    async def _turn(self, exchange: Exchange, feed: Feed) -> bool:
        """All that the feed has, then its next word; False: there will be no more."""
        self._idle = self._loop.create_future()
        self._guarded(exchange.ask)
        self._watch()
        await self._idle
        self._idle = None
        return not exchange.closed and not exchange.full and await self._more(feed)

    async def _more(self, feed: Feed) -> bool:
        """``feed.wait()``, ended early where the connection breaks meanwhile."""
        task = asyncio.current_task()
        assert task is not None
        cancels = task.cancelling()
        self._waiting = task
        try:
            return await feed.wait()
        except asyncio.CancelledError:
            if self._interrupted and task.cancelling() == cancels + 1:
                return False
            raise
        finally:
            self._waiting = None
            if self._interrupted:
                self._interrupted = False
                task.uncancel()

    def _say_goodbye(self) -> None:
        """Stopped while idle: QUIT, without waiting for the reply."""
        if not self._transport.is_closing():
            self._protocol.driver = None
            self._transport.write(b"QUIT\r\n")
            self._transport.close()

    # the transport's events

    def data_received(self, data: bytes) -> None:
        replies = self._parser.feed(data)
        exchange = self._exchange
        if replies and exchange is not None:
            try:
                exchange.replies(replies)
            except Exception as error:
                self._fail(error)

    def pause_writing(self) -> None:
        self.writing = False

    def resume_writing(self) -> None:
        self.writing = True
        if self._exchange is not None:
            self._guarded(self._exchange.write_more)

    def connection_lost(self) -> None:
        if self._exchange is not None:
            self._guarded(self._exchange.lost)

    def _guarded(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        """The feed broke its promise and raised: nothing more can be done for it but to stop."""
        self._error = self._error or error
        assert self._exchange is not None
        with contextlib.suppress(Exception):
            self._exchange.abandon()
        self.rest()

    # the exchange's wire

    def write(self, data: bytes) -> None:
        if self._held:
            self._release()
        self._transport.write(data)

    def writelines(self, chunks: Sequence[bytes]) -> None:
        """At the end of this turn of the loop."""
        if self._held:
            self._release()
        self._held = chunks
        self._outbox.put(self._release)

    def _release(self) -> None:
        held, self._held = self._held, ()
        if held and not self._transport.is_closing():
            try:
                self._transport.writelines(held)
            except Exception as error:  # the run raises it; the others are written to
                self._error = self._error or error
                self.drop()

    def unsent(self) -> int:
        return self._transport.get_write_buffer_size() + sum(map(len, self._held))

    def drop(self) -> None:
        self._held = ()
        self._transport.abort()

    def rest(self) -> None:
        if self._idle is not None:
            if not self._idle.done():
                self._idle.set_result(None)
        elif self._waiting is not None and not self._interrupted:
            self._interrupted = True
            self._waiting.cancel()

    # time

    def _watch(self) -> None:
        exchange = self._exchange
        if self._timer is None and exchange is not None and exchange.deadline != _NEVER:
            self._timer = self._loop.call_later(self._check_s, self._check)

    def _check(self) -> None:
        self._timer = None
        exchange = self._exchange
        if exchange is not None and exchange.deadline <= self._clock():
            self._guarded(exchange.timed_out)
        self._watch()
