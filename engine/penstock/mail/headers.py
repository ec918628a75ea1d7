"""The header block: one bulk scan when a message comes in, and the trace fields we add.

Intake needs few facts of a message: where its body starts, how many hops it has seen, which of the
mandatory fields it lacks, and the ``X-Penstock-*`` fields by which an injector talks to the engine
and which never leave it. One regular expression checks the shape of the whole block, a second one
jumps from line start to line start and stops only at the names that matter; nothing is decoded but
the values of control fields. The first line that is no header field ends the header, as in Postfix:
``strip`` then puts the missing blank line in, so that fields may be prepended to any content.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

HEADER_BYTES_MAX = 256 << 10
CONTROL_FIELDS_MAX = 64
CONTROL_VALUE_BYTES_MAX = 8192
WORD_CHARS_MAX = 255
RECIPIENT_CHARS_MAX = 320

# Possessive quantifiers: the shape of a field is unambiguous, so there is nothing to go back to.
_BLOCK = re.compile(rb"(?:[!-9;-~]++[ \t]*+:[^\n]*+\n(?:[ \t][^\n]*+\n)*+)*+")
_NAMES = re.compile(
    rb"\n(received|date|message-id|from|tls-required|x-penstock-[!-9;-~]*+)[ \t]*+:",
    re.IGNORECASE,
)
_RELAXED = re.compile(rb"\ntls-required[ \t]*+:[ \t]*+no[ \t]*+\r?\n(?![ \t])", re.IGNORECASE)
_CONTROL = re.compile(rb"\nx-penstock-([!-9;-~]*+)[ \t]*+:", re.IGNORECASE)
_LISTS = frozenset({"tag"})  # control fields that may be given in parts
_FIELD_END = re.compile(rb"\n(?![ \t])")

# What may stand in our own fields: nothing that ends a line, a comment, a clause or a path.
_UNSAFE = re.compile(r"[^!-'*-:=?-\[\]-~]")
_UNSAFE_COMMENT = re.compile(r"[^ !-'*-\[\]-~]")
_UNSAFE_ID = re.compile(r"[^0-9A-Za-z.!#$%&'*+/=?^_`{|}~-]")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_LATEST = 253402300799  # the last second that datetime knows: 9999-12-31


_NO_CONTROL: Mapping[str, str] = MappingProxyType({})


class Headers(NamedTuple):
    """What ``scan`` saw.

    ``end`` is the offset of the body in the scanned content; ``cuts`` are the spans that ``strip``
    leaves out, ``control`` the values they held (suffix of the name in lower case, value on one
    line; the first of a name counts, but those of a list are joined by commas). ``separated`` is
    false where no blank line ends the header and ``strip`` adds one. ``truncated``: the header is
    over ``HEADER_BYTES_MAX`` and only that much of it was looked at; ``overlong``: the control
    fields of which not all was kept. ``relaxed``: it has ``TLS-Required: No`` (RFC 8689).
    """

    end: int
    received_count: int = 0
    has_date: bool = False
    has_message_id: bool = False
    has_from: bool = False
    control: Mapping[str, str] = _NO_CONTROL
    cuts: tuple[tuple[int, int], ...] = ()
    separated: bool = True
    truncated: bool = False
    overlong: frozenset[str] = frozenset()
    relaxed: bool = False

    @property
    def stripped_end(self) -> int:
        """Where the body starts in the chunks that ``strip`` returns, joined."""
        return self.end - sum(stop - start for start, stop in self.cuts) + 2 * (not self.separated)


def body_offset(content: bytes) -> int:
    """Where the body starts in content that has passed ``strip``; its length where no body is."""
    fields = _fields_end(content)
    return len(content) if fields < 0 else fields + 2


def _fields_end(content: bytes) -> int:
    """The offset of the blank line, -1 where there is none."""
    if content.startswith(b"\r\n"):
        return 0
    found = content.find(b"\r\n\r\n")
    return found + 2 if found >= 0 else -1


def scan(content: bytes) -> Headers:
    """Look once over the header block of ``content`` (lines ended by CRLF). Accepts any bytes."""
    blank = _fields_end(content)
    limit = min(len(content) if blank < 0 else blank, HEADER_BYTES_MAX)
    start = 0
    if content.startswith((b"From ", b">From ")):  # a mailbox's separator, not a field
        start = content.find(b"\n", 0, limit) + 1
    shape = _BLOCK.match(content, start, limit)
    stop = shape.end() if shape else start
    # Stopped inside a line that goes on behind the limit: too long, rather than ill-formed.
    truncated = limit == HEADER_BYTES_MAX != blank and content.find(b"\n", stop, limit) < 0
    separated = stop == blank or (truncated and blank >= 0)
    body = blank + 2 if separated else stop

    block = b"\n" + content[start:stop]  # so that the first field too follows a line end
    names = [name.lower() for name in _NAMES.findall(block)]
    hops, dates = names.count(b"received"), names.count(b"date")
    ids, authors = names.count(b"message-id"), names.count(b"from")
    cuts: tuple[tuple[int, int], ...] = ((0, start),) if start else ()
    has = dates > 0, ids > 0, authors > 0
    if hops + dates + ids + authors == len(names):
        return Headers(body, hops, *has, _NO_CONTROL, cuts, separated, truncated)
    relaxed = b"tls-required" in names and _RELAXED.search(block) is not None
    control, spans, overlong = _control(block, start - 1)
    cuts += spans
    return Headers(body, hops, *has, control, cuts, separated, truncated, overlong, relaxed)


def _control(
    block: bytes, origin: int
) -> tuple[dict[str, str], tuple[tuple[int, int], ...], frozenset[str]]:
    """The control fields of ``block``, their spans, and which were cut; ``origin``: offset of the
    block's start."""
    values: dict[str, str] = {}
    spans = []
    overlong = set()
    for found in _CONTROL.finditer(block):
        ends = _FIELD_END.search(block, found.end())
        after = ends.end() if ends else len(block)
        spans.append((origin + found.start() + 1, origin + after))
        name = found[1].decode("ascii").lower()
        raw = block[found.end() : after]
        if name not in values:
            if len(values) == CONTROL_FIELDS_MAX:
                continue
            values[name] = _value(raw)
        elif name in _LISTS and name not in overlong:
            values[name] = joined = f"{values[name]}, {_value(raw)}"
            if len(joined) > CONTROL_VALUE_BYTES_MAX:
                values[name] = joined[:CONTROL_VALUE_BYTES_MAX]
                overlong.add(name)
        else:
            continue
        if len(raw) > CONTROL_VALUE_BYTES_MAX:
            overlong.add(name)
    return values, tuple(spans), frozenset(overlong)


