"""The client's reply parser against a peer that sends anything.

Invariants: however the bytes are cut, the same replies come out; after an error nothing does; what
is kept is bounded after every chunk; a reply has a lawful code and text without line ends or
controls; what we would write for it is read back as the same reply.
"""

from __future__ import annotations

from penstock.smtp import client_reply
from penstock.smtp.client_reply import ProtocolError, ReplyParser
from penstock.smtp.reply import Reply

TOKENS = (
    b"220 mx.example ESMTP\r\n", b"250-mx\r\n", b"250 SIZE 1000\r\n", b"250-", b"250 ",
    b"354 go\r\n",
    b"421 4.4.2 bye\r\n", b"550 5.1.1 no\r\n", b"\r\n", b"\n", b"\r", b"-", b" ", b"\0", b"\xff",
    b"\xe2\x80\xa8", b"199 x\r\n", b"600 x\r\n", b"250\r\n", b"250-\r\n" * 20, b"x" * 500,
    b"\x1b[2J", b"\xc2\x85",
)  # fmt: skip
BYTES_MAX = 8192

Found = Reply | ProtocolError


def check(data: bytes) -> None:
    """``data``: how it is cut (1 byte), how often the rest is repeated (1 byte), the rest."""
    step, times = (data[0] % 64 + 1, data[1] % 32 + 1) if len(data) > 1 else (1, 1)
    stream = data[2:] * (times if times > 28 else 1)  # sometimes long enough for the bounds
    whole = _read(stream, len(stream) or 1)
    assert _read(stream, step) == whole
    assert _read(stream, 1 if len(stream) < 2048 else 997) == whole
    for found in whole:
        if isinstance(found, Reply):
            _check_reply(found)
        else:
            assert found is whole[-1]
            assert found.reply.transient
            assert str(found.reply).isprintable()


def _read(stream: bytes, step: int) -> list[Found]:
    parser = ReplyParser()
    out: list[Found] = []
    for start in range(0, len(stream), step):
        new = parser.feed(stream[start : start + step])
        assert not (new and out and isinstance(out[-1], ProtocolError))
        out += new
        assert len(parser._partial) <= client_reply.LINE_BYTES_MAX
        assert len(parser._lines) <= client_reply.LINES_MAX
        assert parser._bytes <= client_reply.REPLY_BYTES_MAX
        assert len(parser._remembered) <= client_reply._REMEMBERED_MAX
    assert parser.broken == (bool(out) and isinstance(out[-1], ProtocolError))
    return out


def _check_reply(reply: Reply) -> None:
    assert 200 <= reply.code <= 599
    assert reply.positive + reply.transient + reply.permanent == 1
    for line in reply.lines:
        assert len(line.splitlines()) <= 1
        assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in line)
    assert "\n" not in str(reply)
    wire = reply.wire()
    lines = wire.split(b"\r\n")
    if max(map(len, lines)) < client_reply.LINE_BYTES_MAX and len(wire) < 60_000:
        assert _read(wire, len(wire)) == [reply]
