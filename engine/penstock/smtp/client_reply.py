"""Reading a server's replies, as they arrive (RFC 5321 section 4.2).

Bytes go in by chunks of any size, whole replies come out; how the bytes were cut never changes what
comes out. The peer is not trusted: a line, the lines of one reply and a reply as a whole have a
bound, and what is no reply ends the stream with one :class:`ProtocolError`, after which everything
is ignored. Most replies of a connection are the same few lines over and over, so the first of them
are remembered as values and cost one look-up.

Tolerated, as other clients do: a lone LF as the end of a line, a code without text, different codes
in one reply (the last one counts).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from penstock.smtp.reply import Reply

LINE_BYTES_MAX = 4096  # without the LF
LINES_MAX = 200
REPLY_BYTES_MAX = 64 << 10
_REMEMBERED_MAX = 16
_EXCERPT = 120
_LINE = re.compile(rb"([2-5][0-9]{2})(?:([ -])(.*?))?\r*", re.DOTALL)
# Also what ends a line or turns its direction elsewhere than on the wire.
_UNICODE_CONTROLS = (*range(0x2028, 0x202F), *range(0x2066, 0x206A))
_CONTROLS = {
    **dict.fromkeys((*range(32), *range(127, 160), *_UNICODE_CONTROLS), "?"),
    9: " ",
}


@dataclass(frozen=True, slots=True)
class ProtocolError:
    """What the peer sent is no SMTP reply; the connection is of no more use."""

    why: str

    @property
    def reply(self) -> Reply:
        """The same in the form of a (transient) reply of our own."""
        return Reply.of(451, f"4.5.0 Protocol error: {self.why}")


def reply_text(raw: bytes) -> str:
    """What a peer wrote, made harmless for logs and reports: valid text, no control characters."""
    text = raw.decode("utf-8", "replace")
    return text if text.isprintable() else text.translate(_CONTROLS)


class ReplyParser:
    """Incremental and bounded; see the module. One per connection (a new one after STARTTLS)."""

    __slots__ = ("_bytes", "_lines", "_partial", "_remembered", "broken")

    def __init__(self) -> None:
        self._partial = b""
        self._lines: list[str] = []
        self._bytes = 0
        self._remembered: dict[bytes, Reply] = {}
        self.broken = False

    def feed(self, data: bytes) -> list[Reply | ProtocolError]:
        """The replies that ``data`` completes, in order; at most one error, and it is the last."""
        out: list[Reply | ProtocolError] = []
        if self.broken:
            return out
        lines = (self._partial + data if self._partial else data).split(b"\n")
        self._partial = lines.pop()
        remembered = self._remembered
        for line in lines:
            reply = remembered.get(line) if not self._lines else None
            found = reply if reply is not None else self._line(line)
            if found is not None:
                out.append(found)
                if isinstance(found, ProtocolError):
                    return out
        if len(self._partial) > LINE_BYTES_MAX:
            out.append(self._error("reply line too long"))
        return out

    def _line(self, line: bytes) -> Reply | ProtocolError | None:
        if len(line) > LINE_BYTES_MAX:
            return self._error("reply line too long")
        match = _LINE.fullmatch(line)
        if match is None:
            return self._error(f"not a reply: {reply_text(line[:_EXCERPT].rstrip())!r}")
        code, separator, raw = match.groups(b"")
        self._lines.append(reply_text(raw))
        self._bytes += len(line) + 1
        if self._bytes > REPLY_BYTES_MAX or len(self._lines) > LINES_MAX:
            return self._error("reply too long")
        if separator == b"-":
            return None
        reply = Reply(int(code), tuple(self._lines))
        if len(self._lines) == 1 and len(self._remembered) < _REMEMBERED_MAX:
            self._remembered[line] = reply
        self._lines.clear()
        self._bytes = 0
        return reply

    def _error(self, why: str) -> ProtocolError:
        self.broken = True
        self._partial = b""
        self._lines.clear()
        return ProtocolError(why)
