"""Our side of TLS on what listens: modern, and with the certificate that the files hold now.

Certificates live for weeks and are renewed by programs that tell nobody. So each context looks at
its files from time to time and takes up what is new; handshakes under way and connections that are
open keep what they began with. Files that do not fit together, as between the writing of the one
and of the other, are left alone until they do.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import weakref
from contextlib import suppress

import structlog

log = structlog.get_logger("penstock.intake")
LOOK_S = 10.0
# Whoever gets our key tomorrow cannot read what was sent today. TLS 1.3 has no other ciphers.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:!aNULL"
_Stamp = tuple[tuple[int, int, int], ...]


class ServerContext(ssl.SSLContext):
    """TLS 1.2 or better with the certificate and key in these PEM files."""

    certificate: str
    key: str
    _stamp: _Stamp

    def look(self) -> bool:
        """Take up what the files hold now; whether that was something new."""
        with suppress(OSError):
            stamp = _stamps(self.certificate, self.key)
            if stamp == self._stamp:
                return False
            self._stamp = stamp
            try:
                _plain_context(self.certificate, self.key)  # first where it does no harm
                self.load_cert_chain(self.certificate, self.key)
            except OSError as error:
                log.error("certificate", file=self.certificate, taken=False, error=str(error))
                return False
            log.info("certificate", file=self.certificate, taken=True)
            return True
        return False


def server_context(certificate: str, key: str) -> ServerContext:
    """Raises ``OSError`` where the files cannot be used. Within a running loop it looks after its
    files by itself, for as long as somebody has it."""
    context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
    context.certificate, context.key = certificate, key
    context._stamp = _stamps(certificate, key)
    _set_up(context, certificate, key)
    with suppress(RuntimeError):
        _look_later(asyncio.get_running_loop(), weakref.ref(context))
    return context


def _look_later(
    loop: asyncio.AbstractEventLoop, watched: weakref.ReferenceType[ServerContext]
) -> None:
    def look() -> None:
        context = watched()
        if context is not None:
            context.look()
            del context
            loop.call_later(LOOK_S, look)

    loop.call_later(LOOK_S, look)


def _plain_context(certificate: str, key: str) -> ssl.SSLContext:
    return _set_up(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), certificate, key)


def _set_up(context: ssl.SSLContext, certificate: str, key: str) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.load_cert_chain(certificate, key)
    return context


def _stamps(*paths: str) -> _Stamp:
    found = map(os.stat, paths)
    return tuple((one.st_mtime_ns, one.st_size, one.st_ino) for one in found)
