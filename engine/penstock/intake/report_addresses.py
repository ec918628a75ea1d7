"""The addresses that a listener of role ``feedback`` takes mail for, and what each is for.

Addresses with a token are good while the token is; a few local parts take complaints without one,
and ``postmaster`` is there because it has to be (RFC 5321 4.5.1). Everything else is refused, so
that nothing is relayed and nobody can use us to guess addresses.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import NamedTuple

from penstock.mail.address import normal_domain, split
from penstock.mail.verp import (
    BOUNCE,
    COMPLAINT,
    UNSUBSCRIBE,
    BadToken,
    TokenKeys,
    find_token,
    read_token,
)
from penstock.smtp.reply import Reply

POSTMASTER = "postmaster"
ROLES: Mapping[str, str] = MappingProxyType(
    {BOUNCE: "bounce", COMPLAINT: "complaint", UNSUBSCRIBE: "unsubscribe"}
)
_ELSEWHERE = Reply.of(550, "5.7.1 Relaying denied")
_NOBODY = Reply.of(550, "5.1.1 No such address here")
_EXPIRED = Reply.of(550, "5.1.1 This address has expired")


class Admitted(NamedTuple):
    """``role``: ``bounce``, ``complaint``, ``unsubscribe`` or ``postmaster``; ``token``: ``""``
    where the address has none."""

    role: str
    token: str = ""


class Turned(NamedTuple):
    """Refused with ``reply``. ``reason``: that of the token, ``unknown`` or ``elsewhere``;
    ``role``: what the address would have been for, ``other`` where that is not known."""

    role: str
    reason: str
    reply: Reply


class Ages(NamedTuple):
    """Days that tokens are good, by what they are for."""

    bounce: int = 30
    complaint: int = 180
    unsubscribe: int = 400

    def of(self, purpose: str) -> int:
        return int(getattr(self, ROLES[purpose]))


class ReportAddresses:
    """``domains``: in lower case, as A-labels; ``complaints``: local parts, in lower case.
    ``hostname`` is our own, where there is a postmaster too, and nobody else."""

    def __init__(
        self,
        keys: TokenKeys,
        domains: Collection[str],
        complaints: Collection[str] = (),
        ages: Ages = Ages(),  # noqa: B008 - immutable
        hostname: str = "",
    ) -> None:
        self._hostname = hostname.lower()
        self._keys, self._ages = keys, ages
        self._domains, self._complaints = frozenset(domains), frozenset(complaints)

    def find(self, address: str, now: float) -> Admitted | Turned:
        """``address`` as RCPT gave it: ``local@domain``, or ``Postmaster`` alone."""
        local, domain = split(address)
        local = local.strip('"').lower()
        if local == POSTMASTER and domain.lower() in ("", self._hostname):
            return Admitted(POSTMASTER)
        try:
            domain = normal_domain(domain)
        except ValueError:
            domain = ""
        if domain not in self._domains:
            return Turned("other", "elsewhere", _ELSEWHERE)
        if local == POSTMASTER:
            return Admitted(POSTMASTER)
        if local in self._complaints:
            return Admitted("complaint")
        return self._by_token(local, now)

    def _by_token(self, local: str, now: float) -> Admitted | Turned:
        found = find_token(local)
        if found is None:
            role = ROLES.get(local[:1], "other") if local[1:2] == "-" else "other"
            return Turned(role, "unknown" if role == "other" else "malformed", _NOBODY)
        role = ROLES[found.purpose]
        try:
            token = read_token(self._keys, found.token, now, self._ages.of(found.purpose))
        except BadToken as bad:
            reply = _EXPIRED if bad.reason == "expired" else _NOBODY
            return Turned(role, bad.reason, reply)
        if token.purpose != found.purpose:
            return Turned(role, "forged", _NOBODY)
        return Admitted(role, found.token)
