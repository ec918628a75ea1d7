"""The scanner of header blocks, and what intake makes of its findings.

Invariants: no bytes are too strange; on content as intake lets it through the findings are those of
a slow reader that goes line by line; the body is never touched; what is stored has no control
field, a blank line behind its header, no bare CR or LF and our Received field on top; scanning it
again finds nothing to take out.
"""

from __future__ import annotations

from typing import NamedTuple

from penstock.intake.accept import Origin, prepare
from penstock.mail import headers as room
from penstock.mail.canonical import parse
from penstock.mail.envelope import CLASSES, Envelope, Recipient
from penstock.mail.headers import body_offset, scan, strip
from penstock.smtp.content import ContentRules, normalise
from penstock.smtp.content import check as refused
from penstock.smtp.reply import Reply

TOKENS = (
    b"Received: from x\r\n", b"Date: now\r\n", b"Message-ID: <a@b>\r\n", b"From: a@b\r\n",
    b"X-Penstock-Tenant: acme\r\n", b"X-Penstock-Campaign: spring\r\n", b"x-penstock-x:\r\n",
    b"X-Penstock-Tag: a=1, b=2\r\n", b"X-Penstock-Class: bulk\r\n", b"X-Penstock-Tag:",
    b"X-Penstock-Deliver-At: +1h\r\n", b"X-Penstock-Expires: +1d\r\n", b"=", b",", b"+",
    b"X-Penstock-Tenant", b"X-Penstock-", b"From x\r\n", b">From x\r\n", b"Subject: s\r\n",
    b"\r\n", b"\r\n\r\n", b"\n", b"\r", b" ", b"\t", b":", b" :", b"\r\n ", b"\r\n\t", b"\0",
    b"\xff", b"--x\r\n",
    b"\xc2\x85", b"MIME-Version: 1.0\r\n", b"Content-Type: multipart/mixed; boundary=x\r\n",
    b"\x0b", b"\x0c", b"received:\r\n" * 10,
)  # fmt: skip
BYTES_MAX = 4096
RULES = ContentRules(size_bytes_max=1 << 20, line_bytes_max=1000)
_NEAR = Origin("client.example", "192.0.2.1", trusted=True)
_FAR = Origin("client.example", "192.0.2.1")


class Slow(NamedTuple):
    """What the slow reader saw; ``kept``: the content without what is taken out."""

    end: int
    names: list[bytes]
    control: dict[str, list[bytes]]  # the parts of each value
    kept: bytes
    separated: bool


def check(data: bytes) -> None:
    """``data``: options (1 byte), content."""
    options, raw = (data[0] if data else 0), data[1:]
    found = scan(raw)
    b"".join(strip(raw, found))
    parse(raw, found.end)
    content = normalise(raw)
    if content and not content.endswith(b"\r\n"):
        content += b"\r\n"
    limit = room.HEADER_BYTES_MAX
    try:
        if options & 1:
            room.HEADER_BYTES_MAX = 64
        _check_scan(content)
        _check_stored(content, _NEAR if options & 2 else _FAR)
    finally:
        room.HEADER_BYTES_MAX = limit


def _check_scan(content: bytes) -> None:
    found, slow = scan(content), _read_slowly(content)
    assert 0 <= found.end <= len(content)
    if found.truncated:
        # The first line behind the fields is not over where looking ends: that counts as header.
        assert content.find(b"\n", slow.end, room.HEADER_BYTES_MAX) < 0
        return
    if slow.end > room.HEADER_BYTES_MAX:  # ends a line exactly at the limit
        return
    assert (found.end, found.separated) == (slow.end, slow.separated)
    assert found.received_count == slow.names.count(b"received")
    assert found.has_date == (b"date" in slow.names)
    assert found.has_message_id == (b"message-id" in slow.names)
    assert found.has_from == (b"from" in slow.names)
    if len(slow.control) <= room.CONTROL_FIELDS_MAX:
        assert set(found.control) == set(slow.control)
    for name, value in found.control.items():
        assert value.isprintable()
        given = slow.control[name]
        if all(part.isascii() and part.decode().isprintable() for part in given):
            assert value == ", ".join(" ".join(part.decode().split()) for part in given)
    joined = b"".join(strip(content, found))
    assert joined == slow.kept
    assert joined[found.stripped_end :] == content[found.end :]
    if joined:
        assert body_offset(joined) == found.stripped_end
    again = scan(joined)
    assert not again.cuts or joined.startswith((b"From ", b">From "))
    assert not again.control
    assert len(parse(joined, found.stripped_end).names) == sum(
        not name.startswith(b"x-penstock-") for name in slow.names
    )


def _check_stored(content: bytes, origin: Origin) -> None:
    if isinstance(refused(content, RULES), Reply):
        return
    envelope = Envelope("a@b", [Recipient("c@d")], 0.0, ref=1)
    stored = prepare(envelope, content, origin, hostname="mx.example", now=0.0)
    if isinstance(stored, Reply):
        assert stored.permanent
        assert str(stored).isprintable()
        return
    whole = b"".join(stored)
    assert whole.startswith(b"Received: from client.example ([192.0.2.1])\r\n")
    assert whole.count(b"\r") == whole.count(b"\n") == whole.count(b"\r\n")
    head = whole[: body_offset(whole)].lower()
    assert b"\nx-penstock-" not in head
    if origin.trusted:
        assert b"\ndate" in head
        assert b"\nmessage-id" in head
        for label in (envelope.tenant, envelope.campaign, *envelope.tags):
            assert len(label) <= 64
            assert label.isprintable()
        assert envelope.class_ in ("", *CLASSES)
        assert len(envelope.tags) <= 16
        assert not 0 < envelope.expires_at <= envelope.deliver_at
    else:
        assert envelope == Envelope("a@b", [Recipient("c@d")], 0.0, ref=1)


def _read_slowly(content: bytes) -> Slow:
    lines = content.split(b"\r\n")[:-1]
    names: list[bytes] = []
    control: dict[str, list[bytes]] = {}
    kept = b""
    at = 0
    taken = False  # what a continuation line belongs to was taken out
    ends = -1  # where the value of the last control field ends, if it counts
    for number, line in enumerate(lines):
        whole = line + b"\r\n"
        if not line:
            return Slow(at + 2, names, control, kept + content[at:], True)
        if number == 0 and line.startswith((b"From ", b">From ")):
            at += len(whole)
            continue
        if line[:1] in (b" ", b"\t") and names:
            if taken:
                last = names[-1][11:].decode()
                if at == ends:
                    control[last][-1] += b" " + line
                    ends += len(whole)
            else:
                kept += whole
            at += len(whole)
            continue
        name = _field_name(line)
        if name is None:
            break
        names.append(name)
        taken = name.startswith(b"x-penstock-")
        at += len(whole)
        if not taken:
            kept += whole
            continue
        suffix = name[11:].decode()
        counts = suffix == "tag" or suffix not in control
        ends = at if counts else -1
        if counts:
            control.setdefault(suffix, []).append(line.partition(b":")[2])
    return Slow(at, names, control, kept + b"\r\n" + content[at:], False)


def _field_name(line: bytes) -> bytes | None:
    name, colon, _ = line.partition(b":")
    name = name.rstrip(b" \t")
    well = colon and name and all(33 <= c <= 126 for c in name)
    return name.lower() if well else None
