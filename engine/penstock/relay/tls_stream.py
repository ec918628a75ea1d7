"""TLS over an established connection: OpenSSL's engine between two pieces of memory, and a socket.

asyncio's and uvloop's own TLS serves any use, and costs a message more than its encryption does: it
queues what is written, reads until OpenSSL says that there is nothing more, and keeps a quarter of
a MiB for each connection. Mail needs less. A reply is one record, so what came is decrypted and
passed on at once; what is written is encrypted and goes to the socket in the same call.

Either side of TLS may have to speak before the other may: the peer may want new keys (RFC 8446
section 4.6.3; RFC 5246 section 7.4.1.1). OpenSSL answers that while it reads, and what it does not
encrypt until the peer has answered waits here.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

RECORD_MAX = 16 << 10  # RFC 8446 section 5.1
_RECEIVED = memoryview(bytearray(64 << 10))  # one for all connections: it is empty between calls
_OF_ENGINE: Mapping[str, Callable[[ssl.SSLObject], Any]] = MappingProxyType(
    {
        "ssl_object": lambda engine: engine,
        "sslcontext": lambda engine: engine.context,
        "cipher": lambda engine: engine.cipher(),
        "peercert": lambda engine: engine.getpeercert(),
    }
)


class TlsStream(asyncio.BufferedProtocol, asyncio.Transport):
    """The protocol of the socket's transport ``raw``, and the transport of ``protocol``.

    ``engine`` reads from ``incoming`` and writes to ``outgoing``. ``protocol`` has been connected
    before; it hears of data, of when to write, and of the end.
    """

    def __init__(
        self,
        raw: asyncio.Transport,
        protocol: asyncio.Protocol,
        engine: ssl.SSLObject,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
    ) -> None:
        super().__init__()
        self._raw, self._protocol = raw, protocol
        self._engine, self._incoming, self._outgoing = engine, incoming, outgoing
        self._agreed = asyncio.get_running_loop().create_future()
        self._waits: deque[bytes] = deque()
        self._closing = self._full = False
        self._error: Exception | None = None

    async def handshake(self) -> None:
        """Take the socket over and agree upon keys.

        Raises ``ssl.SSLError``, or ``ConnectionError`` where the peer closes meanwhile. The caller
        limits the time, and closes the connection where that is over.
        """
        self._raw.pause_reading()  # how it reads is settled when it starts
        self._raw.set_protocol(self)
        self._raw.resume_reading()
        self._shake()
        await self._agreed

    # the protocol of the socket

    def get_buffer(self, sizehint: int) -> memoryview:
        return _RECEIVED

    def buffer_updated(self, nbytes: int) -> None:
        self._incoming.write(_RECEIVED[:nbytes])
        if self._agreed.done() or self._shake():
            self._read()

    def eof_received(self) -> bool:
        if self._agreed.done() and not self._closing:
            self._protocol.eof_received()
        return False  # half a connection is of no use

    def pause_writing(self) -> None:
        self._full = True
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._full = False
        if not self._waits:
            self._protocol.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        exc = self._error or exc
        if not self._agreed.done():
            self._agreed.set_exception(exc or ConnectionResetError("lost during the handshake"))
        self._protocol.connection_lost(exc)

    # the transport of the mail

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._closing or not data:
            return
        if self._waits:
            self._waits.append(bytes(data))
        else:
            self._encrypt(data)
        self._flush()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.write(b"".join(list_of_data))  # one record, not one for each

    def get_write_buffer_size(self) -> int:
        """Bytes, of which those that are encrypted already are a little longer."""
        return self._raw.get_write_buffer_size() + sum(map(len, self._waits))

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        of_engine = _OF_ENGINE.get(name)
        if of_engine is not None:
            return of_engine(self._engine)
        return self._raw.get_extra_info(name, default)

    def is_closing(self) -> bool:
        return self._closing or self._raw.is_closing()

    def close(self) -> None:
        """Say that this was all (RFC 8446 section 6.1), and wait for no answer."""
        if self._closing:
            return
        with contextlib.suppress(ssl.SSLError):  # it wants to read the answer
            self._engine.unwrap()
        self._end()

    def abort(self) -> None:
        self._closing = True
        self._raw.abort()

    # between them

    def _shake(self) -> bool:
        """The next step of the handshake; whether it was the last one."""
        if self._closing:
            return False
        try:
            self._engine.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return False
        except ssl.SSLError as error:
            self._agreed.set_exception(error)
            self._fail(error)
            return False
        self._flush()
        self._agreed.set_result(None)
        return True

    def _read(self) -> None:
        engine, incoming = self._engine, self._incoming
        while not self._closing:
            try:
                data = engine.read(RECORD_MAX)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLError as error:
                self._fail(error)
                return
            if not data:
                self._protocol.eof_received()
                self.close()
                return
            self._protocol.data_received(data)
            if not incoming.pending and not engine.pending():
                break  # to ask once more would raise
        if self._waits:
            self._go_on()
        self._flush()  # what OpenSSL had to say by itself

    def _go_on(self) -> None:
        waits = [*self._waits]
        self._waits.clear()
        for number, data in enumerate(waits):
            self._encrypt(data)
            if self._waits:
                self._waits.extend(waits[number + 1 :])
                return
        if not self._full:
            self._protocol.resume_writing()

    def _encrypt(self, data: bytes | bytearray | memoryview) -> None:
        """What is not taken now waits: it has to be the very same the next time."""
        done = 0
        try:
            done = self._engine.write(data)
            while done < len(data):  # a record a call
                done += self._engine.write(memoryview(data)[done:])
        except ssl.SSLWantReadError:
            self._waits.append(bytes(data[done:]))
            self._protocol.pause_writing()  # there is no more room for what would wait as well
        except ssl.SSLError as error:
            self._fail(error)

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._raw.write(self._outgoing.read())

    def _fail(self, error: Exception) -> None:
        self._error = self._error or error
        self._end()  # with the alert that says why

    def _end(self) -> None:
        self._closing = True
        self._flush()
        self._raw.close()
