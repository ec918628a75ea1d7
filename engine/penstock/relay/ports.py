"""What the outward edge takes and gives: small values and Protocols.

``Feed`` is how a connection gets its work and says what became of it; ``Resolver`` is all it knows
of DNS; ``Host`` and ``Destination`` are where a domain's mail goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from penstock.mail.outcome import Outcome
from penstock.policy.mta_sts import StsPolicy
from penstock.relay.tls_demand import NOTHING_PUBLISHED, DomainTls, TlsaSet
from penstock.relay.tls_finding import ResultType
from penstock.smtp.reply import Reply


@dataclass(slots=True)
class Transaction:
    """One message for recipients of one destination: MAIL, RCPT, DATA.

    ``body``: the content in chunks, CRLF lines, not dot-stuffed; ``size``: its bytes.
    ``rcpt_options``: one text a recipient (``"NOTIFY=NEVER ORCPT=rfc822;a@b"``), or ``()``; these
    and ``ret`` and ``envid`` (RFC 3461, xtext already) are used only where the peer offers DSN.
    ``dotted``: a line may begin with a dot. ``ticket`` is the feed's own. ``requiretls``: the host
    is told that it must pass it on as safely (RFC 8689).
    """

    sender: str
    recipients: tuple[str, ...]
    body: Sequence[bytes]
    size: int
    rcpt_options: tuple[str, ...] = ()
    ret: str = ""
    envid: str = ""
    eightbit: bool = False
    smtputf8: bool = False
    ticket: object = None
    dotted: bool = True
    requiretls: bool = False


class Feed(Protocol):
    """The source of one connection's transactions. ``next`` and ``done`` are called from the event
    loop's callbacks: they must not block and must not raise."""

    def next(self) -> Transaction | None:
        """The next transaction, or ``None`` where there is nothing now."""
        ...

    async def wait(self) -> bool:
        """True: ask :meth:`next` again. False: close the connection. May be cancelled and asked
        again: it must not hold a transaction of its own."""
        ...

    def done(self, tx: Transaction, outcomes: Sequence[Outcome]) -> None:
        """Exactly once for every transaction taken; one outcome a recipient, in their order."""
        ...


@dataclass(frozen=True, slots=True)
class Host:
    """A mail exchanger: its name (``""`` for a bare address), its addresses, its MX preference."""

    name: str
    addresses: tuple[str, ...]
    preference: int = 0
    port: int = 25


@dataclass(frozen=True, slots=True)
class Destination:
    """Where the mail of ``domain`` (lower case, A-labels) goes.

    ``hosts`` are in the order of preference, equal ones not shuffled. ``site`` is the key that
    connections and rates are kept by, ``provider`` the policy's name or ``""``. ``route``: the
    number of the route that matched. ``expires_at``: on the clock given to ``Destinations``.
    ``tls``: what the domain publishes of the TLS that connections for it must have.
    """

    domain: str
    hosts: tuple[Host, ...]
    site: str
    provider: str
    via: Literal["route", "mx", "sandbox"]
    route: int | None
    expires_at: float
    tls: DomainTls = NOTHING_PUBLISHED


@dataclass(frozen=True, slots=True)
class LookupFailure:
    """A name that gave no answer. ``nxdomain``: it does not exist; ``nodata``: it exists without
    such a record; ``failed``: nobody could say (SERVFAIL, timeout), ask again later. ``secure``:
    DNSSEC proves that there is none."""

    kind: Literal["nxdomain", "nodata", "failed"]
    reply: Reply
    secure: bool = False


@dataclass(frozen=True, slots=True)
class MxRecords:
    """``records``: (preference, name) as published, names lower case without the last dot (``""``
    is the root: a null MX); ``ttl_s``: how long it may be kept; ``secure``: by DNSSEC."""

    records: tuple[tuple[int, str], ...]
    ttl_s: float = 300.0
    secure: bool = False


@dataclass(frozen=True, slots=True)
class AddressRecords:
    """``addresses``: IPv4 and IPv6 in text form. ``tlsa_bases``: the names at which a signed TLSA
    record counts, in the order to look; none where DNSSEC does not vouch for the addresses."""

    addresses: tuple[str, ...]
    ttl_s: float = 300.0
    tlsa_bases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TxtRecords:
    """``texts``: each record's strings put together."""

    texts: tuple[str, ...]
    ttl_s: float = 300.0


class Resolver(Protocol):
    """DNS as the relay needs it; never raises for what DNS may answer."""

    async def mx(self, domain: str) -> MxRecords | LookupFailure: ...

    async def addresses(self, name: str) -> AddressRecords | LookupFailure: ...


class StsAnswer(NamedTuple):
    """``policy``: in whatever mode; ``trouble``: as ``DomainTls.sts_trouble``; ``ttl_s``: how long
    that may be relied on."""

    policy: StsPolicy | None = None
    trouble: tuple[ResultType, str] = ("", "")
    ttl_s: float = 3600.0


class StsFinder(Protocol):
    """MTA-STS; never raises, and answers in bounded time."""

    async def find(self, domain: str) -> StsAnswer: ...


class DaneAnswer(NamedTuple):
    """``secure``: the domain's hosts are known by DNSSEC; ``tlsa``: of those that have records;
    ``ttl_s``: how long that may be relied on."""

    secure: bool = False
    tlsa: tuple[TlsaSet, ...] = ()
    ttl_s: float = 3600.0


class DaneFinder(Protocol):
    """DANE; never raises, and answers in bounded time. ``hosts``: those that mail may go to, with
    the names that the MX records give."""

    async def find(self, domain: str, hosts: Sequence[Host]) -> DaneAnswer: ...


class Sandbox(Protocol):
    """Stands in for DNS and the world: every domain's mail goes to these hosts, on any port."""

    def hosts(self, domain: str) -> tuple[Host, ...]:
        """In the order of preference; empty for a domain that does not exist."""
        ...


class Classifier(Protocol):
    """The two questions that the relay asks of the policies."""

    def site_of(self, mx: Sequence[tuple[int, str]]) -> str: ...

    def provider_of(self, domain: str, mx: Sequence[str]) -> str: ...
