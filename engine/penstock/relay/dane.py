"""DANE (RFC 7672): a resolver that says what DNSSEC proves, and what that means for a host.

A TLSA record counts only where everything that led to it is signed: the MX records of the domain,
the addresses of the host, the record itself. Where the host's name is an alias, the name that it
leads to is looked at first and then its own. What cannot be found out keeps mail waiting: an
attacker who could turn it into *there are none* would have mail in the clear.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from penstock.relay.cache import AnswerCache
from penstock.relay.dnssec import Answer, DnssecConfig, NoAnswer, ask
from penstock.relay.ports import (
    AddressRecords,
    DaneAnswer,
    Host,
    LookupFailure,
    MxRecords,
    Resolver,
)
from penstock.relay.resolver import ResolverConfig, failed, nodata, nxdomain
from penstock.relay.tls_demand import Tlsa, TlsaSet
from penstock.relay.tlsa import DANE_TA, usable_of

_RECORDS_MAX = 50
_UNKNOWN_S = 10.0  # how soon a host is looked at again of which nothing can be known


@dataclass(frozen=True, slots=True)
class TlsaRecords:
    """Those of one name, all of them signed; none where DNSSEC says that there are none or that the
    name is not signed."""

    records: tuple[Tlsa, ...]
    ttl_s: float = 300.0


Found = MxRecords | AddressRecords | TlsaRecords | LookupFailure


class Dane:
    """A :class:`~penstock.relay.ports.DaneFinder`. ``resolver``: the one that found the hosts, so
    that it is the hosts that mail goes to of which it is said that they are signed."""

    def __init__(self, resolver: ValidatingResolver) -> None:
        self._resolver = resolver

    async def find(self, domain: str, hosts: Sequence[Host]) -> DaneAnswer:
        mx = await self._resolver.mx(domain)
        if isinstance(mx, LookupFailure) and mx.kind == "failed":
            why = _why(mx)
            unknown = tuple(TlsaSet(one.name, domain, trouble=why) for one in hosts)
            return DaneAnswer(True, unknown, _UNKNOWN_S)
        if not mx.secure:
            return DaneAnswer()
        named = {domain}  # implicit MX (RFC 5321 5.1)
        ttl_s = float("inf")
        if isinstance(mx, MxRecords):
            named, ttl_s = {name for _, name in mx.records}, mx.ttl_s
        asked = await asyncio.gather(*(self._of_host(domain, host, named) for host in hosts))
        tlsa = tuple(found for found, _ in asked if found is not None)
        return DaneAnswer(True, tlsa, min([ttl_s, *(kept_s for _, kept_s in asked)]))

    async def _of_host(
        self, domain: str, host: Host, named: Collection[str]
    ) -> tuple[TlsaSet | None, float]:
        """What holds for the host, and for how long: the first name counts that has a record."""
        name = f"_{host.port}._tcp.{host.name}"
        if host.name not in named:  # the records have changed since the hosts were looked up
            return TlsaSet(host.name, name, trouble="no longer a mail host of it"), _UNKNOWN_S
        addresses = await self._resolver.addresses(host.name)
        if isinstance(addresses, LookupFailure):
            return TlsaSet(host.name, name, trouble=_why(addresses)), _UNKNOWN_S
        kept_s = addresses.ttl_s
        for base in addresses.tlsa_bases:
            found = await self._resolver.tlsa(base, host.port)
            name = f"_{host.port}._tcp.{base}"
            if isinstance(found, LookupFailure):
                return TlsaSet(host.name, name, trouble=_why(found)), _UNKNOWN_S
            kept_s = min(kept_s, found.ttl_s)
            if found.records:
                records = usable_of(found.records)
                names = [base, host.name]
                if any(one.usage == DANE_TA for one in records):
                    names.append(domain)  # else domains on the same hosts share connections
                return TlsaSet(host.name, name, records, names=tuple(dict.fromkeys(names))), kept_s
        return None, kept_s


def _why(failure: LookupFailure) -> str:
    """The end of what :func:`penstock.relay.resolver.failed` says."""
    return str(failure.reply).rpartition(" failed: ")[2][:200]


class ValidatingResolver:
    """A :class:`~penstock.relay.ports.Resolver` that knows TLSA records too. ``plain`` answers for
    names without a dot. Limits are those of ``config``, as everywhere."""

    def __init__(
        self,
        dnssec: DnssecConfig,
        config: ResolverConfig,
        plain: Resolver,
        *,
        clock: Callable[[], float] | None = None,
        on_lookup: Callable[[str, str], None] | None = None,
    ) -> None:
        self._dnssec, self._config, self._plain = dnssec, config, plain
        self._on_lookup = on_lookup or (lambda kind, result: None)
        self._gate = asyncio.Semaphore(config.queries_max)
        clock = clock or asyncio.get_running_loop().time
        self._cache: AnswerCache[tuple[str, str], Found] = AnswerCache(
            self._fetch, clock, config.entries_max
        )

    async def mx(self, domain: str) -> MxRecords | LookupFailure:
        answer = await self._cache.get(("mx", domain.rstrip(".").lower()))
        assert isinstance(answer, MxRecords | LookupFailure)
        return answer

    async def addresses(self, name: str) -> AddressRecords | LookupFailure:
        if "." not in name:
            return await self._plain.addresses(name)
        answer = await self._cache.get(("address", name.rstrip(".").lower()))
        assert isinstance(answer, AddressRecords | LookupFailure)
        return answer

    async def tlsa(self, name: str, port: int) -> TlsaRecords | LookupFailure:
        answer = await self._cache.get(("tlsa", f"_{port}._tcp.{name}"))
        assert isinstance(answer, TlsaRecords | LookupFailure)
        return answer

    async def close(self) -> None:
        await self._cache.close()

    def stats(self) -> dict[str, float]:
        return self._cache.stats()

    async def _fetch(self, key: tuple[str, str]) -> tuple[Found, float]:
        kind, name = key
        fetch = {"mx": self._fetch_mx, "address": self._fetch_addresses, "tlsa": self._fetch_tlsa}
        async with self._gate:
            found = await fetch[kind](name)
        if isinstance(found, LookupFailure):
            missing = found.kind != "failed"
            self._on_lookup(kind, "missing" if missing else "failed")
            return found, self._config.ttl_negative_s if missing else self._config.ttl_failed_s
        none = isinstance(found, TlsaRecords) and not found.records
        self._on_lookup(kind, "missing" if none else "ok")
        return found, found.ttl_s

    async def _ask(self, name: str, record: str) -> Answer | LookupFailure:
        try:
            async with asyncio.timeout(self._config.timeout_s):
                found = await ask(self._dnssec, name, record)
        except TimeoutError:
            return failed(name, record, "timed out")
        if isinstance(found, NoAnswer):
            return failed(name, record, found.why)
        if found.records:
            return found
        missing = nodata(name, record) if found.exists else nxdomain(name)
        return LookupFailure(missing.kind, missing.reply, secure=found.secure)

    def _kept_s(self, *answers: Answer) -> float:
        shortest = min(one.ttl_s for one in answers)
        return min(max(shortest, self._config.ttl_min_s), self._config.ttl_max_s)

    async def _fetch_mx(self, domain: str) -> MxRecords | LookupFailure:
        found = await self._ask(domain, "MX")
        if isinstance(found, LookupFailure):
            return found
        pairs = {
            (int(data.preference), data.exchange.to_text(omit_final_dot=True).lower())
            for data in _data(found)
        }
        named = {(preference, "" if name in (".", "@") else name) for preference, name in pairs}
        return MxRecords(tuple(sorted(named)), self._kept_s(found), found.secure)

    async def _fetch_addresses(self, name: str) -> AddressRecords | LookupFailure:
        kinds = ("A", "AAAA") if self._config.ipv6 else ("A",)
        asked = await asyncio.gather(*(self._ask(name, kind) for kind in kinds))
        answers = [one for one in asked if isinstance(one, Answer)]
        failures = [one for one in asked if isinstance(one, LookupFailure)]
        if not answers:
            order = ("failed", "nxdomain", "nodata")
            return min(failures, key=lambda failure: order.index(failure.kind))
        addresses = tuple(str(data.address) for one in answers for data in _data(one))
        bases: tuple[str, ...] = ()
        denied = (one.secure for one in failures if one.kind != "failed")
        if all(one.secure for one in answers) and all(denied):
            bases = tuple(dict.fromkeys((answers[0].name, name)))
        elif answers[
            0
        ].aliased:  # it may be signed, though what it leads to is not (RFC 7672 2.1.3)
            alias = await self._ask(name, "CNAME")
            if isinstance(alias, LookupFailure) and alias.kind == "failed":
                return alias
            bases = (name,) if alias.secure else ()
        return AddressRecords(addresses, self._kept_s(*answers), bases)

    async def _fetch_tlsa(self, name: str) -> TlsaRecords | LookupFailure:
        found = await self._ask(name, "TLSA")
        if isinstance(found, LookupFailure):
            if found.kind == "failed":
                return found
            return TlsaRecords((), self._config.ttl_negative_s)
        if not found.secure:
            return TlsaRecords((), self._kept_s(found))
        records = [
            Tlsa(int(data.usage), int(data.selector), int(data.mtype), bytes(data.cert))
            for data in _data(found)
        ]
        return TlsaRecords(tuple(sorted(records)[:_RECORDS_MAX]), self._kept_s(found))


def _data(answer: Answer) -> tuple[Any, ...]:
    """The records, each with the fields of its kind, which dnspython's types do not tell."""
    return answer.records
