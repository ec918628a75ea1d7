"""The SMTP listeners of a worker."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Collection, Sequence

from penstock.intake.auth import Authenticator
from penstock.intake.listener import Listener, serve
from penstock.intake.ports import Observer, Reception, Sink
from penstock.settings.intake import SmtpSettings
from penstock.settings.models import Settings
from penstock.suppression.screen import Screen
from penstock.worker import parts


class SmtpListeners:
    """One for each ``[[smtp]]``, on the sockets that the supervisor bound. ``reception(number)``
    makes what the listener of that number takes if its role is ``feedback``."""

    def __init__(
        self,
        sink: Sink,
        observer: Observer,
        *,
        now: Callable[[], float],
        pools: Callable[[], Collection[str]],
        reception: Callable[[int], Reception],
        screen: Screen | None,
    ) -> None:
        self._sink, self._observer, self._now = sink, observer, now
        self._pools, self._reception, self._screen = pools, reception, screen
        self._listeners: list[Listener] = []
        self._authenticators: list[Authenticator | None] = []

    async def start(self, settings: Settings, sockets: Sequence[int]) -> None:
        for number, (fd, smtp) in enumerate(zip(sockets, settings.smtp, strict=True)):
            bound = socket.socket(fileno=fd)  # ours alone: closed, we hold the port no more
            bound.setblocking(False)
            authenticator = parts.authenticator(smtp)
            reception = self._reception(number) if smtp.role == "feedback" else None
            self._authenticators.append(authenticator)
            self._listeners.append(
                await serve(
                    bound,
                    parts.listener_config(settings, smtp),
                    self._sink,
                    self._observer,
                    authenticator=authenticator,
                    clock=self._now,
                    pools=self._pools,
                    reception=reception,
                    screen=self._screen,
                )
            )

    def reload(
        self, smtp: Sequence[SmtpSettings], contexts: Sequence[ssl.SSLContext | None]
    ) -> None:
        """Certificates and accounts of the same listeners."""
        for listener, context in zip(self._listeners, contexts, strict=False):
            if context is not None:
                listener.reload_tls(context)
        for authenticator, one in zip(self._authenticators, smtp, strict=False):
            if authenticator is not None:
                authenticator.replace(parts.accounts(one))

    async def close(self, deadline_s: float) -> None:
        await asyncio.gather(*(listener.close(deadline_s) for listener in self._listeners))
