"""An SMTP listener: a bound socket, its sessions, and the sweep that keeps their time."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Callable, Collection
from contextlib import suppress

from penstock.intake.auth import Authenticator
from penstock.intake.config import ListenerConfig
from penstock.intake.control import no_pools
from penstock.intake.ports import NoObserver, Observer, Reception, Sink
from penstock.intake.session import Session
from penstock.intake.shared import Shared
from penstock.suppression.screen import Screen

__all__ = ["Listener", "ListenerConfig", "serve"]


class Listener:
    """Made by :func:`serve`."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.TimerHandle | None = None

    async def start(self, sock: socket.socket) -> None:
        shared = self._shared
        config = shared.config
        # TLS from the first byte is begun by the session too: so its handshakes count as sessions.
        self._server = await shared.loop.create_server(
            lambda: Session(shared),
            sock=sock,
            backlog=config.backlog,
        )
        self._sweep_later()

    def _sweep_later(self) -> None:
        self._sweeper = self._shared.loop.call_later(self._shared.config.sweep_s, self._tick)

    def _tick(self) -> None:
        self.sweep(self._shared.loop.time())
        self._sweep_later()

    def sweep(self, now: float) -> None:
        """Look at the time of every session."""
        for session in list(self._shared.sessions):
            session.sweep(now)

    def stats(self) -> dict[str, float]:
        return self._shared.stats()

    def reload_tls(self, context: ssl.SSLContext) -> None:
        """Handshakes from now on use the certificate of ``context``."""
        shared = self._shared
        if shared.config.tls_context is None:
            raise ValueError("this listener has no TLS")
        shared.tls_context = context

    async def close(self, deadline_s: float) -> None:
        """Stop accepting, tell idle clients, and wait for running messages up to ``deadline_s``
        seconds from now; what is left then is cut off."""
        shared = self._shared
        shared.draining = True
        if self._server is not None:
            self._server.close()
        for session in list(shared.sessions):
            session.shut_down()
        shared.empty.clear()
        if shared.sessions:
            with suppress(TimeoutError):
                await asyncio.wait_for(shared.empty.wait(), deadline_s)
        if self._sweeper is not None:
            self._sweeper.cancel()
        for session in list(shared.sessions):
            session.cut_off()
        await asyncio.sleep(0)  # for the transports to report


async def serve(
    sock: socket.socket,
    config: ListenerConfig,
    sink: Sink,
    observer: Observer | None = None,
    *,
    authenticator: Authenticator | None = None,
    clock: Callable[[], float] = time.time,
    pools: Callable[[], Collection[str]] = no_pools,
    reception: Reception | None = None,
    screen: Screen | None = None,
) -> Listener:
    """Serve ``sock`` (bound; it becomes the listener's). ``clock``: seconds since the epoch;
    ``pools``: the names that ``X-Penstock-Pool`` may give, asked for each time; with ``reception``
    all mail is that one's; ``screen``: the suppression list, where it is looked at."""
    loop = asyncio.get_running_loop()
    shared = Shared(
        config,
        sink,
        observer or NoObserver(),
        loop,
        authenticator=authenticator,
        clock=clock,
        pools=pools,
        reception=reception,
        screen=screen,
    )
    listener = Listener(shared)
    await listener.start(sock)
    return listener
