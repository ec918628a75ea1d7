"""One report on TLS by HTTPS POST (RFC 8460 section 5.4).

Who asks for reports writes the URL, so it may lead nowhere but to the public Internet: the address
that was judged is the one connected to. Redirects are not followed.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_address

import httpx

from penstock import __version__
from penstock.mail.tls_report import CONTENT_TYPE
from penstock.webhooks.address import is_public
from penstock.webhooks.post import trusting

_ADDRESSES_MAX = 4
_SHOWN_CHARS = 200
Resolve = Callable[[str], Awaitable[Sequence[str]]]


class TlsReportPost:
    """``post(url, packed)`` gives ``""``, or why it was not taken. ``allowed``: whether an address
    may be connected to; ``context``: whose certificates are good, the system's if not given."""

    def __init__(
        self,
        resolve: Resolve,
        timeout_s: float,
        allowed: Callable[[str], bool] = is_public,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._resolve, self._timeout_s, self._allowed = resolve, timeout_s, allowed
        self._context = context

    async def post(self, url: str, packed: bytes) -> str:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._post(httpx.URL(url), packed)
        except (TimeoutError, httpx.TimeoutException):
            return f"{url}: no answer within {self._timeout_s:g} s"
        except (OSError, httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            return f"{url}: {_shown(str(error) or type(error).__name__)}"

    async def _post(self, url: httpx.URL, packed: bytes) -> str:
        why = f"{url}: {url.host} has no address"
        for address in await self._addresses(url):
            transport = httpx.AsyncHTTPTransport(
                verify=self._context or trusting(""), trust_env=False
            )
            async with transport:
                try:
                    response = await transport.handle_async_request(
                        self._request(url, address, packed)
                    )
                except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                    why = f"{url}: {_shown(str(error))}"
                    continue
                await response.aclose()
                status = response.status_code
                return "" if 200 <= status < 300 else f"{url}: HTTP status {status}"
        return why

    def _request(self, url: httpx.URL, address: str, packed: bytes) -> httpx.Request:
        return httpx.Request(
            "POST",
            url.copy_with(host=address),
            headers={
                "Host": url.netloc.decode("ascii"),
                "Content-Type": CONTENT_TYPE,
                "User-Agent": f"Penstock/{__version__}",
            },
            content=packed,
            extensions={
                "sni_hostname": url.raw_host.decode("ascii"),
                "timeout": dict.fromkeys(("connect", "read", "write", "pool"), self._timeout_s),
            },
        )

    async def _addresses(self, url: httpx.URL) -> Sequence[str]:
        try:
            found: Sequence[str] = [str(ip_address(url.host))]
        except ValueError:
            found = await self._resolve(url.raw_host.decode("ascii"))
        allowed = [one for one in found if self._allowed(one)]
        if found and not allowed:
            raise OSError(f"{url.host} is at {', '.join(found[:3])}, which is not public")
        return allowed[:_ADDRESSES_MAX]


def _shown(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text[:_SHOWN_CHARS]).strip()
