"""Opportunistic TLS: encrypt where the peer can, verify nothing, and remember who cannot.

A peer that offers STARTTLS and then breaks the handshake is worse than one that does not offer it:
each connection would cost a failed attempt. So a broken handshake is remembered for a while, per
host, and mail goes in the clear meanwhile.
"""

from __future__ import annotations

import ssl
from collections import OrderedDict
from collections.abc import Callable
from typing import Literal

from penstock.relay.resumption import ResumingContext, SessionKey, TlsSessions

Handshake = Literal["ok", "resumed", "failed"]


def opportunistic_context() -> ResumingContext:
    """TLS 1.2 or better, no verification (RFC 7435): against whoever only listens."""
    context = ResumingContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # a weak key is still better than the plain text that refusing it would lead to
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    return context


class TlsMemory:
    """Hosts whose handshake broke lately. ``now`` is seconds on any one monotonic axis.

    ``sessions``: what hosts may resume; ``handshook`` is told how each handshake ended.

    That a host's TLS is broken is the host's doing and known to all sources at once. A session is
    of one source only: a host may tie it to the address of the client, where another that brings
    it costs a handshake, and one that names the same session from many addresses tells every
    host along the way that these belong together.
    """

    def __init__(
        self,
        *,
        keep_s: float = 3600.0,
        entries_max: int = 10_000,
        contexts_max: int = 1000,
        sessions: TlsSessions | None = None,
        handshook: Callable[[Handshake], None] = lambda _: None,
    ) -> None:
        self.sessions = sessions or TlsSessions()
        self.handshook = handshook
        self._contexts: OrderedDict[tuple[str, str], ResumingContext] = OrderedDict()
        self._contexts_max = contexts_max
        self._keep_s = keep_s
        self._entries_max = entries_max
        self._until: OrderedDict[str, float] = OrderedDict()
        self._broken = 0

    def broke(self, host: str, now: float) -> None:
        self._broken += 1
        self._until[host] = now + self._keep_s
        self._until.move_to_end(host)
        if len(self._until) > self._entries_max:
            self._until.popitem(last=False)

    def context(self, policy: str, source: str = "") -> ssl.SSLContext:
        """The one of this policy and source, which no other shares; it offers what ``sessions``
        has. The longest unused is dropped first."""
        context = self._contexts.get((policy, source))
        if context is None:
            context = self._contexts[policy, source] = opportunistic_context()
            context.offer = lambda host: self.sessions.peek(SessionKey(policy, host, source))
            if len(self._contexts) > self._contexts_max:
                self._contexts.popitem(last=False)
        self._contexts.move_to_end((policy, source))
        return context

    def usable(self, host: str, now: float) -> bool:
        """Whether STARTTLS is worth trying with this host."""
        until = self._until.get(host)
        if until is None:
            return True
        if until > now:
            return False
        del self._until[host]
        return True

    def stats(self) -> dict[str, float]:
        return {
            "entries": len(self._until),
            "entries_max": self._entries_max,
            "broken": self._broken,
        }
