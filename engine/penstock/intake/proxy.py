"""The PROXY header in front of a connection (HAProxy's proxy-protocol.txt, versions 1 and 2).

How long a header is, is found here from the bytes that have come, within a bound; what it says is
read by aiosmtpd's parser, which is given the whole header at once and so never has to wait.
"""

from __future__ import annotations

from dataclasses import dataclass

from aiosmtpd.proxy_protocol import AF, V2_CMD, V2_SIGNATURE, ProxyData, get_proxy

_V1_MAX = 107
_V2_HEAD = 16
_V2_MAX = _V2_HEAD + 4096
_INTERNET = (AF.INET, AF.INET6)


class BadProxyHeader(Exception):
    """The connection does not open with a PROXY header."""


@dataclass(frozen=True, slots=True)
class Proxied:
    """``address`` is ``""`` where the proxy speaks for itself or does not know the client;
    ``length``: bytes of the header."""

    address: str
    length: int


def read_proxy(data: bytes) -> Proxied | None:
    """The header at the start of ``data``; ``None`` while it is incomplete."""
    length = _length(data)
    if length is None:
        return None
    found = _parse(data[:length])
    if not found.valid:
        raise BadProxyHeader(found.error or "no PROXY header")
    if found.command == V2_CMD.LOCAL or found.family not in _INTERNET:
        return Proxied("", length)
    return Proxied(str(found.src_addr), length)


def _length(data: bytes) -> int | None:
    if data[:5] == b"PROXY"[: len(data)]:
        end = data.find(b"\r\n", 0, _V1_MAX)
        if end < 0 and len(data) >= _V1_MAX:
            raise BadProxyHeader("PROXYv1 header too long")
        return end + 2 if end >= 0 else None
    if data[:12] != V2_SIGNATURE[: len(data)]:
        raise BadProxyHeader("no PROXY header")
    if len(data) < _V2_HEAD:
        return None
    length = _V2_HEAD + int.from_bytes(data[14:16], "big")
    if length > _V2_MAX:
        raise BadProxyHeader("PROXYv2 header too long")
    return length if len(data) >= length else None


class _Whole:
    """A reader of bytes that are all there."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def read(self, n: int = -1) -> bytes:
        return self._take(len(self._data) if n < 0 else n)

    async def readexactly(self, n: int) -> bytes:
        return self._take(n)

    async def readuntil(self, separator: bytes = b"\n") -> bytes:
        return self._take(self._data.index(separator) + len(separator))

    def _take(self, n: int) -> bytes:
        taken, self._data = self._data[:n], self._data[n:]
        return taken


def _parse(header: bytes) -> ProxyData:
    reading = get_proxy(_Whole(header))
    try:
        reading.send(None)
    except StopIteration as done:
        found: ProxyData = done.value
        return found
    reading.close()
    raise BadProxyHeader("truncated")
