"""How deliveries go at this moment: the last minute by provider and source, and the replies heard.

Each row keeps a ring with a slot a second, so what is over a minute old falls out by itself and
counting costs one addition. Replies that differ only in numbers, names and ids have one cause and
are counted together (:func:`normalised`). Rows and replies are bounded: what finds no room among
the rows is counted under :data:`OTHER`, of the replies the one unheard for longest makes room.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from penstock.mail.outcome import Kind

WINDOW_S = 60
RATE_WINDOW_S = 10
OTHER = "(other)"
REPLIES_TOLD = 3
_TEXT_CHARS_MAX = 400  # of a reply; what follows hardly tells another cause
_DELIVERED, _DEFERRED, _BOUNCED = Kind.DELIVERED, Kind.DEFERRED, Kind.BOUNCED

_CODE = re.compile(r"[2-5]\d\d", re.ASCII)
_ENHANCED = re.compile(r"[245]\.\d{1,3}\.\d{1,3}", re.ASCII)
_PARTS = re.compile(
    r"""
      (?P<url> https?://[^<>"']+ )
    | (?P<address> <[^<>@]*@[^<>]*> | [^<>()\[\]"'@:;,=]+@[^<>()\[\]"'@:;,]+ )
    | (?P<ip> \d{1,3}(?:\.\d{1,3}){3}(?![\w.])
            | (?=[0-9A-Fa-f:]*::|(?:[0-9A-Fa-f]{1,4}:){7})[0-9A-Fa-f:]{3,} )
    | (?P<word> [A-Za-z0-9_](?:[\w.-]*\w)? )
    """,
    re.VERBOSE | re.ASCII,
)
_HOST = re.compile(r"(?:[A-Za-z0-9_-]+\.)+[A-Za-z]{2,}", re.ASCII)
_CAUSE = re.compile(r"[A-Z]{1,4}-?\d{2,4}", re.ASCII)  # TSS04, RP-001, S3150: what it is about
_DIGITS = re.compile(r"\d+", re.ASCII)
_ID_CHARS_MIN = 6


@lru_cache(maxsize=1024)
def normalised(reply: str) -> str:
    """``reply`` with what differs from message to message as placeholders; its codes stay."""
    words = reply[:_TEXT_CHARS_MAX].split()
    first = 1 if words and _CODE.fullmatch(words[0]) else 0
    if first and len(words) > 1 and _ENHANCED.fullmatch(words[1]):
        first = 2
        repeated = words[1]  # on every line of the reply
        words[2:] = [word for word in words[2:] if word != repeated]
    for i in range(first, len(words)):
        if not words[i].isalpha():
            words[i] = _plain(words[i])
    return " ".join(words)


@lru_cache(maxsize=1024)
def _plain(word: str) -> str:
    return _PARTS.sub(_placeholder, word)


def _placeholder(found: re.Match[str]) -> str:
    kind, text = found.lastgroup, found.group()
    if kind != "word":
        return f"<{kind}>"
    if text.isalpha() or _CAUSE.fullmatch(text):
        return text
    if _HOST.fullmatch(text):
        return "<host>"
    if not _DIGITS.search(text):
        return text
    if len(text) >= _ID_CHARS_MIN and any(map(str.isalpha, text)):
        return "<id>"
    return _DIGITS.sub("N", text)


@dataclass(frozen=True, slots=True)
class PulseConfig:
    """``rows_max``: pairs of provider and source; ``replies_max``: of each."""

    rows_max: int = 200
    replies_max: int = 20


class _Row:
    """The ring and the replies of one provider and source. ``slot`` is that of ``second``."""

    __slots__ = ("bounced", "deferred", "delivered", "replies", "second", "slot")

    def __init__(self, second: int) -> None:
        self.second = second
        self.slot = second % WINDOW_S
        self.delivered = [0] * WINDOW_S
        self.deferred = [0] * WINDOW_S
        self.bounced = [0] * WINDOW_S
        self.replies: OrderedDict[str, int] = OrderedDict()

    def move_to(self, second: int) -> None:
        """``second`` is now; the slots in between begin at nothing again."""
        for passed in range(max(self.second + 1, second - WINDOW_S + 1), second + 1):
            slot = passed % WINDOW_S
            self.delivered[slot] = self.deferred[slot] = self.bounced[slot] = 0
        self.second = second
        self.slot = second % WINDOW_S

    def attempts(self, seconds: int) -> int:
        """In the last ``seconds`` whole seconds, the running one left out."""
        slots = [(self.second - back) % WINDOW_S for back in range(1, seconds + 1)]
        return sum(self.delivered[i] + self.deferred[i] + self.bounced[i] for i in slots)


class Pulse:
    """``now`` is seconds on any axis that does not go back; one that does counts as standing."""

    def __init__(self, config: PulseConfig | None = None) -> None:
        self._config = config or PulseConfig()
        self._rows: dict[tuple[str, str], _Row] = {}
        self._other: _Row | None = None
        self._tidied = 0

    def attempt(self, provider: str, source: str, kind: Kind, reply: str, now: float) -> None:
        """One attempt for one recipient. ``reply`` may be ``""`` for one that was delivered."""
        second = int(now)
        row = self._rows.get((provider, source))
        if row is None:
            row = self._new(provider, source, second)
        if second > row.second:
            row.move_to(second)
        if kind is _DELIVERED:
            row.delivered[row.slot] += 1
            return
        if kind is _DEFERRED:
            row.deferred[row.slot] += 1
        elif kind is _BOUNCED:
            row.bounced[row.slot] += 1
        else:
            return
        self._heard(row, reply)

    def snapshot(self, now: float) -> list[dict[str, Any]]:
        """Rows with anything in the last minute: ``provider``, ``source``, ``delivered_60``,
        ``deferred_60``, ``bounced_60``, ``rate_per_s`` (attempts, lately), ``replies`` (the
        most frequent ones of late, ``[count, text]``)."""
        second = int(now)
        self._forget_idle(second)
        rows = [(key, row) for key, row in self._rows.items()]
        if self._other is not None:
            rows.append(((OTHER, OTHER), self._other))
        return [_told(key, row, second) for key, row in rows]

    def _heard(self, row: _Row, reply: str) -> None:
        text = normalised(reply)
        replies = row.replies
        replies[text] = replies.pop(text, 0) + 1  # moved to the end: the last one heard
        if len(replies) > self._config.replies_max:
            replies.popitem(last=False)

    def _new(self, provider: str, source: str, second: int) -> _Row:
        if len(self._rows) >= self._config.rows_max and second > self._tidied:
            self._forget_idle(second)
        if len(self._rows) < self._config.rows_max:
            row = self._rows[provider, source] = _Row(second)
            return row
        if self._other is None:
            self._other = _Row(second)
        return self._other

    def _forget_idle(self, second: int) -> None:
        """At most once a second: it looks at all rows."""
        self._tidied = second
        oldest = second - WINDOW_S
        for key in [key for key, row in self._rows.items() if row.second <= oldest]:
            del self._rows[key]
        if self._other is not None and self._other.second <= oldest:
            self._other = None


def _told(key: tuple[str, str], row: _Row, second: int) -> dict[str, Any]:
    if second > row.second:
        row.move_to(second)
    most = sorted(row.replies.items(), key=lambda item: item[1])[: -REPLIES_TOLD - 1 : -1]
    return {
        "provider": key[0],
        "source": key[1],
        "delivered_60": sum(row.delivered),
        "deferred_60": sum(row.deferred),
        "bounced_60": sum(row.bounced),
        "rate_per_s": row.attempts(RATE_WINDOW_S) / RATE_WINDOW_S,
        "replies": [[count, text] for text, count in most],
    }
