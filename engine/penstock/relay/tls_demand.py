"""What a connection for a domain's mail must have: one value, made of all that has a say in it.

The operator's policy says what is wanted at least (``tls``, ``tls_min_version``). The domain itself
may ask for more: by MTA-STS (RFC 8461) or DANE (RFC 7672), and so may the message, by REQUIRETLS
(RFC 8689). None of them can make it less. What a domain asks for is nobody else's concern, even
where others have the same hosts: mail under different demands goes by different sites, and so by
different connections. Domains that ask for the same share them.
"""

from __future__ import annotations

import hashlib
from typing import Literal, NamedTuple

from penstock.policy.limits import Limits
from penstock.policy.mta_sts import StsPolicy, host_matches
from penstock.policy.narrowing import NarrowedTls
from penstock.relay.tls_finding import ResultType

Mode = Literal["none", "opportunistic", "required", "verified"]
MinVersion = Literal["1.2", "1.3"]
Origin = Literal["policy", "mta-sts", "dane", "requiretls"]
MessageTls = Literal["", "require", "relax"]
_STRENGTH = {"none": 0, "opportunistic": 1, "required": 2, "verified": 3}


_PATTERNS_SHOWN_MAX = 3


class Fault(NamedTuple):
    """``text``: for people, as it stands behind ``TLS handshake failed:``."""

    result_type: ResultType
    text: str


class Tlsa(NamedTuple):
    """One usable TLSA record (RFC 6698 2.1); ``data``: the bytes to be matched."""

    usage: int
    selector: int
    matching: int
    data: bytes


class TlsaSet(NamedTuple):
    """What DNS says, validated, of one mail host. ``host``: as in the MX record; ``name``: where
    the records stand, ``_25._tcp.mx.example``.

    Without ``records`` and ``trouble`` there are records of which none can be used: TLS is
    mandatory, nothing is authenticated (RFC 7672 2.2). ``trouble``: why nothing may be sent to this
    host now (a bogus answer). ``names``: what a certificate under usage 2 may be for (3.2.2).
    """

    host: str
    name: str
    records: tuple[Tlsa, ...] = ()
    trouble: str = ""
    names: tuple[str, ...] = ()


class DomainTls(NamedTuple):
    """What a domain publishes. ``sts``: its MTA-STS policy, in whatever mode; ``sts_trouble``: why
    there is none although there is a record for it: a result type of RFC 8460 and the detail.
    ``tlsa``: of its hosts that have such records; a host that is not in it has none. ``secure``:
    that these are its hosts was validated (DNSSEC)."""

    sts: StsPolicy | None = None
    sts_trouble: tuple[ResultType, str] = ("", "")
    tlsa: tuple[TlsaSet, ...] = ()
    secure: bool = False

    @property
    def names_hosts(self) -> bool:
        """Whether it is certain which hosts are the domain's."""
        return self.secure or (self.sts is not None and self.sts.mode != "none")


NOTHING_PUBLISHED = DomainTls()


class TlsDemand(NamedTuple):
    """``patterns``: a host's name must match one of them, where there are any (MTA-STS);
    ``testing``: they are compared and reported, and nothing more. ``tlsa``: hosts in it are
    authenticated by their records and not by a certificate authority. ``where``: file and line, the
    id of the MTA-STS policy, or the name of the TLSA records. ``requiretls``: only hosts that offer
    REQUIRETLS."""

    mode: Mode = "opportunistic"
    min_version: MinVersion = "1.2"
    patterns: tuple[str, ...] = ()
    origin: Origin = "policy"
    where: str = ""
    tlsa: tuple[TlsaSet, ...] = ()
    testing: bool = False
    requiretls: bool = False

    def tlsa_of(self, host: str) -> TlsaSet | None:
        """The records that ``host`` is authenticated by, if there are any."""
        for found in self.tlsa:
            if found.host == host:
                return found
        return None

    def allows(self, host: str) -> bool:
        """Whether mail may go to a host of this name at all."""
        return not self.patterns or self.testing or host_matches(host, self.patterns)


