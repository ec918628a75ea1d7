"""Addresses and domains in the one form that everything else compares.

A domain is lower case, without a trailing dot, as A-labels (RFC 5890): two spellings of one domain
are one queue, one policy and one DKIM key. The local part is the receiver's business and is never
changed (RFC 5321 2.4).
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

import idna

DOMAIN_CHARS_MAX = 253
_LABEL_CHARS_MAX = 63
_LABEL = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_")


def split(address: str) -> tuple[str, str]:
    """``("local", "domain")``, parted at the last ``@``; the domain is ``""`` where none is."""
    local, at, domain = address.rpartition("@")
    return (local, domain) if at else (address, "")


@lru_cache(maxsize=8192)
def normal_domain(domain: str) -> str:
    """``domain`` in lower case, as A-labels, without the trailing dot; literals in lower case.

    Raises ``ValueError`` for what can be no domain name: empty, too long, an empty or overlong
    label, a character that neither DNS nor IDNA (UTS 46, non-transitional) allows.
    """
    if domain.startswith("["):
        if literal(domain) is None:
            raise ValueError(f"not an address literal: {domain[:80]!r}")
        return domain.lower()
    if len(domain) > DOMAIN_CHARS_MAX + 1:
        raise ValueError(f"domain longer than {DOMAIN_CHARS_MAX} characters")
    name = domain.lower()
    if not name.isascii():
        try:
            name = idna.encode(name, uts46=True).decode("ascii")
        except (idna.IDNAError, UnicodeError) as error:
            raise ValueError(f"not a domain: {domain[:80]!r} ({error})") from None
    name = name.removesuffix(".")
    if len(name) > DOMAIN_CHARS_MAX:
        raise ValueError(f"domain longer than {DOMAIN_CHARS_MAX} characters")
    for label in name.split("."):
        if not 0 < len(label) <= _LABEL_CHARS_MAX or not _LABEL.issuperset(label):
            raise ValueError(f"not a domain: {domain[:80]!r}")
    return name


def literal(domain: str) -> IPv4Address | IPv6Address | None:
    """The address of a literal such as ``[192.0.2.1]`` or ``[IPv6:2001:db8::1]`` (RFC 5321 4.1.3),
    ``None`` where ``domain`` is no well-formed one."""
    if not (domain.startswith("[") and domain.endswith("]")):
        return None
    inner = domain[1:-1]
    try:
        if inner[:5].lower() == "ipv6:":
            return IPv6Address(inner[5:]) if "%" not in inner else None
        return IPv4Address(inner)
    except ValueError:
        return None


def is_literal(domain: str) -> bool:
    return literal(domain) is not None


def normal(address: str) -> str:
    """The address with its domain normalised; raises ``ValueError`` as ``normal_domain`` does."""
    local, domain = split(address)
    if not local or not domain:
        raise ValueError(f"not an address: {address[:80]!r}")
    return f"{local}@{normal_domain(domain)}"


def ascii_form(address: str) -> str | None:
    """``address`` as a server without SMTPUTF8 can take it (domain as A-labels), or ``None`` where
    the local part is not ASCII and there is no such form."""
    if address.isascii():
        return address
    local, domain = split(address)
    if not local.isascii():
        return None
    try:
        return f"{local}@{normal_domain(domain)}"
    except ValueError:
        return None
