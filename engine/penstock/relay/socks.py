"""SOCKS5 as its client speaks it until there is a connection (RFC 1928, RFC 1929).

The steps alone, without a socket. Own code: whoever does not see the steps cannot tell a proxy that
is silent or refuses us from a host behind it that is; the one stops a source, the other must not.
A host is named by strangers, so no answer about a host may be taken for one about the proxy.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Generator
from typing import NamedTuple

_VERSION, _LOGIN_VERSION = 5, 1
_OPEN, _LOGIN, _NONE = 0, 2, 255
_CONNECT = 1
_IPV4, _NAME, _IPV6 = 1, 3, 4
_ABOUT_HOST = {
    2: "not allowed by its rules",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "timed out",
    8: "addresses of this kind are not supported",  # of the other kind they may be
}


class Step(NamedTuple):
    """``send`` these bytes and read ``need`` more. ``asked``: the proxy has been told the host."""

    send: bytes
    need: int
    asked: bool = False


class Refused(NamedTuple):
    """Why there is no connection; ``about_host``: the proxy itself is well, as far as it says."""

    text: str
    enhanced: str = "4.4.1"
    about_host: bool = False


def converse(
    address: str, port: int, user: str, password: str
) -> Generator[Step, bytes, Refused | None]:
    """Ask for a connection to ``address``; at the end ``None`` where there is one."""
    methods = bytes((_OPEN, _LOGIN) if user else (_OPEN,))
    version, method = yield Step(bytes((_VERSION, len(methods))) + methods, 2)
    if version != _VERSION:
        return Refused("it does not speak SOCKS5", "4.5.0")
    if method == _LOGIN and user:
        _, status = yield Step(_login(user.encode(), password.encode()), 2)
        if status != 0:
            return Refused("user name or password refused", "4.7.0")
    elif method == _NONE:
        wanting = "it takes no login by user name" if user else "it asks for a login"
        return Refused(wanting, "4.7.0")
    elif method != _OPEN:
        return Refused("it asks for a login of another kind", "4.7.0")

    version, code = yield Step(_request(address, port), 2, asked=True)
    if version != _VERSION:
        return Refused("it does not speak SOCKS5", "4.5.0")
    if code in _ABOUT_HOST:
        return Refused(_ABOUT_HOST[code], about_host=True)
    if code != 0:
        return Refused("general failure" if code == 1 else f"refused with code {code}")
    _, kind, first = yield Step(b"", 3, asked=True)
    length = {_IPV4: 4, _IPV6: 16, _NAME: first + 1}.get(kind)
    if length is None:
        return Refused("it does not speak SOCKS5", "4.5.0")
    yield Step(b"", length - 1 + 2, asked=True)  # whence it goes on, which nobody needs to know
    return None


def _login(user: bytes, password: bytes) -> bytes:
    return bytes((_LOGIN_VERSION, len(user))) + user + bytes((len(password),)) + password


def _request(address: str, port: int) -> bytes:
    ip = ipaddress.ip_address(address)
    kind = _IPV4 if ip.version == 4 else _IPV6
    return bytes((_VERSION, _CONNECT, 0, kind)) + ip.packed + port.to_bytes(2, "big")
