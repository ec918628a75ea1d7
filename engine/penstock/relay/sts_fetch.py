"""Fetching one MTA-STS policy over HTTPS (RFC 8461 section 3.3).

The certificate must be good for ``mta-sts.DOMAIN``, redirects lead nowhere, and the body is bounded
in size and time. The name is resolved here and the address judged before it is connected to: who
publishes a record must not be able to send us to hosts behind our own firewall.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import TYPE_CHECKING

from penstock import __version__
from penstock.policy.mta_sts import POLICY_BYTES_MAX, BadPolicy, StsPolicy, parse_policy
from penstock.relay.addresses import why_forbidden
from penstock.relay.ports import LookupFailure, Resolver
from penstock.relay.tls_demand import Fault

if TYPE_CHECKING:
    import httpx  # loaded with the first policy: megabytes in each worker

_ADDRESSES_MAX = 4
_SHOWN_CHARS = 200


@dataclass(frozen=True, slots=True)
class FetchConfig:
    """``ca``: PEM file of those whom we trust; the system's where it is empty. ``networks``: where
    a policy may be fetched though they are not public. ``fetches_max``: at once."""

    ca: str = ""
    timeout_s: float = 10.0
    port: int = 443
    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    fetches_max: int = 32


class Fetcher:
    """``resolver`` gives the addresses of policy hosts."""

    def __init__(self, config: FetchConfig, resolver: Resolver) -> None:
        self._config, self._resolver = config, resolver
        self._gate = asyncio.Semaphore(config.fetches_max)
        self._context: ssl.SSLContext | None = None

    async def fetch(self, domain: str, id: str) -> StsPolicy | Fault:
        """The policy, or why there is none; never raises, and takes no longer than it may."""
        import httpx

        host = f"mta-sts.{domain}"
        try:
            async with asyncio.timeout(self._config.timeout_s), self._gate:
                body = await self._get(host)
            return parse_policy(body, id)
        except TimeoutError:
            return _not_fetched(host, f"no answer within {self._config.timeout_s:g} s")
        except BadPolicy as error:
            return Fault("sts-policy-invalid", f"{host}: {error}")
        except (OSError, httpx.HTTPError, httpx.InvalidURL) as error:
            refused = _certificate_error(error)
            if refused is not None:
                reason = refused.verify_message or str(refused)
                return Fault("sts-webpki-invalid", f"{host}: {_shown(reason)}")
            return _not_fetched(host, str(error) or type(error).__name__)

    async def _get(self, host: str) -> bytes:
        import httpx

        if self._context is None:
            self._context = ssl.create_default_context(cafile=self._config.ca or None)
        addresses = await self._addresses(host)
        # one connection for each policy: they are fetched once a day
        async with httpx.AsyncHTTPTransport(verify=self._context, trust_env=False) as transport:
            for number, address in enumerate(addresses, 1):
                try:
                    return await self._ask(transport, host, address)
                except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                    if number == len(addresses) or _certificate_error(error) is not None:
                        raise
        raise OSError("no address")

    async def _ask(self, transport: httpx.AsyncHTTPTransport, host: str, address: str) -> bytes:
        import httpx

        limit_s, port = self._config.timeout_s, self._config.port
        url = httpx.URL(scheme="https", host=address, port=port, path="/.well-known/mta-sts.txt")
        request = httpx.Request(
            "GET",
            url,
            headers={
                "Host": host if port == 443 else f"{host}:{port}",
                "Accept": "text/plain",
                "Accept-Encoding": "identity",
                "User-Agent": f"Penstock/{__version__}",
            },
            extensions={
                "sni_hostname": host,
                "timeout": dict.fromkeys(("connect", "read", "write", "pool"), limit_s),
            },
        )
        response = await transport.handle_async_request(request)
        try:
            return await _read(response)
        finally:
            await response.aclose()

    async def _addresses(self, host: str) -> Sequence[str]:
        """The addresses that may be asked; raises ``OSError`` where there is none."""
        found = await self._resolver.addresses(host)
        if isinstance(found, LookupFailure):
            raise OSError(found.reply.text if hasattr(found.reply, "text") else str(found.reply))
        good = [one for one in found.addresses if self._may_ask(one)]
        if not good:
            raise OSError(f"its address, {', '.join(found.addresses[:3])}, is not public")
        return good[:_ADDRESSES_MAX]

    def _may_ask(self, address: str) -> bool:
        ip = ip_address(address)
        return not why_forbidden(address) or any(
            ip in network for network in self._config.networks if network.version == ip.version
        )


async def _read(response: httpx.Response) -> bytes:
    """The body of an answer that counts."""
    if response.status_code != 200:
        raise OSError(f"HTTP status {response.status_code}")
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "text/plain":
        raise OSError(f"its content type is {_shown(kind) or 'not given'}, not text/plain")
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise OSError("it is compressed, which was not asked for")
    body = bytearray()
    async for part in response.aiter_raw():
        body += part
        if len(body) > POLICY_BYTES_MAX:
            raise BadPolicy(f"the policy has more than {POLICY_BYTES_MAX} bytes")
    return bytes(body)


def _not_fetched(host: str, why: str) -> Fault:
    return Fault("sts-policy-fetch-error", f"{host}: {_shown(why)}")


def _certificate_error(error: BaseException | None) -> ssl.SSLCertVerificationError | None:
    """Whether it was the certificate; httpx says it only by what it was raised from."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return error
        error = error.__cause__ or error.__context__
    return None


def _shown(text: str) -> str:
    """As it may stand in one line of a terminal."""
    return "".join(c if c.isprintable() else " " for c in text[:_SHOWN_CHARS]).strip()
