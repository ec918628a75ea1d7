"""How a connection to one host of a domain becomes as safe as its mail demands.

What a demand comes to depends on the host: one with TLSA records is authenticated by them and needs
no authority, one that the domain's MTA-STS policy does not name gets nothing. A handshake that
resumes an earlier session rests on what was verified then, so a session is kept under all that it
was agreed upon for and offered for nothing else.

A domain that only tests its MTA-STS policy loses no mail by it: the connection is tried as if the
policy were enforced, and made as it would be without if that fails.
"""

from __future__ import annotations

import functools
import hashlib
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from penstock.mail.outcome import Phase
from penstock.relay import dane_match
from penstock.relay.client import Client, Refusal, Securing, greet
from penstock.relay.egress import WayOut
from penstock.relay.options import ConnectOptions
from penstock.relay.ports import Host
from penstock.relay.resumption import Handshake, SessionKey
from penstock.relay.tls import TlsMemory
from penstock.relay.tls_check import Check
from penstock.relay.tls_demand import (
    NOTHING_PUBLISHED,
    DomainTls,
    Fault,
    MinVersion,
    TlsaSet,
    TlsDemand,
    demanded_by,
    host_refused,
)
from penstock.relay.tls_finding import TlsFinding, TlsSeen, nobody_counts
from penstock.smtp.reply import Reply


