"""TLS on the way out: its contexts, the sessions to resume, and the hosts where it is broken.

Opportunistic TLS encrypts where the peer can and verifies nothing. A peer that offers STARTTLS and
then breaks the handshake is worse than one that does not offer it: each connection would cost a
failed attempt. So a broken handshake is remembered for a while, per host, and opportunistic mail
goes in the clear meanwhile. Mail under a stricter demand does not ask this memory anything.
"""

from __future__ import annotations

import ssl
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from penstock.relay.resumption import ResumingContext, TlsSessions
from penstock.relay.tls_demand import MinVersion

HandshakeEnd = Literal["ok", "resumed", "failed"]
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Paths of PEM files. ``ca``: whom we trust, the system's authorities where it is empty;
    ``certificate`` and ``key``: what hosts are shown that ask for a certificate."""

    ca: str = ""
    certificate: str = ""
    key: str = ""


def client_context(
    *, verify: bool, min_version: MinVersion = "1.2", files: TlsFiles | None = None
) -> ResumingContext:
    """For connections to mail hosts. Raises ``OSError`` where the files cannot be used.

    Without ``verify`` it is of no interest who the host is (RFC 7435): against whoever only
    listens. With it, its certificate must be good and for its name (RFC 6125, no common names).
    """
    files = files or TlsFiles()
    context = ResumingContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = _VERSIONS[min_version]
    if verify:
        context.hostname_checks_common_name = False
        if files.ca:
            context.load_verify_locations(files.ca)
        else:
            context.set_default_verify_paths()
        context.watch()
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        # a weak key is still better than the plain text that refusing it would lead to
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
    if files.certificate:
        context.load_cert_chain(files.certificate, files.key or None)
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
        sessions: TlsSessions | None = None,
        handshook: Callable[[HandshakeEnd], None] = lambda _: None,
        files: TlsFiles | None = None,
    ) -> None:
        self.sessions = sessions or TlsSessions()
        self.handshook = handshook
        self._files = files or TlsFiles()
        self._contexts: dict[tuple[bool, MinVersion], ResumingContext] = {}
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

    def context(self, verify: bool = False, min_version: MinVersion = "1.2") -> ResumingContext:
        """There are as few as four; a trust store is large. What is resumed with whom, and seen
        from where, ``sessions`` knows. Raises ``OSError`` where our own files cannot be used."""
        context = self._contexts.get((verify, min_version))
        if context is None:
            context = client_context(verify=verify, min_version=min_version, files=self._files)
            self._contexts[verify, min_version] = context
        return context

    def reload(self, files: TlsFiles) -> None:
        """Read again whom we trust, and our own certificate."""
        self._files = files
        self._contexts.clear()

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
