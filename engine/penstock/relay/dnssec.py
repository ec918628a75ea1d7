"""Questions to a resolver that validates DNSSEC, and whether its word on that can be believed.

Such a resolver says by one bit (AD, RFC 4035 section 3.2.3) that it has checked the signatures.
Anybody between it and us could set that bit. It counts only from this machine's own resolver or
from one that the settings name, for which whoever wrote them answers. What does not validate is
answered with SERVFAIL: that is a failure here, and never the absence of an answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import NamedTuple

import dns.asyncquery
import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.resolver

_PORT = 53
_PAYLOAD_BYTES = 1232
_OF_VALIDATION = frozenset({1, 2, *range(5, 13)})  # RFC 8914: what a validator complains of


class NameServer(NamedTuple):
    address: str
    port: int = _PORT

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return host if self.port == _PORT else f"{host}:{self.port}"

    @property
    def local(self) -> bool:
        try:
            return ip_address(self.address).is_loopback
        except ValueError:
            return False


@dataclass(frozen=True, slots=True)
class DnssecConfig:
    """``nameservers``: asked in this order, all of them ``trusted`` or none."""

    nameservers: tuple[NameServer, ...]
    trusted: bool
    try_timeout_s: float = 2.0
    tries: int = 2


@dataclass(frozen=True, slots=True)
class Answer:
    """``exists``: whether there is such a name; ``name``: what its aliases lead to;
    ``records``: texts of dnspython's records, with no TTL; ``secure``: DNSSEC says so."""

    exists: bool
    name: str
    records: tuple[dns.rdata.Rdata, ...]
    ttl_s: float
    secure: bool
    aliased: bool = False


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """``bogus``: what there is does not validate."""

    why: str
    bogus: bool = False


def name_server(text: str) -> NameServer:
    """``text``: an address, or one with a port as in ``[::1]:53``."""
    host, colon, port = text.rpartition(":")
    with_port = bool(colon) and port.isdecimal() and (host.endswith("]") or ":" not in host)
    address = (host if with_port else text).removeprefix("[").removesuffix("]")
    return NameServer(address, int(port) if with_port else _PORT)


def config_of(named: Sequence[str]) -> DnssecConfig:
    """``named``: as the settings have them; without any, the system's own."""
    if named:
        return DnssecConfig(tuple(map(name_server, named)), trusted=True)
    try:
        system = dns.resolver.Resolver()
        found = tuple(NameServer(str(one), system.port) for one in system.nameservers)
    except (dns.exception.DNSException, OSError):
        found = ()
    return DnssecConfig(found, trusted=bool(found) and all(one.local for one in found))


async def ask(config: DnssecConfig, name: str, kind: str) -> Answer | NoAnswer:
    """The records of one kind; never raises for what DNS may answer."""
    try:
        query = dns.message.make_query(
            name, kind, use_edns=0, payload=_PAYLOAD_BYTES, flags=dns.flags.RD | dns.flags.AD
        )
    except (dns.exception.DNSException, UnicodeError, ValueError):
        return Answer(False, name, (), 0.0, secure=False)
    failure = NoAnswer("there is no resolver")
    for _ in range(config.tries):
        for server in config.nameservers:
            found = await _try(config, server, query)
            if isinstance(found, Answer):
                return found
            failure = found
            if found.bogus:
                return found
    return failure


async def _try(
    config: DnssecConfig, server: NameServer, query: dns.message.QueryMessage
) -> Answer | NoAnswer:
    try:
        response, _ = await dns.asyncquery.udp_with_fallback(
            query,
            server.address,
            timeout=config.try_timeout_s,
            port=server.port,
            ignore_unexpected=True,
            ignore_errors=True,
        )
    except dns.exception.Timeout:
        return NoAnswer(f"no answer from {server}")
    except (dns.exception.DNSException, OSError, EOFError, ValueError) as error:
        return NoAnswer(f"{server}: {str(error)[:100] or type(error).__name__}")
    if response.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        return _refusal(server, response)
    try:
        chain = response.resolve_chaining()  # type: ignore[attr-defined]
    except dns.exception.DNSException as error:
        return NoAnswer(f"{server}: {str(error)[:100] or type(error).__name__}")
    secure = config.trusted and bool(response.flags & dns.flags.AD)
    return Answer(
        response.rcode() == dns.rcode.NOERROR,
        chain.canonical_name.to_text(omit_final_dot=True).lower(),
        tuple(chain.answer) if chain.answer is not None else (),
        float(chain.minimum_ttl),
        secure,
        aliased=bool(chain.cnames),
    )


def _refusal(server: NameServer, response: dns.message.Message) -> NoAnswer:
    """What the resolver says went wrong; without more than SERVFAIL it may be anything."""
    what = dns.rcode.to_text(response.rcode())
    notes = [one for one in response.options if isinstance(one, dns.edns.EDEOption)]
    if not notes:
        return NoAnswer(f"{what} from {server}")
    code = int(notes[0].code)
    try:
        name = dns.edns.EDECode(code).name.replace("_", " ").lower()
    except ValueError:
        name = f"error {code}"
    return NoAnswer(f"{what} from {server}: {name}", bogus=code in _OF_VALIDATION)
