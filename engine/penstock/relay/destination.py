"""Where the mail of a domain goes: a route, the sandbox, or its mail exchangers (RFC 5321 section
5).

The answer is a ``Destination`` or the ``Outcome`` that every recipient of the domain gets. DNS is
written by strangers, so hosts that resolve only to addresses that mail has no business at are
dropped, and our own name or address among the hosts ends the list there: whoever is less preferred
than we are would only send the mail back.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import idna

from penstock.mail.outcome import Kind, Outcome, Phase
from penstock.relay.addresses import address_text, literal_address, why_forbidden
from penstock.relay.cache import AnswerCache
from penstock.relay.ports import (
    Classifier,
    DaneFinder,
    Destination,
    Host,
    LookupFailure,
    Resolver,
    Sandbox,
    StsFinder,
)
from penstock.relay.published import Asking
from penstock.relay.route import Route
from penstock.relay.tls_demand import NOTHING_PUBLISHED, DomainTls
from penstock.smtp.reply import Reply

_ASCII_DOMAIN = re.compile(r"(?=.{1,253}$)(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}")
_LOCALHOST = ("127.0.0.1", "::1")
Found = Destination | Outcome


@dataclass(frozen=True, slots=True)
class DestinationConfig:
    """``hostname``: our own name in MX lists. ``own_addresses``: those of this machine.
    ``mx_hosts_max``: the most preferred hosts that are looked up."""

    hostname: str = ""
    own_addresses: frozenset[str] = frozenset()
    entries_max: int = 100_000
    mx_hosts_max: int = 16
    ttl_max_s: float = 3600.0
    ttl_bounced_s: float = 300.0
    ttl_deferred_s: float = 10.0
    ttl_fixed_s: float = 3600.0  # routes by address, the sandbox, address literals


def _outcome(reply: Reply) -> Outcome:
    kind = Kind.BOUNCED if reply.permanent else Kind.DEFERRED
    return Outcome(kind, Phase.RESOLVE, reply)


def _refused(code: int, text: str) -> Outcome:
    return _outcome(Reply.of(code, text))


def normal_domain(domain: str) -> str | None:
    """Lower case, A-labels, no last dot; a literal as it is; ``None`` for what is no domain."""
    domain = domain.rstrip(".").lower()
    if domain.isascii():
        if domain.startswith("["):
            return domain if literal_address(domain) else None
        return domain if _ASCII_DOMAIN.fullmatch(domain) else None
    try:
        return idna.encode(domain, uts46=True).decode("ascii")
    except UnicodeError:
        return None


class Destinations:
    """``find(domain)``, cached with its TTL. ``clock``: the axis of ``Destination.expires_at``.
    ``sts`` and ``dane`` say what TLS a domain demands, where they are given."""

    def __init__(
        self,
        resolver: Resolver,
        policies: Classifier,
        routes: Sequence[Route],
        *,
        clock: Callable[[], float],
        config: DestinationConfig | None = None,
        sandbox: Sandbox | None = None,
        sts: StsFinder | None = None,
        dane: DaneFinder | None = None,
    ) -> None:
        self._resolver = resolver
        self._policies = policies
        self._routes = tuple(routes)
        self._clock = clock
        self._config = config or DestinationConfig()
        self._sandbox = sandbox
        self._sts, self._dane = sts, dane
        self._cache: AnswerCache[str, Found] = AnswerCache(
            self._find, clock, self._config.entries_max
        )

    async def find(self, domain: str) -> Destination | Outcome:
        """Where ``domain`` (as in an address, or a literal) goes; asking at once is asking once."""
        name = normal_domain(domain)
        if name is None:
            return _refused(550, f"5.1.2 Not a mail domain: {domain[:253]}")
        return await self._cache.get(name)

    def cached(self, domain: str) -> Destination | Outcome | None:
        """The same without waiting, where it is known already; ``domain`` as :func:`normal_domain`
        gives it."""
        return self._cache.cached(domain)

    def reload(self, policies: Classifier, routes: Sequence[Route]) -> None:
        """New policies and routes hold from the next question on."""
        self._policies = policies
        self._routes = tuple(routes)
        self._cache.forget()

    async def close(self) -> None:
        await self._cache.close()

    def stats(self) -> dict[str, float]:
        return self._cache.stats()

    async def _find(self, domain: str) -> tuple[Found, float]:
        if self._sandbox is not None:  # first of all: nothing may leave the machine
            return self._by_sandbox(domain, self._sandbox)
        for number, route in enumerate(self._routes):
            if route.matches(domain):
                return await self._by_route(domain, number, route)
        address = literal_address(domain)
        if address is not None:
            return self._by_literal(domain, address)
        with Asking(domain, self._sts, self._dane) as asking:
            return await self._by_mx(domain, asking)

    async def _by_route(self, domain: str, number: int, route: Route) -> tuple[Found, float]:
        ttl_s = self._config.ttl_fixed_s
        if address_text(route.host) is not None:
            host = Host("", (route.host,), 0, route.port)
        elif route.host == "localhost":  # RFC 6761: never asked of DNS
            host = Host(route.host, _LOCALHOST, 0, route.port)
        else:
            found = await self._resolver.addresses(route.host)
            if isinstance(found, LookupFailure):
                # a wrong next hop is the operator's slip, not the recipient's: the mail waits
                text = f"4.4.4 Next hop {route.next_hop}: {found.reply}"
                return self._failure(_refused(451, text))
            host = Host(route.host, found.addresses, 0, route.port)
            ttl_s = min(found.ttl_s, self._config.ttl_max_s)
        site = f"route:{route.next_hop}"
        return self._answer(domain, [host], site, "", "route", number, ttl_s)

    def _by_sandbox(self, domain: str, sandbox: Sandbox) -> tuple[Found, float]:
        hosts = sandbox.hosts(domain)
        if not hosts:
            return self._failure(_refused(550, f"5.1.2 Domain not found: {domain}"))
        published = [(host.preference, host.name) for host in hosts]
        site, provider = self._classes(domain, published)
        return self._answer(
            domain, hosts, site, provider, "sandbox", None, self._config.ttl_fixed_s
        )

    async def _by_mx(self, domain: str, asking: Asking) -> tuple[Found, float]:
        config = self._config
        found = await self._resolver.mx(domain)
        if isinstance(found, LookupFailure):
            if found.kind != "nodata":
                return self._failure(_outcome(found.reply))
            published: list[tuple[int, str]] = [(0, domain)]  # implicit MX (RFC 5321 5.1)
            ttl_s = config.ttl_max_s
        else:
            published = sorted((preference, name) for preference, name in found.records if name)
            ttl_s = min(found.ttl_s, config.ttl_max_s)
            if not published:  # RFC 7505
                return self._failure(_refused(556, f"5.1.10 Domain {domain} accepts no mail"))
        ours = min((pref for pref, name in published if name == config.hostname), default=None)
        records = [record for record in published if ours is None or record[0] < ours]
        if not records:
            return self._failure(_loop(domain))
        records = records[: config.mx_hosts_max]
        return await self._look_up(domain, published, records, ttl_s, asking)

    async def _look_up(
        self,
        domain: str,
        published: Sequence[tuple[int, str]],
        records: Sequence[tuple[int, str]],
        ttl_s: float,
        asking: Asking,
    ) -> tuple[Found, float]:
        """The addresses of the hosts; those without are left out as long as one has some."""
        answers = await asyncio.gather(*(self._resolver.addresses(name) for _, name in records))
        hosts: list[Host] = []
        failures: list[LookupFailure] = []
        for (preference, name), answer in zip(records, answers, strict=True):
            if isinstance(answer, LookupFailure):
                failures.append(answer)
            else:
                ttl_s = min(ttl_s, answer.ttl_s)
                hosts.append(Host(name, answer.addresses, preference))
        unknown = [failure for failure in failures if failure.kind == "failed"]
        if unknown:
            ttl_s = min(ttl_s, self._config.ttl_deferred_s)
        if hosts:
            usable = self._usable(domain, hosts)
            if not isinstance(usable, Outcome):
                site, provider = self._classes(domain, published)
                tls, tls_ttl_s = await asking.answer(usable)
                ttl_s = min(ttl_s, tls_ttl_s)
                return self._answer(domain, usable, site, provider, "mx", None, ttl_s, tls)
            if not unknown:
                return self._failure(usable)
        if unknown:
            return self._failure(_outcome(unknown[0].reply))
        if len(records) == 1 and records[0][1] == domain:
            return self._failure(_outcome(failures[0].reply))
        return self._failure(_refused(550, f"5.4.4 No mail host of {domain} has an address"))

    def _usable(self, domain: str, hosts: Sequence[Host]) -> list[Host] | Outcome:
        """The hosts and addresses that mail may go to, before ourselves in the order."""
        own = self._config.own_addresses
        ours = min(
            (host.preference for host in hosts if not own.isdisjoint(host.addresses)),
            default=None,
        )
        usable = []
        reasons: dict[str, str] = {}
        for host in hosts:
            if ours is not None and host.preference >= ours:
                continue
            reasons.update({address: why_forbidden(address, own) for address in host.addresses})
            good = tuple(address for address in host.addresses if not reasons[address])
            if good:
                usable.append(Host(host.name, good, host.preference, host.port))
        if usable:
            return usable
        if ours is not None:
            return _loop(domain)
        listed = ", ".join(f"{address} ({why})" for address, why in list(reasons.items())[:4])
        return _refused(550, f"5.4.4 No mail host of {domain} is on the public Internet: {listed}")

    def _by_literal(self, domain: str, address: str) -> tuple[Found, float]:
        usable = self._usable(domain, [Host("", (address,))])
        if isinstance(usable, Outcome):
            return self._failure(usable)
        return self._answer(domain, usable, domain, "", "mx", None, self._config.ttl_fixed_s)

    def _classes(self, domain: str, mx: Sequence[tuple[int, str]]) -> tuple[str, str]:
        names = [name for _, name in mx]
        return self._policies.site_of(mx), self._policies.provider_of(domain, names)

    def _answer(
        self,
        domain: str,
        hosts: Sequence[Host],
        site: str,
        provider: str,
        via: Literal["route", "mx", "sandbox"],
        route: int | None,
        ttl_s: float,
        tls: DomainTls = NOTHING_PUBLISHED,
    ) -> tuple[Found, float]:
        ordered = tuple(sorted(hosts, key=lambda host: host.preference))
        expires_at = self._clock() + ttl_s
        found = Destination(domain, ordered, site, provider, via, route, expires_at, tls)
        return found, ttl_s

    def _failure(self, outcome: Outcome) -> tuple[Found, float]:
        bounced = outcome.kind is Kind.BOUNCED
        return outcome, self._config.ttl_bounced_s if bounced else self._config.ttl_deferred_s


def _loop(domain: str) -> Outcome:
    return _refused(554, f"5.4.6 Mail for {domain} loops back to this host")
