"""The note that a deferral leaves with a queued delivery: why it waits, in a few bytes."""

from __future__ import annotations

from dataclasses import dataclass

import msgpack

TEXT_CHARS_MAX = 400


@dataclass(frozen=True, slots=True)
class Note:
    """``reply``: the last answer as one line; ``host``: who gave it; ``delay_told``: the sender was
    sent a report of the delay."""

    reply: str = ""
    host: str = ""
    delay_told: bool = False

    def pack(self) -> bytes:
        fields = (self.reply[:TEXT_CHARS_MAX], self.host[:255], self.delay_told)
        packed: bytes = msgpack.packb(fields)
        return packed

    @classmethod
    def unpack(cls, data: bytes) -> Note:
        if not data:
            return cls()
        reply, host, delay_told, *_ = msgpack.unpackb(data)
        return cls(reply, host, delay_told)
