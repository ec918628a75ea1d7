"""What a fake provider decides, apart from how it says it: pure, with the time as an argument.

The state is what a provider remembers of a client: connections open, tokens of its rate, pairs
seen by greylisting. A local part may ask for a behaviour by its beginning, as tests and the demo
do: ``unknown``, ``full``, ``grey``, ``spam``, ``busy`` (always put off), ``slow``, ``drop`` (the
line is cut at the final dot).
"""

from __future__ import annotations

import re
import zlib
from collections import Counter, OrderedDict

from penstock.sim.providers import Profile

GREY_PAIRS_MAX = 100_000
SLOW_S = 5.0
_ASKED = re.compile(r"unknown|full|grey|spam|busy|slow|drop").match


class Behaviour:
    """One provider's decisions. ``counts`` is by outcome, in the words of the methods below."""

    def __init__(self, profile: Profile, seed: int = 0) -> None:
        self.profile = profile
        self.counts: Counter[str] = Counter()
        self._salt = zlib.crc32(f"{profile.name}/{seed}".encode())
        self._open: Counter[str] = Counter()
        self._tokens = float(profile.rate_burst)
        self._tokens_at = 0.0
        self._grey: OrderedDict[int, float] = OrderedDict()

    def connected(self, client: str) -> str:
        """``""``, or the reply that closes a connection over the limit. Pair with ``left``."""
        self._open[client] += 1
        limit = self.profile.connections_max
        if limit and self._open[client] > limit:
            self.counts["refused_connections"] += 1
            return self.profile.connections_reply
        self.counts["connections"] += 1
        return ""

    def left(self, client: str) -> None:
        self._open[client] -= 1
        if self._open[client] <= 0:
            del self._open[client]

    def connections(self, client: str) -> int:
        return self._open[client]

    def mail(self, transactions: int, now: float) -> str:
        """At MAIL: limits of the connection and of the rate. ``transactions`` so far on it."""
        profile = self.profile
        if profile.messages_per_connection and transactions >= profile.messages_per_connection:
            self.counts["connection_used_up"] += 1
            return profile.messages_reply
        if profile.rate_per_s:
            gained = (now - self._tokens_at) * profile.rate_per_s
            self._tokens = min(float(profile.rate_burst), self._tokens + gained)
            self._tokens_at = now
            if self._tokens < 1.0:
                self.counts["rate_limited"] += 1
                return profile.rate_reply
            self._tokens -= 1.0
        return ""

    def recipient(self, sender: str, address: str, now: float) -> tuple[str, str]:
        """At RCPT: the reply (``""`` is yes) and a mood for the final dot (``""``: none)."""
        profile = self.profile
        asked = _ASKED(address)
        mood = asked.group() if asked else self._drawn(address)
        if mood == "unknown":
            if profile.unknown_at_final:
                return "", mood
            self.counts["unknown"] += 1
            return profile.unknown_reply, ""
        if mood == "full":
            self.counts["full"] += 1
            return profile.full_reply, ""
        if mood == "busy":
            self.counts["busy"] += 1
            return profile.busy_reply, ""
        if mood == "grey" or (profile.grey_share and self._chance(f"{sender}>{address}", 7)):
            if self._is_grey(sender, address, now):
                self.counts["greylisted"] += 1
                return profile.grey_reply, ""
            return "", ""
        return "", mood

    def final(self, moods: list[str], size: int) -> str:
        """At the final dot: ``""`` is accepted, ``"drop"`` cuts the line, else the reply."""
        profile = self.profile
        if size > profile.size_max:
            self.counts["too_big"] += 1
            return "552 5.3.4 Message size exceeds fixed limit"
        for mood in moods:
            if mood == "drop":
                self.counts["dropped"] += 1
                return mood
            if mood == "spam":
                self.counts["spam"] += 1
                return profile.spam_reply
            if mood == "unknown" and len(moods) == 1:  # one reply must not refuse the others
                self.counts["unknown"] += 1
                return profile.unknown_reply
        self.counts["accepted"] += 1
        self.counts["recipients"] += len(moods)
        self.counts["bytes"] += size
        return ""

    def _drawn(self, address: str) -> str:
        profile = self.profile
        if not (profile.unknown_share or profile.full_share):
            return ""
        draw = zlib.crc32(address.encode(errors="replace"), self._salt) / 0x1_0000_0000
        if draw < profile.unknown_share:
            return "unknown"
        return "full" if draw < profile.unknown_share + profile.full_share else ""

    def _chance(self, text: str, turn: int) -> bool:
        draw = zlib.crc32(text.encode(errors="replace"), self._salt ^ turn) / 0x1_0000_0000
        return draw < self.profile.grey_share

    def _is_grey(self, sender: str, address: str, now: float) -> bool:
        pair = hash((sender, address))
        first = self._grey.get(pair)
        if first is None:
            if len(self._grey) >= GREY_PAIRS_MAX:
                self._grey.popitem(last=False)
            self._grey[pair] = now
            return True
        return now - first < self.profile.grey_delay_s
