"""TLS sessions of earlier connections, so that the next one need not be agreed upon from nothing.

A full handshake costs the peer a signature and us the reading of its certificates; a resumed one
does neither (RFC 8446 section 2.2, RFC 5077). What the peer gave us is kept per host and offered
until it is too old or refused: copying a session out of OpenSSL costs as much as half a handshake.
A peer that no longer knows it does a full handshake by itself.

A session can be offered only through the context that it came from, and each policy has a context
of its own: none is resumed under another, so that one of a host that was verified is of that host.
"""

from __future__ import annotations

import ssl
from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple
from weakref import WeakKeyDictionary

_MESSAGE_CERTIFICATE = 11  # RFC 8446 4


@dataclass(slots=True)
class Handshake:
    """One that is to come. ``session``: offered to the host; ``certificate``: what it showed, DER,
    where its context watches."""

    session: ssl.SSLSession | None = None
    certificate: bytes = b""


class ResumingContext(ssl.SSLContext):
    """A client's context for handshakes that may resume a session."""

    _under_way: WeakKeyDictionary[ssl.SSLObject, Handshake] | None = None

    def watch(self) -> None:
        """Note the certificate of each host: OpenSSL tells nobody of one that it refuses."""
        self._under_way = WeakKeyDictionary()
        if hasattr(self, "_msg_callback"):
            self._msg_callback = self._message

    def begin(
        self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, host: str, handshake: Handshake
    ) -> ssl.SSLObject:
        """OpenSSL's side of ``handshake``, which asks for ``host``, a name or an address."""
        session = handshake.session
        try:
            made = self.wrap_bio(incoming, outgoing, False, host, session)
        except ValueError:
            if session is None:
                raise
            # of a context that was dropped and made anew since
            made = self.wrap_bio(incoming, outgoing, False, host)
        if self._under_way is not None:
            self._under_way[made] = handshake
        return made

    def _message(
        self,
        connection: ssl.SSLObject,
        direction: str,
        version: object,
        content_type: object,
        message_type: object,
        data: bytes,
    ) -> None:
        if direction == "read" and message_type == _MESSAGE_CERTIFICATE and self._under_way:
            handshake = self._under_way.get(connection)
            if handshake is not None:
                handshake.certificate = first_certificate(data)


def first_certificate(message: bytes) -> bytes:
    """The host's own certificate in a Certificate message (RFC 8446 4.4.2; RFC 5246 7.4.2, which
    has no context before the list); empty where it is none."""
    if len(message) < 10 or message[0] != _MESSAGE_CERTIFICATE:
        return b""
    list_at = 5 if int.from_bytes(message[5:8], "big") + 8 == len(message) else 4
    start = list_at + 6
    size = int.from_bytes(message[start - 3 : start], "big")
    return message[start : start + size] if start + size <= len(message) else b""


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

    def keep(
        self, key: SessionKey, session: ssl.SSLSession, now: float, good_s: float = float("inf")
    ) -> None:
        """Unless the host has been found not to stand it. ``good_s``: how much longer what was
        verified holds."""
        kept = self._kept.get(key)
        if kept is None or kept[0] is not None:
            self._put(key, session, now + min(self._keep_s, session.timeout, good_s))

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
