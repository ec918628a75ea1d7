"""The command line's way to the daemon: its HTTP API, over a Unix socket or to another machine.

The standard library's client: it is loaded in a few milliseconds, and a command asks once.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, NamedTuple
from urllib.parse import urlsplit

from penstock.api.methods import Asked, request_of

ANSWER_BYTES_MAX = 256 << 20
_SHOWN_CHARS = 200


class Refused(Exception):
    """The daemon's own words for why it does not."""


class BadUrl(ValueError):
    """No address that can be asked, or none that a key may be sent to."""


class Remote(NamedTuple):
    """A daemon on another machine, or this one: where, and with which key."""

    url: str
    key: str = ""


class _UnixConnection(http.client.HTTPConnection):
    """``path`` takes the place of host and port."""

    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def ask_unix(path: str, method: str, params: Any, timeout_s: float) -> Any:
    """What the daemon behind the Unix socket at ``path`` answers. Raises :class:`Refused`, and
    ``OSError`` where it cannot be reached or is silent for ``timeout_s``."""
    asked = request_of(method, params)
    return _answer(_UnixConnection(path, timeout_s), asked, asked.body, {})


def ask_remote(
    remote: Remote,
    method: str,
    params: Any,
    timeout_s: float,
    body: IO[bytes] | None = None,
    kind: str = "",
) -> Any:
    """The same of a daemon at an address; ``body``: what is sent where that is no object, which is
    of this ``kind``."""
    connection, prefix, headers = _connection(remote, timeout_s)
    asked = request_of(method, params)
    if kind:
        headers["Content-Type"] = kind
    content = asked.body if body is None else body
    return _answer(connection, asked._replace(target=prefix + asked.target), content, headers)


@contextmanager
def opened(
    remote: Remote, method: str, params: Any, timeout_s: float, headers: dict[str, str]
) -> Iterator[IO[bytes]]:
    """The answer as it comes, for those that are long or have no end."""
    connection, prefix, own = _connection(remote, timeout_s)
    asked = request_of(method, params)
    try:
        connection.request(asked.verb, prefix + asked.target, headers={**own, **headers})
        response = connection.getresponse()
        if response.status >= 300:
            raise Refused(_why(response, response.read(ANSWER_BYTES_MAX)))
        yield response
    except http.client.HTTPException as error:
        raise ConnectionError(_broken(error)) from None
    finally:
        connection.close()


def _connection(
    remote: Remote, timeout_s: float
) -> tuple[http.client.HTTPConnection, str, dict[str, str]]:
    try:
        parts = urlsplit(remote.url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise BadUrl(f"{remote.url}: {error}") from None
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise BadUrl(f'{remote.url!r} is no address of a daemon; write "https://mail.example:8443"')
    if parts.username is not None:
        raise BadUrl("a key stands in PENSTOCK_KEY and not in the address")
    headers = {"Authorization": f"Bearer {remote.key}"} if remote.key else {}
    prefix = parts.path.rstrip("/")
    if parts.scheme == "https":
        return http.client.HTTPSConnection(host, port, timeout=timeout_s), prefix, headers
    if remote.key and not _is_here(host):
        raise BadUrl(f"{remote.url}: the key would travel in clear; use https")
    return http.client.HTTPConnection(host, port, timeout=timeout_s), prefix, headers


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _answer(
    connection: http.client.HTTPConnection,
    asked: Asked,
    body: bytes | IO[bytes] | None,
    headers: dict[str, str],
) -> Any:
    sent = {"Accept": "application/json", **headers}
    if body is not None:
        sent.setdefault("Content-Type", "application/json")
    try:
        connection.request(asked.verb, asked.target, body, sent)
        response = connection.getresponse()
        content = response.read(ANSWER_BYTES_MAX + 1)
    except http.client.HTTPException as error:
        raise ConnectionError(_broken(error)) from None
    finally:
        connection.close()
    if len(content) > ANSWER_BYTES_MAX:
        raise ConnectionError("the daemon's answer is too long")
    if response.status >= 300:
        raise Refused(_why(response, content))
    if not content:
        return None
    try:
        return json.loads(content)
    except ValueError:
        raise ConnectionError("what answers there is no daemon of ours: no JSON") from None


def _broken(error: http.client.HTTPException) -> str:
    if isinstance(error, http.client.RemoteDisconnected | http.client.IncompleteRead):
        return "the daemon closed the connection"
    return f"what answers there is no daemon of ours: {error!r:.{_SHOWN_CHARS}}"


def _why(response: http.client.HTTPResponse, content: bytes) -> str:
    """The ``detail`` of a problem document (RFC 9457), and the fields that were wrong."""
    try:
        found = json.loads(content)
        detail = str(found.get("detail") or found["title"])
        fields = [f"{one['field']}: {one['message']}" for one in found.get("errors", ())]
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"refused with {response.status} {response.reason}"
    return "\n".join([detail, *(line for line in fields if line not in detail)])
