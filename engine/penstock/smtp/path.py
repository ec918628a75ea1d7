"""Forward and reverse paths: ``<local@domain>`` as RFC 5321 4.1.2 and RFC 6531 3.3 write it.

Strict on purpose. What is ambiguous between two mail systems (source routes, unquoted specials, a
second ``@``, characters that fold into ``.`` or ``@``) is where open relays and misdelivery come
from, so it is a fault here instead of a guess. Nothing in a local part is ever interpreted.
"""

from __future__ import annotations

import re
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from unicodedata import is_normalized

import idna

LOCAL_PART_MAX = 64
DOMAIN_MAX = 255
PATH_MAX = 256
LABEL_MAX = 63

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\u0080-\U0010ffff-]++"
_DOT_STRING = rf"{_ATOM}(?:\.{_ATOM})*+"
_QUOTED = r'"(?:[ !#-\[\]-~\u0080-\U0010ffff]|\\[ -~])*+"'
_PATH = re.compile(
    rf"<(?:(?P<local>{_DOT_STRING}|{_QUOTED})@(?P<domain>\[[!-Z^-~]*+\]|[^\x00-\x20@<>\[\]\x7f]++))?+>"
)
_ROUTE = re.compile(r"<@[^:>]*:")
_LABEL = re.compile(r"[A-Za-z0-9]++(?:-++[A-Za-z0-9]++)*+")
# What IDNA maps to a dot: never a separator here (RFC 5890 2.3.2.3 allows only U+002E on the wire).
_DOT_LIKE = re.compile("[\u3002\uff0e\uff61\u2024\ufe52]")


class Fault(Enum):
    """Why a path was not accepted; the value is what a client is told."""

    SYNTAX = "Malformed address"
    ROUTE = "Source routes are not accepted"
    LOCAL_PART = "Malformed local part"
    DOMAIN = "Malformed domain"
    LITERAL = "Malformed address literal"
    LENGTH = "Address is too long"


def read_path(text: str, start: int) -> tuple[str, int] | Fault:
    """The address in the path that begins at ``text[start]``, and the offset behind its ``>``.

    ``""`` is the null path ``<>``. Non-ASCII characters pass: whether SMTPUTF8 was announced is the
    caller's to check with ``isascii``.
    """
    found = _PATH.match(text, start)
    if found is None:
        return Fault.ROUTE if _ROUTE.match(text, start) else Fault.SYNTAX
    local, domain = found["local"], found["domain"]
    if local is None:
        return "", found.end()
    fault = _check_local(local) or _check_domain(domain)
    if fault is not None:
        return fault
    if len(found[0].encode()) > PATH_MAX:
        return Fault.LENGTH
    return f"{local}@{domain}", found.end()


def _check_local(local: str) -> Fault | None:
    if len(local.encode()) > LOCAL_PART_MAX:
        return Fault.LENGTH
    return None if local.isprintable() else Fault.LOCAL_PART


def _check_domain(domain: str) -> Fault | None:
    if domain.startswith("["):
        return None if _is_literal(domain[1:-1]) else Fault.LITERAL
    if len(domain.encode()) > DOMAIN_MAX:
        return Fault.LENGTH
    if domain.isascii():
        labels = domain.split(".")
    elif not (domain.isprintable() and is_normalized("NFC", domain)) or _DOT_LIKE.search(domain):
        return Fault.DOMAIN  # not NFC: such as the Kelvin sign, whose small letter is k
    else:
        try:
            labels = idna.encode(domain.lower()).decode("ascii").split(".")
        except (idna.IDNAError, UnicodeError):
            return Fault.DOMAIN
    well = all(len(label) <= LABEL_MAX and _LABEL.fullmatch(label) for label in labels)
    return None if well else Fault.DOMAIN


def _is_literal(inner: str) -> bool:
    """RFC 5321 4.1.3; general address literals (``[tag:...]``) name no network of ours."""
    try:
        if inner[:5].upper() == "IPV6:":
            if "%" in inner:  # a scope means nothing to anybody else
                return False
            IPv6Address(inner[5:])
        else:
            IPv4Address(inner)
    except ValueError:
        return False
    return True
