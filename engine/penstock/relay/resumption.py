"""TLS sessions of earlier connections, so that the next one need not be agreed upon from nothing.

A full handshake costs the peer a signature and us the reading of its certificates; a resumed one
does neither (RFC 8446 section 2.2, RFC 5077). What the peer gave us is kept per host and offered
until it is too old or refused: copying a session out of OpenSSL costs as much as half a handshake.
A peer that no longer knows it does a full handshake by itself.

Neither asyncio nor uvloop lets a caller name a session, but both ask the context for the object of
a handshake, by the name of the host: there it is put in. A session can be offered only through the
context that it came from; each policy and source has a context of its own, so none is resumed under
another.
"""

from __future__ import annotations

import ssl
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple


class ResumingContext(ssl.SSLContext):
    """A client's context that offers a host the session that ``offer`` has for its name."""

    offer: Callable[[str], ssl.SSLSession | None] | None = None

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        if self.offer is not None and isinstance(server_hostname, str):
            session = self.offer(server_hostname)
        try:
            return super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)
        except ValueError:
            if session is None:
                raise
        # of a context that was dropped and made anew since
        return super().wrap_bio(incoming, outgoing, server_side, server_hostname)


def resumable(connection: ssl.SSLObject) -> ssl.SSLSession | None:
    """The session of a connection, once the peer has given what it takes to resume it."""
    session = connection.session
    if session is None:
        return None
    by_id = connection.version() != "TLSv1.3" and session.id
    return session if session.has_ticket or by_id else None


class SessionKey(NamedTuple):
    """``host``: the name, or the address of one that has none; ``source``: what it sees us come
    from."""

    policy: str
    host: str
    source: str = ""


class TlsSessions:
    """The last session of each host, the longest unused dropped first. ``entries_max`` 0: none.

    ``now`` is seconds on any one monotonic axis. The peer's own word on how long its session is
    good for holds where it is shorter than ``keep_s``.
    """

    def __init__(self, *, keep_s: float = 7200.0, entries_max: int = 2000) -> None:
        self._keep_s = keep_s
        self._entries_max = entries_max
        self._kept: OrderedDict[SessionKey, tuple[ssl.SSLSession | None, float]] = OrderedDict()

    def get(self, key: SessionKey, now: float) -> ssl.SSLSession | None:
        """What to offer this host; what is too old is dropped."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        if kept[1] <= now:
            del self._kept[key]
            return None
        self._kept.move_to_end(key)
        return kept[0]

    def peek(self, key: SessionKey) -> ssl.SSLSession | None:
        """The same in the midst of a handshake, which began with :meth:`get`."""
        kept = self._kept.get(key)
        return kept[0] if kept is not None else None

    def keep(self, key: SessionKey, session: ssl.SSLSession, now: float) -> None:
        """Unless the host has been found not to stand it."""
        kept = self._kept.get(key)
        if kept is None or kept[0] is not None:
            self._put(key, session, now + min(self._keep_s, session.timeout))

    def refuse(self, key: SessionKey, now: float) -> None:
        """The handshake broke over it: offer this host none for a while."""
        self._put(key, None, now + self._keep_s)

    def _put(self, key: SessionKey, session: ssl.SSLSession | None, until: float) -> None:
        self._kept[key] = (session, until)
        self._kept.move_to_end(key)
        if len(self._kept) > self._entries_max:
            self._kept.popitem(last=False)

    def stats(self) -> dict[str, float]:
        return {"entries": len(self._kept), "entries_max": self._entries_max}
