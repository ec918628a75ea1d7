"""Who is at the other end: aiosmtpd's session object, with what relaying depends on."""

from __future__ import annotations

import asyncio
from typing import Any

from aiosmtpd.smtp import Session as BaseSession

from penstock.intake.accept import Origin
from penstock.intake.auth import Account
from penstock.intake.control import ANYTHING
from penstock.intake.defaults import NOTHING, Defaults
from penstock.intake.networks import LOOPBACK


class Peer(BaseSession):
    """``address`` is the client's, behind any proxy; ``near``: within the networks that may relay;
    ``trusted``: may relay, by its address or its account; ``tls`` is ``""`` or version and cipher;
    ``defaults``: what its mail says of itself unless it says otherwise.

    A new one is made when TLS starts, since nothing said before counts (RFC 3207 4.2).
    """

    # aiosmtpd's is a property that logs a warning at every use.
    login_data: Any = None

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        address: str,
        *,
        near: bool = False,
        tls: str = "",
        defaults: Defaults = NOTHING,
    ) -> None:
        super().__init__(loop)
        self.peer = address
        self.address = address
        self.near = near
        self.tls = tls
        self.account: Account | None = None
        self.trusted = near
        self.defaults = defaults
        self._origin: Origin | None = None

    @property
    def private(self) -> bool:
        """Nobody on the way can read passwords."""
        return bool(self.tls) or self.address in LOOPBACK

    def greeted(self, name: str) -> None:
        self.host_name = name
        self._origin = None

    def logged_in(self, account: Account) -> None:
        self.account = account
        self.trusted = True
        self.defaults = account.defaults.over(self.defaults)
        self._origin = None

    @property
    def origin(self) -> Origin:
        if self._origin is None:
            self._origin = Origin(
                helo=self.host_name or "",
                address=self.address,
                extended=self.extended_smtp,
                tls=self.tls,
                authenticated=self.account is not None,
                trusted=self.trusted,
                permit=self.account.permit if self.account is not None else ANYTHING,
            )
        return self._origin
