"""The DNS record by which a domain asks for reports on TLS (RFC 8460 section 3)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from penstock.mail.address import normal_domain, split

VERSION = "v=TLSRPTv1"
DESTINATIONS_MAX = 5
_TEXT_MAX = 4096
_LOCAL_CHARS = frozenset(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.!#$%&'*+-/=?^_`{|}~"
)


class Destination(NamedTuple):
    """``kind``: ``mailto``, and ``target`` is an address; or ``https``, and it is a URL."""

    kind: str
    target: str

    def __str__(self) -> str:
        return self.target if self.kind == "https" else f"{self.kind}:{self.target}"


def record_name(domain: str) -> str:
    return f"_smtp._tls.{domain}"


def destinations(texts: Iterable[str]) -> tuple[Destination, ...]:
    """Where reports go, by the TXT records at :func:`record_name`; empty where there is not exactly
    one record of this kind, or it names nothing that can be used."""
    records = [text for text in texts if text.partition(";")[0].strip() == VERSION]
    if len(records) != 1 or len(records[0]) > _TEXT_MAX:
        return ()
    for field in records[0].split(";")[1:]:
        name, equals, value = field.partition("=")
        if equals and name.strip() == "rua":
            found = [one for text in value.split(",") if (one := _destination(text.strip()))]
            return tuple(dict.fromkeys(found))[:DESTINATIONS_MAX]
    return ()


def _destination(text: str) -> Destination | None:
    """``None`` for what is no URI of the two kinds; commas in it are written as %2C."""
    if not text.isascii() or not text.isprintable() or " " in text:
        return None
    scheme, _, rest = text.partition(":")
    if scheme.lower() == "mailto":
        return _mailbox(unquote(rest.partition("?")[0]))
    if scheme.lower() != "https":
        return None
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if not host or parts.username is not None or port == 0:
        return None
    return Destination("https", text)


def _mailbox(address: str) -> Destination | None:
    local, domain = split(address)
    if not local or not _LOCAL_CHARS.issuperset(local) or len(local) > 64:
        return None
    try:
        return Destination("mailto", f"{local}@{normal_domain(domain)}")
    except ValueError:
        return None