class Wanted(NamedTuple):
    """``domain``: the recipients'; ``published``: what ``demand`` was made of, for reports;
    ``named``: it is certain which hosts are the domain's; ``seen`` hears how each host did;
    ``wall``: seconds since the epoch, for the validity of certificates."""

    demand: TlsDemand = TlsDemand()
    domain: str = ""
    published: DomainTls = NOTHING_PUBLISHED
    named: bool = True
    seen: TlsSeen = nobody_counts
    wall: Callable[[], float] = lambda: 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What a host is met with. ``name``: a session is resumed under the same name only; ``host``:
    the name that it is asked for, where that is not its own (RFC 7672 section 2.2)."""

    name: str
    must: bool
    verify: bool = False
    min_version: MinVersion = "1.2"
    check: Check | None = None
    host: str = ""


class Opener:
    """One attempt at a destination's hosts: their connections, and what is to be said of them."""

    def __init__(
        self,
        options: ConnectOptions,
        memory: TlsMemory,
        clock: Callable[[], float],
        way_out: WayOut,
        wanted: Wanted,
    ) -> None:
        self._options, self._memory, self._clock = options, memory, clock
        self._way_out, self._wanted = way_out, wanted
        self._why = demanded_by(wanted.demand)
        if wanted.published.sts_trouble[0]:
            self._trouble()

    def refused(self, host: Host) -> Refusal | None:
        """Why nothing may go to this host, whatever it offers."""
        demand = self._wanted.demand
        fault = host_refused(demand, host.name)
        if fault is None:
            return self._unnamed()
        self._tell(host, "", fault)
        code = "4.7.1" if fault.result_type == "validation-failure" else "4.7.5"
        text = f"{code} {fault.text}{self._why}"
        return Refusal(Phase.TLS, Reply.of(451, text), fault=fault)

    def _unnamed(self) -> Refusal | None:
        """REQUIRETLS goes to hosts that are known to be the domain's (RFC 8689 section 4.2.1)."""
        wanted = self._wanted
        if wanted.named or not wanted.demand.requiretls:
            return None
        result_type, detail = wanted.published.sts_trouble
        if result_type:  # it may be known later
            return Refusal(Phase.TLS, Reply.of(451, f"4.7.10 MTA-STS: {detail}{self._why}"))
        text = "5.7.10 Neither DNSSEC nor MTA-STS vouches for the domain's MX records"
        return Refusal(Phase.TLS, Reply.of(550, text + self._why))

    async def open(self, host: Host, address: str) -> Client | Refusal:
        """A connection that meets the demand, or why there is none."""
        opened = await self._open(host, address)
        return self._required(opened) if self._wanted.demand.requiretls else opened

    def _required(self, opened: Client | Refusal) -> Client | Refusal:
        """What REQUIRETLS makes of it: what cannot be had is final (RFC 8689 section 4.2.1)."""
        if isinstance(opened, Client):
            if opened.peer().requiretls:
                return opened
            opened.abort()
            text = "5.7.30 REQUIRETLS is required, not offered by host"
            return Refusal(Phase.EHLO, Reply.of(550, text))
        fault = opened.fault
        if fault is None or fault.result_type == "validation-failure":
            return opened  # it may go well another time
        return replace(opened, reply=Reply.of(550, f"5.7.10 {fault.text}{self._why}"))

    async def _open(self, host: Host, address: str) -> Client | Refusal:
        demand, now = self._wanted.demand, self._clock()
        tlsa = demand.tlsa_of(host.name)
        if tlsa is None and demand.testing and demand.mode not in ("none", "verified"):
            tested = await self._test(host, address, now)
            if tested is not None:
                return tested
        plan = self._plan(tlsa)
        if plan is None:
            return await greet(host, address, self._options, None, self._way_out)
        key = f"{host.name or address}:{host.port}"
        if not plan.must and not self._memory.usable(key, now):
            return await greet(host, address, self._options, None, self._way_out)
        greeted = await self._secure(host, address, plan, now)
        self._told(host, address, greeted)
        if isinstance(greeted, Refusal) and greeted.tls_broken and not plan.must:
            self._memory.broke(key, self._clock())
            greeted = await greet(host, address, self._options, None, self._way_out)
        return greeted

    def _plan(self, tlsa: TlsaSet | None) -> Plan | None:
        demand = self._wanted.demand
        strict = demand.mode in ("required", "verified")
        version: MinVersion = demand.min_version if strict else "1.2"
        if tlsa is not None and tlsa.records:
            check = functools.partial(self._matches, tlsa)
            name = f"dane {version} {_digest(tlsa)}"
            return Plan(name, must=True, min_version=version, check=check, host=_base(tlsa))
        if demand.mode == "verified":  # also where there are records of which none can be used
            return Plan(f"verified {version}", must=True, verify=True, min_version=version)
        if tlsa is not None:
            name = f"required {version}"
            return Plan(name, must=True, min_version=version, host=_base(tlsa))
        if demand.mode == "required":
            return Plan(f"required {version}", must=True, min_version=version)
        return Plan("opportunistic", must=False) if demand.mode == "opportunistic" else None

    def _matches(self, tlsa: TlsaSet, chain: Sequence[bytes]) -> Fault | None:
        return dane_match.mismatch(tlsa, chain, self._wanted.wall())

    async def _test(self, host: Host, address: str, now: float) -> Client | Refusal | None:
        """As the policy under test would have it; ``None`` where it has to go on without."""
        demand = self._wanted.demand
        fault = host_refused(demand._replace(testing=False), host.name)
        key = f"{host.name or address}:{host.port} tested"
        if fault is not None:
            self._tell(host, address, fault)
            return None
        if not self._memory.usable(key, now):
            return None
        plan = Plan("verified 1.2", must=True, verify=True)
        greeted = await self._secure(host, address, plan, now)
        if isinstance(greeted, Refusal) and greeted.fault is None:
            return greeted  # it is not TLS that stands against it
        self._told(host, address, greeted)
        if isinstance(greeted, Client):
            return greeted
        self._memory.broke(key, self._clock())
        return None

    async def _secure(self, host: Host, address: str, plan: Plan, now: float) -> Client | Refusal:
        """Resume the last session of this host, if there is one. Where the handshake breaks over
        it, it is tried without: a peer that cannot resume is no reason to send in the clear."""
        memory = self._memory
        key = SessionKey(plan.name, host.name or address, self._options.seen_from(address))
        try:
            context = memory.context(plan.verify, plan.min_version)
        except OSError as error:  # our own files
            text = f"4.3.5 TLS cannot be used here: {error.strerror or error}"
            return Refusal(Phase.TLS, Reply.of(451, text))
        why = self._why if plan.must else ""
        session = memory.sessions.get(key, now)
        securing = Securing(context, Handshake(session), plan.must, plan.check, why, plan.host)
        greeted = await greet(host, address, self._options, securing, self._way_out)
        if session is not None and isinstance(greeted, Refusal) and greeted.tls_broken:
            memory.sessions.refuse(key, now)
            memory.handshook("failed")
            securing = Securing(context, Handshake(), plan.must, plan.check, why, plan.host)
            greeted = await greet(host, address, self._options, securing, self._way_out)
        if isinstance(greeted, Refusal):
            if greeted.tls_broken:
                memory.handshook("failed")
        elif greeted.tls:
            memory.handshook("resumed" if greeted.resumed else "ok")
            if greeted.session is not None:
                memory.sessions.keep(key, greeted.session, now, self._good_s(greeted, plan))
        return greeted

    def _good_s(self, client: Client, plan: Plan) -> float:
        """How much longer the certificate is valid that was verified."""
        if not plan.verify:
            return float("inf")
        shown = client.get_transport_info("ssl_object").getpeercert() or {}
        until = shown.get("notAfter")
        return ssl.cert_time_to_seconds(until) - self._wanted.wall() if until else 0.0

    # what is said of it

    def _told(self, host: Host, address: str, greeted: Client | Refusal) -> None:
        if isinstance(greeted, Refusal):
            if greeted.fault is not None:
                self._tell(host, address, greeted.fault)
        elif greeted.tls:
            self._tell(host, address, None)
        else:
            self._tell(host, address, Fault("starttls-not-supported", "STARTTLS not offered"))

    def _tell(self, host: Host, address: str, fault: Fault | None) -> None:
        wanted = self._wanted
        tlsa, sts = wanted.demand.tlsa_of(host.name), wanted.published.sts
        finding = TlsFinding(
            wanted.domain,
            "no-policy-found",
            result_type=fault.result_type if fault is not None else "",
            mx_host=host.name,
            mx_address=address,
            source_address=self._options.source_for(address),
            detail=fault.text if fault is not None else "",
        )
        if tlsa is not None:
            lines = tuple(f"{u} {s} {m} {d.hex()}" for u, s, m, d in tlsa.records)
            finding = finding._replace(policy_type="tlsa", policy_string=lines)
        elif sts is not None and sts.mode != "none":
            finding = finding._replace(
                policy_type="sts", policy_string=sts.lines, mx_patterns=sts.mx
            )
        wanted.seen(finding)

    def _trouble(self) -> None:
        """A policy that could not be had is reported like one that is not met."""
        wanted = self._wanted
        result_type, detail = wanted.published.sts_trouble
        wanted.seen(TlsFinding(wanted.domain, "sts", result_type=result_type, detail=detail))


def _base(tlsa: TlsaSet) -> str:
    """The host's name where its records stand."""
    return tlsa.names[0] if tlsa.names else tlsa.host


def _digest(tlsa: TlsaSet) -> str:
    return hashlib.sha256(repr(tlsa).encode()).hexdigest()[:16]
