"""Access by key, or without one where that is harmless: how a worker's listeners admit.

A client is known by its address, or behind one of our proxies by what that says. A wrong key is
answered slowly, and the slower the more of them one client has sent; a good key never waits.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from starlette.types import Scope

from penstock.api.access import Caller
from penstock.api.charges import Charges
from penstock.api.keys import SCOPES, BadKey, Key, KeyRing
from penstock.api.measures import Measures
from penstock.api.problem import Problem
from penstock.intake.guesses import Guesses
from penstock.intake.networks import LOOPBACK, client_key, plain_address
from penstock.unsubscribe.clients import client_of

_SLOWED_MAX: Final = 100
_LOCAL_HOSTS: Final = frozenset({b"localhost", b"127.0.0.1", b"[::1]"})
_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="penstock"'}
_BAD: Final = {"WWW-Authenticate": 'Bearer realm="penstock", error="invalid_token"'}


@dataclass(frozen=True, slots=True)
class AdmissionConfig:
    """``networks``: who may connect, empty for all; ``proxies``: who is believed in
    X-Forwarded-For; ``sandbox``: clients on this machine need no key."""

    networks: Collection[IPv4Network | IPv6Network] = ()
    proxies: Collection[IPv4Network | IPv6Network] = ()
    sandbox: bool = False
    guesses: Guesses = field(default_factory=lambda: guesses(5.0))


def guesses(delay_max_s: float) -> Guesses:
    """Clients with wrong keys, forgotten ten minutes after the last of them."""
    return Guesses(
        delay_s=min(0.1, delay_max_s), delay_max_s=delay_max_s, forget_s=600.0, keys_max=10_000
    )


class KeyAccess:
    """``now`` is the time of day, by which keys expire; ``monotonic`` what failures are forgotten
    by; ``sleep`` is asyncio's."""

    def __init__(
        self,
        ring: KeyRing,
        config: AdmissionConfig,
        charges: Charges,
        measures: Measures,
        *,
        now: Callable[[], float],
        monotonic: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._ring, self.config, self._charges, self._measures = ring, config, charges, measures
        self._now, self._monotonic, self._sleep = now, monotonic, sleep
        self._slowed = 0

    async def admit(self, scope: Scope) -> Caller:
        given, forwarded, host, cross_site = _read(scope["headers"])
        peer = plain_address(scope.get("client"))
        client = peer
        if self.config.proxies:
            client = client_of(peer, forwarded.decode("latin-1"), self.config.proxies)
        if self.config.networks and not _within(client, self.config.networks):
            self._measures.refused("network")
            raise Problem(403, "network-refused", f"Nobody is let in from {client}.")
        if given is None:
            return self._keyless(client, host, cross_site)
        key = await self._key(given, client)
        if key.networks and not _within(client, key.networks):
            self._measures.refused("network")
            raise Problem(403, "network-refused", f"The key {key.id} is not good from {client}.")
        if key.limits.requests is not None:
            try:
                await self._charges.request(key.id, key.limits)
            except Problem:
                self._measures.refused("rate")
                raise
        return Caller(key.id, key.tenant, key.scopes, client, key.limits, key.request_bytes_max)

    def _keyless(self, client: str, host: bytes, cross_site: bool) -> Caller:
        """Programs on this machine, in the sandbox. A page in a browser here is somebody else's
        program, even where its own name leads to this machine."""
        local = host.rpartition(b":")[0] if host.rpartition(b":")[2].isdigit() else host
        if (
            self.config.sandbox
            and client in LOOPBACK
            and not cross_site
            and (not local or local.lower() in _LOCAL_HOSTS)
        ):
            return Caller("", "", frozenset(SCOPES), client)
        self._measures.refused("missing")
        raise Problem(
            401,
            "key-missing",
            "Send the header Authorization: Bearer psk_... with a key; penstock key create makes "
            "one.",
            headers=_CHALLENGE,
        )

    async def _key(self, given: bytes, client: str) -> Key:
        try:
            return self._ring.find(given, self._now())
        except BadKey as error:
            self._measures.refused(error.reason)
            detail = str(error)
        await self._slow_down(client)
        raise Problem(401, "key-refused", detail, headers=_BAD)

    async def _slow_down(self, client: str) -> None:
        """Only so many wait at once: more would be a way to hold connections."""
        guesses, key, now = self.config.guesses, client_key(client), self._monotonic()
        guesses.failed(key, now)
        if self._slowed >= _SLOWED_MAX:
            return
        self._slowed += 1
        try:
            await self._sleep(guesses.delay(guesses.count(key, now)))
        finally:
            self._slowed -= 1


def _within(client: str, networks: Collection[IPv4Network | IPv6Network]) -> bool:
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return False
    return any(address in network for network in networks)


def _read(headers: Collection[tuple[bytes, bytes]]) -> tuple[bytes | None, bytes, bytes, bool]:
    """Authorization, X-Forwarded-For, Host, and whether a browser sent it for another site."""
    given, forwarded, host, cross_site = None, b"", b"", False
    for name, value in headers:
        if name == b"authorization":
            given = value
        elif name == b"x-forwarded-for":
            forwarded += b"," + value if forwarded else value
        elif name == b"host":
            host = value
        elif name == b"origin" or (name == b"sec-fetch-site" and value != b"none"):
            cross_site = True
    return given, forwarded, host, cross_site
