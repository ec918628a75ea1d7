"""Permission to send, as the relay asks for it.

A *claim* is one rate that a message counts against (its source and site, its provider, a route); a
*seat* is one connection limit. What is granted is granted on all claims or on none. Keys are the
caller's; the newest rate or limit given for a key wins, so that a reloaded policy holds at once.

A claim on bytes (:class:`~penstock.policy.rate.ByteRate`) admits as many messages as are asked for
while nothing is owed; what they weigh is spent afterwards, and whoever asks next waits for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from penstock.limits.use import Use, UseKey
from penstock.policy.rate import Rate


class Claim(NamedTuple):
    key: str
    rate: Rate


class Seat(NamedTuple):
    key: str
    limit: int


class Grant(NamedTuple):
    """``granted`` 0: ask again at ``retry_at``, on the limiter's clock; else that is 0.0. ``key``
    is what refused: the claim that is waited for longest, or the first seat that was not free."""

    granted: int
    retry_at: float
    key: str = ""


ONE = Grant(1, 0.0)  # what is granted most often: made once


class Limiter(Protocol):
    """Keys within one call are distinct; ``want`` and ``n`` are at least 1.

    ``try_messages`` and ``try_connect`` answer at once where no other process need be asked, and
    are ``None`` where the awaited form must be used.
    """

    def try_messages(self, claims: Sequence[Claim], want: int) -> Grant | None: ...

    async def messages(self, claims: Sequence[Claim], want: int) -> Grant:
        """``n <= want`` tokens of every claim, or 0 and the time to ask again."""
        ...

    def give_back(self, claims: Sequence[Claim], n: int) -> None:
        """Tokens that were granted and not used."""
        ...

    def spend(self, claims: Sequence[Claim], n: int) -> None:
        """What was granted weighed ``n`` bytes: charged to those of ``claims`` that count bytes."""
        ...

    def try_connect(self, seats: Sequence[Seat]) -> Grant | None: ...

    async def connect(self, seats: Sequence[Seat]) -> Grant:
        """1, and every seat is taken until :meth:`disconnect`; or 0."""
        ...

    def disconnect(self, seats: Sequence[Seat]) -> None: ...

    async def uses(self, keys: Sequence[UseKey]) -> dict[UseKey, Use]:
        """How much of each is in use, those left out that nothing is known of; ``ValueError`` for
        more than :data:`~penstock.limits.use.KEYS_MAX`."""
        ...

    def stats(self) -> dict[str, float]: ...
