"""What became of the demo's mail, from three witnesses that know nothing of each other.

The injector knows what the daemon acknowledged, the daemon's log knows what it delivered and gave
up, the fake providers' journal knows what they took. A message that was acknowledged and is neither
delivered nor bounced must still be in the spool, which is read offline, by another piece of code.
If the four do not add up, something is lost, and the tally says what. Pure: text in, numbers out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from penstock.events.attempts import parse

_VARIES = re.compile(r"<[^>]*>|\S+@\S+|\[[\d.:a-f]+\]|\b(?=\w*\d)[\w-]{5,}\b|\b\d+(?:\.\d+){3}\b")
REPLY_CHARS_MAX = 90


@dataclass(slots=True)
class Row:
    """One provider. ``put_off`` counts attempts; ``waiting`` is what is still to be delivered."""

    accepted: int = 0
    delivered: int = 0
    bounced: int = 0
    put_off: int = 0
    replies: Counter[str] = field(default_factory=Counter)

    @property
    def waiting(self) -> int:
        return self.accepted - self.delivered - self.bounced


@dataclass(slots=True)
class Tally:
    """``in_spool``: recipients that the spool holds. ``not_taken``: messages the daemon calls
    delivered and no provider took. ``twice``: deliveries that a provider took more than once."""

    rows: dict[str, Row]
    in_spool: int
    not_taken: int = 0
    twice: int = 0

    @property
    def total(self) -> Row:
        whole = Row()
        for row in self.rows.values():
            whole.accepted += row.accepted
            whole.delivered += row.delivered
            whole.bounced += row.bounced
            whole.put_off += row.put_off
        return whole

    @property
    def lost(self) -> int:
        """Acknowledged and nowhere to be found, or called delivered and taken by nobody."""
        return max(self.total.waiting - self.in_spool, 0) + self.not_taken

    @property
    def unacknowledged(self) -> int:
        """In the spool, though the client did not live to hear its 250: kept, as it should be."""
        return max(self.in_spool - self.total.waiting, 0)


def tally(
    providers: Mapping[str, str],
    acknowledged: Mapping[str, str],
    domains: Mapping[str, str],
    log: Iterable[str],
    journal: Iterable[str],
    in_spool: int,
) -> Tally:
    """``providers``: domain -> provider; ``acknowledged``: Message-ID -> id; ``domains``:
    Message-ID -> recipient's domain; ``log`` and ``journal``: their lines."""
    rows = {provider: Row() for provider in providers.values()}
    by_id: dict[str, Row] = {}
    message_ids: dict[str, str] = {}
    for message_id, id_ in acknowledged.items():
        row = rows[providers[domains[message_id]]]
        row.accepted += 1
        by_id[id_] = row
        message_ids[id_] = message_id
    copies: Counter[tuple[str, str]] = Counter()
    for line in journal:
        _, _, message_id, *recipients = line.split("\t")
        copies.update((message_id, recipient) for recipient in recipients)
    taken = {message_id for message_id, _ in copies}
    result = Tally(rows, in_spool, twice=sum(count > 1 for count in copies.values()))
    settled: set[str] = set()
    for line in log:
        attempt = parse(line)
        found = by_id.get(attempt["id"]) if attempt else None
        if attempt is None or found is None:
            continue
        kind = attempt["kind"]
        if kind != "delivered":
            found.replies[reply_text(attempt)] += 1
        if kind == "deferred":
            found.put_off += 1
        elif kind in ("delivered", "bounced") and attempt["id"] not in settled:
            settled.add(attempt["id"])
            if kind == "bounced":
                found.bounced += 1
            else:
                found.delivered += 1
                result.not_taken += message_ids[attempt["id"]] not in taken
    return result


def reply_text(attempt: Mapping[str, str]) -> str:
    """The reply without what differs from message to message, so that like replies are one."""
    text = _VARIES.sub("…", attempt["reply"])
    parts = (attempt["code"], attempt["enhanced"], text)
    return " ".join(part for part in parts if part)[:REPLY_CHARS_MAX]
