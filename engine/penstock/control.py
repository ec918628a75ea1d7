"""Calls between processes of one daemon, and from the command line to it: msgpack over a stream.

A frame is a four-byte length and a msgpack array: ``[0, id, method, params]`` asks, ``[1, id,
result]`` answers, ``[2, id, [code, message]]`` refuses. Both ends of a channel may ask. Everything
is bounded: the frame (``FRAME_BYTES_MAX``) and the calls under way (``CALLS_MAX``).
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import msgpack

FRAME_BYTES_MAX = 64 << 20
CALLS_MAX = 10_000
_LENGTH = struct.Struct(">I")
_ASK, _ANSWER, _REFUSE = 0, 1, 2

Handler = Callable[[str, Any], Any | Awaitable[Any]]


class ControlError(Exception):
    """The other side refused: ``code`` is a word for programs, the message is for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Channel(asyncio.Protocol):
    """One end of a connection. ``call`` asks; ``handler`` answers what the other end asks.

    The handler may return a value or an awaitable of one. ``call`` raises :class:`ControlError`
    when the other end refuses and :class:`ConnectionError` when it is gone.
    """

    def __init__(self, handler: Handler, on_close: Callable[[Channel], None] | None = None) -> None:
        self._handler = handler
        self._on_close = on_close
        self._buffer = bytearray()
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._transport: asyncio.Transport | None = None
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(ConnectionResetError("the control channel was closed"))
        self._waiting.clear()
        for task in self._tasks:
            task.cancel()
        if not self.closed.done():
            self.closed.set_result(None)
        if self._on_close:
            self._on_close(self)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        start = 0
        while len(buffer) - start >= 4:
            (length,) = _LENGTH.unpack_from(buffer, start)
            if length > FRAME_BYTES_MAX:
                self.close()
                return
            if len(buffer) - start - 4 < length:
                break
            frame = bytes(memoryview(buffer)[start + 4 : start + 4 + length])
            start += 4 + length
            try:
                self._take(msgpack.unpackb(frame, strict_map_key=False))
            except (ValueError, TypeError, IndexError, msgpack.UnpackException):
                self.close()  # not our protocol: nothing after it can be trusted
                return
        del buffer[:start]

    def call(self, method: str, params: Any = None) -> asyncio.Future[Any]:
        """Ask the other end; the future carries its result."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self._transport is None or self._transport.is_closing():
            future.set_exception(ConnectionResetError("the control channel is closed"))
        elif len(self._waiting) >= CALLS_MAX:
            future.set_exception(ConnectionError("too many calls under way"))
        else:
            number = next(self._ids)
            self._waiting[number] = future
            self._send([_ASK, number, method, params])
        return future

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _take(self, message: list[Any]) -> None:
        kind, number = message[0], message[1]
        if kind == _ASK:
            self._ask(number, message[2], message[3])
            return
        waiting = self._waiting.pop(number, None)
        if waiting is None or waiting.done():
            return
        if kind == _ANSWER:
            waiting.set_result(message[2])
        else:
            waiting.set_exception(ControlError(message[2][0], message[2][1]))

    def _ask(self, number: int, method: str, params: Any) -> None:
        try:
            result = self._handler(method, params)
        except ControlError as error:
            self._send([_REFUSE, number, [error.code, str(error)]])
            return
        if isinstance(result, Awaitable):
            task = asyncio.ensure_future(self._finish(number, result))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            self._send([_ANSWER, number, result])

    async def _finish(self, number: int, result: Awaitable[Any]) -> None:
        try:
            self._send([_ANSWER, number, await result])
        except ControlError as error:
            self._send([_REFUSE, number, [error.code, str(error)]])
        except ConnectionError as error:
            self._send([_REFUSE, number, ["unavailable", str(error)]])
        except OSError as error:
            where = f": {error.filename}" if error.filename else ""
            self._send([_REFUSE, number, ["failed", f"{error.strerror or error}{where}"]])
        except Exception as error:
            self._send([_REFUSE, number, ["internal", "the daemon failed; its log says why"]])
            context = {"message": "a control call failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)

    def _send(self, message: list[Any]) -> None:
        if self._transport is not None and not self._transport.is_closing():
            frame = msgpack.packb(message)
            self._transport.write(_LENGTH.pack(len(frame)) + frame)


def call_once(path: str, method: str, params: Any = None, timeout_s: float = 30.0) -> Any:
    """Ask the daemon behind the Unix socket at ``path``, blocking.

    Raises :class:`ControlError` when it refuses, ``OSError`` when it cannot be reached or is silent
    for ``timeout_s``.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        connection.connect(path)
        frame = msgpack.packb([_ASK, 1, method, params])
        connection.sendall(_LENGTH.pack(len(frame)) + frame)
        (length,) = _LENGTH.unpack(_exactly(connection, 4))
        if length > FRAME_BYTES_MAX:
            raise ConnectionError("the daemon's answer is too long")
        kind, _, payload = msgpack.unpackb(_exactly(connection, length), strict_map_key=False)
    if kind == _REFUSE:
        raise ControlError(payload[0], payload[1])
    return payload


def tell(connection: socket.socket, method: str, params: Any = None) -> None:
    """Ask for something and do not wait for the answer, blocking; raises ``OSError``."""
    frame = msgpack.packb([_ASK, 0, method, params])
    connection.sendall(_LENGTH.pack(len(frame)) + frame)


def _exactly(connection: socket.socket, count: int) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        part = connection.recv(min(count - len(parts), 1 << 20))
        if not part:
            raise ConnectionError("the daemon closed the connection")
        parts += part
    return bytes(parts)
