"""One connection to the sink, without its socket: bytes in, replies out.

Content is searched for its end in bulk and not kept; of its header so much that a signature and the
Message-ID are found.
"""

from __future__ import annotations

import mmap
import os
import re
import struct
import time
from typing import NamedTuple

_COUNTERS = struct.Struct("8Q")  # native: each number is written in one go, not byte by byte
_END = b"\r\n.\r\n"
_EMPTY = b".\r\n"  # content of no lines
_HEADER_MAX = 1 << 16
_MESSAGE_ID = re.compile(rb"^message-id:\s*<([^>\r\n]*)>", re.IGNORECASE | re.MULTILINE)
_RECEIVED_ID = re.compile(rb"^received:(?:[^\n]|\n[ \t])*?\sid ([^\s;]+)", re.I | re.MULTILINE)
_SIGNATURE = b"DKIM-Signature:"
_EHLO = (
    b"250-sink.example\r\n250-PIPELINING\r\n250-SIZE 0\r\n%s"
    b"250-ENHANCEDSTATUSCODES\r\n250 8BITMIME\r\n"
)
_REPLIES = {
    b"HELO": b"250 sink.example\r\n",
    b"DATA": b"354 End data with <CR><LF>.<CR><LF>\r\n",
    b"RCPT": b"250 2.1.5 Ok\r\n",
    b"STAR": b"220 2.0.0 Go\r\n",
    b"QUIT": b"221 2.0.0 Bye\r\n",
}

GREETING = b"220 sink.example ESMTP\r\n"


class Counters(NamedTuple):
    """``first_ns`` and ``last_ns``: ``time.monotonic_ns`` of the first and last message;
    ``handshakes``: of TLS, ``resumed`` among them."""

    messages: int = 0
    recipients: int = 0
    connections: int = 0
    signed: int = 0
    first_ns: int = 0
    last_ns: int = 0
    handshakes: int = 0
    resumed: int = 0


COUNTERS_BYTES = _COUNTERS.size


def read_counters(shared: mmap.mmap) -> Counters:
    """As they stand; read again where the sink was writing meanwhile."""
    seen = shared[:COUNTERS_BYTES]
    while (again := shared[:COUNTERS_BYTES]) != seen:
        seen = again
    return Counters(*_COUNTERS.unpack(seen))


class Tally:
    """What came, in a small shared file that the parent reads without asking.

    With ``record``, a line for each message is appended to that file before its 250 is sent: its
    Message-ID, the time, and what the server before us called it in its Received field.
    """

    def __init__(self, counters: str, record: str = "") -> None:
        with open(counters, "r+b") as file:
            self._shared = mmap.mmap(file.fileno(), COUNTERS_BYTES)
        self._record = os.open(record, os.O_WRONLY | os.O_APPEND | os.O_CREAT) if record else -1
        self.messages = self.recipients = self.connections = self.signed = self.first_ns = 0
        self.handshakes = self.resumed = 0

    def took(self, header: bytes) -> None:
        """A message, of which this is the header."""
        now = time.monotonic_ns()
        if not self.messages:
            self.first_ns = now
        self.messages += 1
        if header.startswith(_SIGNATURE) or b"\n" + _SIGNATURE in header:
            self.signed += 1
        if self._record >= 0:
            found, received = _MESSAGE_ID.search(header), _RECEIVED_ID.search(header)
            ours, theirs = (found[1] if found else b"?"), (received[1] if received else b"?")
            os.write(self._record, b"%s %d %s\n" % (ours, now, theirs))
        _COUNTERS.pack_into(
            self._shared,
            0,
            self.messages,
            self.recipients,
            self.connections,
            self.signed,
            self.first_ns,
            now,
            self.handshakes,
            self.resumed,
        )


class Session:
    """``leaving``: the client has said QUIT; ``securing``: it has said STARTTLS."""

    __slots__ = (
        "_begun",
        "_content",
        "_ehlo",
        "_header",
        "_partial",
        "_tally",
        "leaving",
        "securing",
    )

    def __init__(self, tally: Tally, *, starttls: bool = False) -> None:
        self._tally = tally
        self._ehlo = _EHLO % (b"250-STARTTLS\r\n" if starttls else b"")
        self._content = self._begun = False
        self._header = b""
        self._partial = b""
        self.leaving = self.securing = False

    def secured(self, resumed: bool) -> None:
        """TLS is in place: STARTTLS is offered no longer."""
        self._tally.handshakes += 1
        self._tally.resumed += resumed
        self._ehlo = _EHLO % b""
        self.securing = False

    def feed(self, data: bytes | bytearray, end: int) -> bytes:
        """The replies to what ``data`` holds before ``end``; nothing of it is kept."""
        if self._partial:
            data = self._partial + data[:end]
            end = len(data)
            self._partial = b""
        at, replies = 0, b""
        while at < end and not self.leaving:
            if self._content:
                at, reply = self._take_content(data, at, end)
            else:
                newline = data.find(b"\n", at, end)
                if newline < 0:
                    self._partial = bytes(data[at:end])
                    break
                reply = self._command(bytes(data[at : at + 4]).upper())
                at = newline + 1
            replies += reply
        return replies

    def _command(self, verb: bytes) -> bytes:
        if verb == b"RCPT":
            self._tally.recipients += 1
        elif verb == b"DATA":
            self._content, self._begun = True, False
        elif verb == b"EHLO":
            return self._ehlo
        elif verb == b"QUIT":
            self.leaving = True
        elif verb == b"STAR":
            self.securing = True
        return _REPLIES.get(verb, b"250 2.1.0 Ok\r\n")

    def _take_content(self, data: bytes | bytearray, at: int, end: int) -> tuple[int, bytes]:
        """Where the next command begins, and the reply, if the content ends here."""
        if not self._begun:
            if end - at < len(_EMPTY):
                self._partial = bytes(data[at:end])
                return end, b""
            if data.startswith(_EMPTY, at):
                return at + len(_EMPTY), self._took()
            self._begun = True
        found = data.find(_END, at, end)
        stop = found if found >= 0 else end - len(_END) + 1
        if stop > at and len(self._header) < _HEADER_MAX and b"\r\n\r\n" not in self._header:
            blank = data.find(b"\r\n\r\n", at, stop)
            self._header += data[at : min(stop, blank + 4 if blank >= 0 else at + _HEADER_MAX)]
        if found < 0:
            self._partial = bytes(data[max(at, stop) : end])
            return end, b""
        return found + len(_END), self._took()

    def _took(self) -> bytes:
        self._tally.took(self._header)
        self._header = b""
        self._content = False
        return b"250 2.0.0 Ok\r\n"
