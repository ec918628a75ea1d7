"""What intake asks of the engine (``Sink``) and tells it (``Observer``).

Intake hands over complete, checked messages and waits for the commit; it knows no queue. An
observer hears of what happened; its methods must be cheap and must not raise.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from penstock.mail.envelope import Envelope
from penstock.smtp.reply import Reply


class Refused(Exception):
    """The sink does not take the message; ``reply`` is what the client is told."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


class Sink(Protocol):
    """Where accepted messages go."""

    def refusal(self) -> Reply | None:
        """``None`` while messages are welcome, else why not: ``452 4.3.1`` (disk), ``421 4.3.2``
        (too much queued in memory, or shutting down). Asked at every MAIL: must be cheap."""
        ...

    def reserve(self, recipients: int) -> int:
        """A number for ``Envelope.ref``; the recipients get it and those that follow."""
        ...

    def submit(self, envelope: Envelope, body: list[bytes]) -> asyncio.Future[None]:
        """Store the message; the future resolves once it is durable. One future may serve many
        messages: it is never cancelled by intake. Raises or resolves with :class:`Refused`."""
        ...


class Reception(Protocol):
    """What a listener that is no relay takes; see :mod:`penstock.intake.reception`."""

    def admit(self, address: str, client: str) -> Reply | None:
        """``None`` for an address that is taken from anybody, else what its sender is told."""
        ...

    def take(self, envelope: Envelope, content: bytes) -> asyncio.Future[None]:
        """As :meth:`Sink.submit`."""
        ...


class Observer(Protocol):
    """``client`` is an address without port; ``phase`` the verb answered, in lower case, or
    ``"connect"``, ``"message"``, ``"timeout"``."""

    def on_connect(self, client: str) -> None: ...

    def on_close(self, client: str, reason: str) -> None:
        """``reason``: ``"quit"``, ``"lost"``, ``"refused"``, ``"timeout"``, ``"errors"``,
        ``"shutdown"``, ``"tls"`` or ``"proxy"``."""
        ...

    def on_accept(self, envelope: Envelope, size: int) -> None:
        """After the commit. ``size``: bytes of the content as it came."""
        ...

    def on_reject(
        self, reply: Reply, phase: str, client: str, account: str = "", tenant: str = ""
    ) -> None:
        """Every negative reply, whatever it was about. ``account`` and ``tenant``: whose session it
        is, where that is known."""
        ...

    def on_auth(self, client: str, account: str, reason: str) -> None:
        """``account``: the name if it is known, else ``""``. ``reason``: ``""`` for a success, else
        ``"password"``, ``"guessing"`` (refused unheard after too many failures) or ``"busy"``."""
        ...

    def on_error(self, error: BaseException, phase: str) -> None:
        """Something failed that should not; the client was told ``451 4.3.0``."""
        ...


class NoObserver:
    """Hears everything and says nothing."""

    def on_connect(self, client: str) -> None:
        return

    def on_close(self, client: str, reason: str) -> None:
        return

    def on_accept(self, envelope: Envelope, size: int) -> None:
        return

    def on_reject(
        self, reply: Reply, phase: str, client: str, account: str = "", tenant: str = ""
    ) -> None:
        return

    def on_auth(self, client: str, account: str, reason: str) -> None:
        return

    def on_error(self, error: BaseException, phase: str) -> None:
        return