class Terms(NamedTuple):
    """All that a site's mail demands besides the site's limits."""

    published: DomainTls = NOTHING_PUBLISHED
    narrowed: NarrowedTls | None = None
    requiretls: bool = False

    @property
    def suffix(self) -> str:
        """What tells such a site from the others of the same hosts; ``""`` where nothing does."""
        published = self.published
        parts: list[str] = []
        if self.narrowed is not None:
            parts.append(f"{self.narrowed.tls or ''}{self.narrowed.tls_min_version or ''}")
        if published.sts is not None and published.sts.mode != "none":
            parts.append(f"sts-{published.sts.mode}-{_digest(published.sts.mx)}")
        if published.tlsa:
            parts.append(f"dane-{_digest(published.tlsa)}")
        if self.requiretls:
            parts.append("requiretls-secure" if published.secure else "requiretls")
        return "".join(f"+{part}" for part in parts)

    def demand(self, limits: Limits) -> TlsDemand:
        """The strictest of what policy, domain and message ask for."""
        mode, min_version, where = limits.tls, limits.tls_min_version, limits.where("tls")
        if self.narrowed is not None:
            if self.narrowed.tls is not None:
                mode, where = self.narrowed.tls, self.narrowed.tls_where
            min_version = self.narrowed.tls_min_version or min_version
        demand = TlsDemand(mode, min_version, where=str(where))
        if self.published.sts is not None:
            demand = _with_sts(demand, self.published.sts)
        if self.published.tlsa:
            demand = _with_dane(demand, self.published.tlsa)
        return _with_requiretls(demand) if self.requiretls else demand


def _with_sts(demand: TlsDemand, sts: StsPolicy) -> TlsDemand:
    if sts.mode == "enforce":
        where = f"policy id {sts.id}"
        return demand._replace(mode="verified", patterns=sts.mx, origin="mta-sts", where=where)
    return demand._replace(patterns=sts.mx, testing=True) if sts.mode == "testing" else demand


def _with_dane(demand: TlsDemand, tlsa: tuple[TlsaSet, ...]) -> TlsDemand:
    """Hosts without records are met as if there was no DANE."""
    if _STRENGTH[demand.mode] <= _STRENGTH["opportunistic"]:
        where = ", ".join(found.name for found in tlsa)
        demand = demand._replace(mode="opportunistic", origin="dane", where=where)
    return demand._replace(tlsa=tlsa)


def _with_requiretls(demand: TlsDemand) -> TlsDemand:
    """A policy that its domain only tests has to do for knowing the hosts."""
    if demand.mode != "verified" or demand.testing:
        demand = demand._replace(mode="verified", testing=False)
    return demand._replace(origin="requiretls", where="the message", requiretls=True)


NO_TERMS = Terms()


def who_demands(demand: TlsDemand) -> str:
    """Who says so: a file and line, or what the domain publishes, or the message."""
    whose = {"mta-sts": "MTA-STS, ", "dane": "DANE, ", "requiretls": "REQUIRETLS, "}
    return f"{whose.get(demand.origin, '')}{demand.where or 'policy'}"


def demanded_by(demand: TlsDemand) -> str:
    """The same as it stands behind a reply of ours."""
    return f" (demanded by {who_demands(demand)})"


def host_refused(demand: TlsDemand, host: str) -> Fault | None:
    """Why nothing may be sent to a host of this name, whatever it offers."""
    if not demand.allows(host):
        names = ", ".join(demand.patterns[:_PATTERNS_SHOWN_MAX])
        text = f"MX host {host or 'without a name'} is not in the domain's MTA-STS policy: {names}"
        return Fault("validation-failure", text)
    tlsa = demand.tlsa_of(host)
    if tlsa is not None and tlsa.trouble:
        return Fault(
            "dnssec-invalid", f"TLSA records of {host} cannot be relied on: {tlsa.trouble}"
        )
    return None


def _digest(value: object) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:8]
