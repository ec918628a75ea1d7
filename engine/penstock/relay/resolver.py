"""DNS through c-ares (aiodns), with a cache that honours TTLs within bounds.

What DNS may answer is a value: records, or a :class:`LookupFailure` that carries the reply to
report. Only a name without a dot is looked up as the system would (hosts file, search list): such
names come from routes, never from MX records.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import aiodns
import pycares
from aiodns.error import ARES_EBADNAME, ARES_ENODATA, ARES_ENONAME, ARES_ENOTFOUND, DNSError

from penstock.relay.cache import AnswerCache
from penstock.relay.ports import AddressRecords, LookupFailure, MxRecords, TxtRecords
from penstock.smtp.reply import Reply

Answer = MxRecords | AddressRecords | TxtRecords | LookupFailure
_WHAT = {"MX": "mx", "A": "address", "TXT": "txt"}


@dataclass(frozen=True, slots=True)
class ResolverConfig:
    """``nameservers``: addresses, with ``:port`` where it is not 53; empty: the system's own.
    ``timeout_s`` bounds one look-up over all tries; ``queries_max`` the look-ups at one time."""

    nameservers: tuple[str, ...] = ()
    timeout_s: float = 5.0
    try_timeout_s: float = 2.0
    tries: int = 2
    ttl_min_s: float = 30.0
    ttl_max_s: float = 86400.0
    ttl_negative_s: float = 300.0
    ttl_failed_s: float = 10.0
    entries_max: int = 50_000
    queries_max: int = 256
    ipv6: bool = True


def nxdomain(name: str) -> LookupFailure:
    return LookupFailure("nxdomain", Reply.of(550, f"5.1.2 Domain not found: {name}"))


def nodata(name: str, record: str) -> LookupFailure:
    return LookupFailure("nodata", Reply.of(550, f"5.4.4 No {record} record for {name}"))


def failed(name: str, record: str, why: str) -> LookupFailure:
    text = f"4.4.3 DNS look-up of {record} for {name} failed: {why}"
    return LookupFailure("failed", Reply.of(451, text))


def _clean(name: str) -> str:
    return name.rstrip(".").lower()


class DnsResolver:
    """The real :class:`~penstock.relay.ports.Resolver`. Make it inside the running loop; close it.

    ``on_lookup(kind, result)``: ``"mx"``, ``"address"`` or ``"txt"``; ``"ok"``, ``"missing"`` or
    ``"failed"``.
    """

    def __init__(
        self,
        config: ResolverConfig | None = None,
        *,
        clock: Callable[[], float] | None = None,
        on_lookup: Callable[[str, str], None] | None = None,
    ) -> None:
        self._on_lookup = on_lookup or (lambda kind, result: None)
        self._config = config = config or ResolverConfig()
        loop = asyncio.get_running_loop()
        self._dns = aiodns.DNSResolver(
            nameservers=config.nameservers or None,
            loop=loop,
            timeout=config.try_timeout_s,
            tries=config.tries,
        )
        self._gate = asyncio.Semaphore(config.queries_max)
        self._failures = 0
        self._cache: AnswerCache[tuple[str, str], Answer] = AnswerCache(
            self._fetch, clock or loop.time, config.entries_max
        )

    async def mx(self, domain: str) -> MxRecords | LookupFailure:
        answer = await self._cache.get(("MX", _clean(domain)))
        assert isinstance(answer, MxRecords | LookupFailure)
        return answer

    async def addresses(self, name: str) -> AddressRecords | LookupFailure:
        answer = await self._cache.get(("A", _clean(name)))
        assert isinstance(answer, AddressRecords | LookupFailure)
        return answer

    async def txt(self, name: str) -> TxtRecords | LookupFailure:
        answer = await self._cache.get(("TXT", _clean(name)))
        assert isinstance(answer, TxtRecords | LookupFailure)
        return answer

    async def close(self) -> None:
        await self._cache.close()
        await self._dns.close()

    def stats(self) -> dict[str, float]:
        return {**self._cache.stats(), "failures": self._failures}

    async def _fetch(self, key: tuple[str, str]) -> tuple[Answer, float]:
        kind, name = key
        fetch = {"MX": self._fetch_mx, "TXT": self._fetch_txt}.get(kind, self._fetch_addresses)
        async with self._gate:
            answer: Answer = await fetch(name)
        config, what = self._config, _WHAT[kind]
        if not isinstance(answer, LookupFailure):
            self._on_lookup(what, "ok")
            return answer, answer.ttl_s
        self._on_lookup(what, "failed" if answer.kind == "failed" else "missing")
        if answer.kind == "failed":
            self._failures += 1
            return answer, config.ttl_failed_s
        return answer, config.ttl_negative_s

    async def _query(
        self, name: str, record: Literal["MX", "A", "AAAA", "TXT"]
    ) -> list[pycares.DNSRecord] | LookupFailure:
        try:
            async with asyncio.timeout(self._config.timeout_s):
                result = await self._dns.query_dns(name, record)
        except TimeoutError:
            return failed(name, record, "timed out")
        except UnicodeError:
            return nxdomain(name)
        except DNSError as error:
            code = error.args[0]
            if code in (ARES_ENOTFOUND, ARES_EBADNAME):
                return nxdomain(name)
            if code == ARES_ENODATA:
                return nodata(name, record)
            return failed(name, record, str(error.args[-1]))
        kind = aiodns.query_type_map[record]
        records = [found for found in result.answer if found.type == kind]
        return records or nodata(name, record)

    def _ttl(self, records: list[int]) -> float:
        return min(max(min(records), self._config.ttl_min_s), self._config.ttl_max_s)

    async def _fetch_mx(self, domain: str) -> MxRecords | LookupFailure:
        found = await self._query(domain, "MX")
        if isinstance(found, LookupFailure):
            return found
        data = [record.data for record in found]
        pairs = {
            (entry.priority, _clean(entry.exchange))
            for entry in data
            if isinstance(entry, pycares.MXRecordData)
        }
        return MxRecords(tuple(sorted(pairs)), self._ttl([record.ttl for record in found]))

    async def _fetch_txt(self, name: str) -> TxtRecords | LookupFailure:
        found = await self._query(name, "TXT")
        if isinstance(found, LookupFailure):
            return found
        data = [entry.data for entry in found]
        texts = [
            entry.data.decode("utf-8", "replace") if isinstance(entry.data, bytes) else entry.data
            for entry in data
            if isinstance(entry, pycares.TXTRecordData)
        ]
        return TxtRecords(tuple(texts), self._ttl([record.ttl for record in found]))

    async def _fetch_addresses(self, name: str) -> AddressRecords | LookupFailure:
        if "." not in name:
            return await self._fetch_local(name)
        kinds: tuple[Literal["A", "AAAA"], ...] = ("A", "AAAA") if self._config.ipv6 else ("A",)
        answers = await asyncio.gather(*(self._query(name, kind) for kind in kinds))
        records = [found for got in answers if isinstance(got, list) for found in got]
        if not records:
            failures = [got for got in answers if isinstance(got, LookupFailure)]
            order = ("failed", "nxdomain", "nodata")
            return min(failures, key=lambda failure: order.index(failure.kind))
        addresses = tuple(
            record.data.addr
            for record in records
            if isinstance(record.data, pycares.ARecordData | pycares.AAAARecordData)
        )
        return AddressRecords(addresses, self._ttl([record.ttl for record in records]))

    async def _fetch_local(self, name: str) -> AddressRecords | LookupFailure:
        try:
            async with asyncio.timeout(self._config.timeout_s):
                result = await self._dns.getaddrinfo(name, type=socket.SOCK_STREAM)
        except TimeoutError:
            return failed(name, "address", "timed out")
        except (DNSError, UnicodeError) as error:
            if error.args[0] in (ARES_ENOTFOUND, ARES_ENODATA, ARES_ENONAME, ARES_EBADNAME):
                return nxdomain(name)
            return failed(name, "address", str(error.args[-1]))
        texts = [node.addr[0] for node in result.nodes]
        addresses = dict.fromkeys(
            str(ipaddress.ip_address(text.decode() if isinstance(text, bytes) else text))
            for text in texts
        )
        if not addresses:
            return nodata(name, "address")
        return AddressRecords(tuple(addresses), self._config.ttl_min_s)