def _value(raw: bytes) -> str:
    text = " ".join(raw[:CONTROL_VALUE_BYTES_MAX].decode("utf-8", "replace").split())
    return text if text.isprintable() else "".join(c for c in text if c.isprintable())


def strip(content: bytes, headers: Headers) -> list[bytes]:
    """``content`` without its control fields, in chunks; ``[content]`` itself where none are."""
    if not headers.cuts and headers.separated:
        return [content]
    chunks = []
    position = 0
    for start, stop in headers.cuts:
        if start > position:
            chunks.append(content[position:start])
        position = stop
    if not headers.separated:
        chunks.append(content[position : headers.end] + b"\r\n")
        position = headers.end
    if position < len(content):
        chunks.append(content[position:])
    return chunks


@lru_cache(maxsize=4)
def _date_text(second: int) -> str:
    moment = datetime.fromtimestamp(min(max(second, 0), _LATEST), UTC)
    return (
        f"{_DAYS[moment.weekday()]}, {moment.day:02d} {_MONTHS[moment.month - 1]} {moment.year}"
        f" {moment.hour:02d}:{moment.minute:02d}:{moment.second:02d} +0000"
    )


def date_text(now: float) -> str:
    """``now`` (seconds since the epoch) as RFC 5322 3.3 writes it, in UTC."""
    return _date_text(int(now))


def date_field(now: float) -> bytes:
    """A whole Date field."""
    return b"Date: %s\r\n" % _date_text(int(now)).encode("ascii")


def message_id_field(id: str, hostname: str) -> bytes:
    """A whole Message-ID field; ``id`` must be unique on ``hostname``."""
    left = _UNSAFE_ID.sub("", id)[:WORD_CHARS_MAX].strip(".") or "unknown"
    right = _UNSAFE_ID.sub("", hostname)[:WORD_CHARS_MAX].strip(".") or "localhost"
    return f"Message-ID: <{left}@{right}>\r\n".encode("ascii")


def protocol(*, extended: bool, tls: bool, authenticated: bool, utf8: bool = False) -> str:
    """The name for the ``with`` clause (RFC 3848, RFC 6531 3.7.3)."""
    if not extended:
        return "SMTP"
    base = "UTF8SMTP" if utf8 else "ESMTP"
    return base + ("S" if tls else "") + ("A" if authenticated else "")


def received(
    *,
    helo: str,
    address: str,
    hostname: str,
    protocol: str,
    id: str,
    now: float,
    rdns: str = "",
    tls: str = "",
    recipient: str = "",
) -> bytes:
    """A whole Received field, folded by clause (RFC 5321 4.4).

    ``address`` is the client's IP address, ``rdns`` its verified name or ``""``, ``tls`` a text
    such as ``"TLSv1.3 TLS_AES_256_GCM_SHA384"``; give ``recipient`` only where there is exactly
    one, so that nobody learns of the others. Whatever would break the syntax is taken out.
    """
    head = _hop(helo, rdns, address, hostname, protocol)
    comment = f"\r\n\t({_UNSAFE_COMMENT.sub('', tls)[:WORD_CHARS_MAX]})" if tls else ""
    path = _path(recipient, utf8=protocol.startswith("UTF8")) if recipient else ""
    clause = f"\r\n\tfor <{path}>" if path else ""
    return f"{head}{_word(id) or '0'}{comment}{clause}; {_date_text(int(now))}\r\n".encode()


@lru_cache(maxsize=1024)
def _hop(helo: str, rdns: str, address: str, hostname: str, protocol: str) -> str:
    """What is the same for every message of a session."""
    peer = _word(address) or "unknown"
    literal = f"[IPv6:{peer}]" if ":" in peer else f"[{peer}]"
    name = _word(rdns)
    return (
        f"Received: from {_word(helo) or 'unknown'} ({name + ' ' if name else ''}{literal})\r\n"
        f"\tby {_word(hostname) or 'localhost'} with {_word(protocol) or 'SMTP'} id "
    )


def _word(text: str) -> str:
    return _UNSAFE.sub("", text)[:WORD_CHARS_MAX]


def _path(recipient: str, *, utf8: bool) -> str:
    """``""`` where the address cannot be told safely: the clause is optional."""
    if len(recipient) > RECIPIENT_CHARS_MAX or not recipient.isprintable():
        return ""
    if not recipient.isascii() and not utf8:
        return ""
    return "" if any(bad in recipient for bad in '<>"\\ ') else recipient
