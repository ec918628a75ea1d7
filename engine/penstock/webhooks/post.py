"""One attempt to deliver one batch: resolve, refuse what is not public, connect, post, read a bit.

The address that was judged is the one connected to, so a name that answers differently the next
moment leads nowhere else. TLS is verified for the name in the URL. Redirects are not followed, for
they would lead past all of this; proxies of the environment, cookies and compressed answers do not
exist here.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from ipaddress import ip_address
from typing import Literal, NamedTuple

import httpx

from penstock import __version__
from penstock.webhooks.address import is_public
from penstock.webhooks.config import Endpoint, WebhooksConfig
from penstock.webhooks.ports import Resolve
from penstock.webhooks.retry import retry_after_s
from penstock.webhooks.signature import BadSecret, parse_secrets, signature_headers

Kind = Literal[
    "delivered", "gone", "refused", "failed", "timeout", "unreachable", "tls", "address", "secret"
]
_SHOWN_CHARS = 200
_SECRET_FILE_BYTES_MAX = 64 << 10
_GONE = 410
_IDLE_S = 4.0  # less than servers wait, so that none hangs up while we begin to send


class Answer(NamedTuple):
    """``kind``: what it means; ``status``: 0 where there was no answer; ``text``: the beginning of
    what was said, or why nothing was; ``asked_s``: how long to wait before the next try."""

    kind: Kind
    status: int = 0
    text: str = ""
    asked_s: float | None = None
    duration_s: float = 0.0


class NotPublic(OSError):
    """No address of the host may be connected to."""


class Secrets:
    """The secrets of one endpoint, read again when their file changes; if it cannot be used then,
    the ones before go on."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._secrets: tuple[bytes, ...] = ()

    def get(self) -> tuple[bytes, ...]:
        """Raises :class:`BadSecret` where there never were any."""
        try:
            found = os.stat(self._path)
            stamp = (found.st_mtime_ns, found.st_size)
            if stamp != self._stamp:
                with open(self._path, "rb") as file:
                    self._secrets = parse_secrets(file.read(_SECRET_FILE_BYTES_MAX))
                self._stamp = stamp
        except OSError as error:
            if not self._secrets:
                raise BadSecret(f"cannot be read: {error.strerror or error}") from None
        except BadSecret:
            if not self._secrets:
                raise
        return self._secrets


class Poster:
    """``now`` is the time of day, for signatures and dates."""

    def __init__(
        self,
        endpoint: Endpoint,
        config: WebhooksConfig,
        resolve: Resolve,
        now: Callable[[], float],
    ) -> None:
        self._endpoint = endpoint
        self._config = config
        self._resolve = resolve
        self._now = now
        self._secrets = Secrets(endpoint.secret_file)
        self._url = httpx.URL(endpoint.url)
        self._transport: httpx.AsyncHTTPTransport | None = None

    async def post(self, message: str, body: bytes) -> Answer:
        """Never raises but for bugs and a cancellation."""
        began = time.monotonic()
        until = asyncio.get_running_loop().time() + self._endpoint.timeout_s
        try:
            async with asyncio.timeout_at(until):
                response = await self._attempt(message, body)
            answer = await self._answer(response, until)
        except (TimeoutError, httpx.TimeoutException):
            answer = Answer("timeout", text=f"no answer within {self._endpoint.timeout_s:g} s")
        except BadSecret as error:
            answer = Answer("secret", text=f"{self._endpoint.secret_file} {error}")
        except NotPublic as error:
            answer = Answer("address", text=str(error))
        except (OSError, httpx.HTTPError, httpx.InvalidURL) as error:
            kind: Kind = "tls" if _is_tls(error) else "unreachable"
            answer = Answer(kind, text=_shown(str(error) or type(error).__name__))
        return answer._replace(duration_s=time.monotonic() - began)

    async def close(self) -> None:
        if self._transport is not None:
            await self._transport.aclose()
            self._transport = None

    async def _attempt(self, message: str, body: bytes) -> httpx.Response:
        secrets = self._secrets.get()
        headers = {
            **dict(self._endpoint.headers),
            "Host": self._url.netloc.decode("ascii"),
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": f"Penstock/{__version__}",
            **signature_headers(secrets, message, self._now(), body),
        }
        addresses = await self._addresses()
        for number, address in enumerate(addresses, 1):
            try:
                return await self._send(address, headers, body)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                if number == len(addresses):
                    raise
        raise NotPublic(f"{self._url.host} has no address")

    async def _addresses(self) -> Sequence[str]:
        """The addresses to try, in order."""
        host = self._url.host
        try:
            found: Sequence[str] = [str(ip_address(host))]
        except ValueError:
            found = await self._resolve(self._url.raw_host.decode("ascii"))
        if not found:
            raise OSError(f"{host} has no address")
        allowed = [one for one in found if self._endpoint.allow_private or is_public(one)]
        if not allowed:
            raise NotPublic(
                f"{host} is at {', '.join(found[:3])}, which is not public; allow_private is off"
            )
        return allowed[: self._config.address_tries_max]

    async def _send(self, address: str, headers: dict[str, str], body: bytes) -> httpx.Response:
        limit_s = self._endpoint.timeout_s
        request = httpx.Request(
            "POST",
            self._url.copy_with(host=address),
            headers=headers,
            content=body,
            extensions={
                "sni_hostname": self._url.raw_host.decode("ascii"),
                "timeout": dict.fromkeys(("connect", "read", "write", "pool"), limit_s),
            },
        )
        if self._transport is None:
            self._transport = _transport(self._endpoint)
        return await self._transport.handle_async_request(request)

    async def _answer(self, response: httpx.Response, until: float) -> Answer:
        """What ``response`` means. It counts from its status on: the rest is read for people, and
        so that the connection can be used again, if it is short and comes in time."""
        said = bytearray()
        try:
            async with asyncio.timeout_at(until):
                async for part in response.aiter_raw():
                    said += part[: self._config.response_bytes_max]
                    if len(said) >= self._config.response_bytes_max:
                        break
        except (httpx.HTTPError, OSError):
            pass
        finally:
            await response.aclose()
        text = _shown(said.decode("utf-8", "replace"))
        asked = retry_after_s(response.headers.get("retry-after", ""), self._now())
        return Answer(_kind_of(response.status_code), response.status_code, text, asked)


def _transport(endpoint: Endpoint) -> httpx.AsyncHTTPTransport:
    return httpx.AsyncHTTPTransport(
        verify=trusting(endpoint.authorities_file),
        trust_env=False,
        limits=httpx.Limits(
            max_connections=endpoint.connections_max,
            max_keepalive_connections=endpoint.connections_max,
            keepalive_expiry=_IDLE_S,
        ),
    )


@lru_cache(maxsize=64)
def trusting(authorities_file: str) -> ssl.SSLContext:
    """One for all endpoints that trust the same: reading the system's authorities takes long."""
    context = ssl.create_default_context(cafile=authorities_file or None)
    if not authorities_file and not context.cert_store_stats()["x509_ca"]:
        return httpx.create_ssl_context()  # a machine without any: those that httpx brings
    return context


def _kind_of(status: int) -> Kind:
    if 200 <= status < 300:
        return "delivered"
    if status == _GONE:
        return "gone"
    return "failed" if status >= 500 else "refused"


def _is_tls(error: BaseException | None) -> bool:
    """Whether TLS was what failed; httpx says it only by what it was raised from."""
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _shown(text: str) -> str:
    """As it may stand in one line of a terminal."""
    return "".join(c if c.isprintable() else " " for c in text[:_SHOWN_CHARS]).strip()
