"""What a worker counts of the TLS of its connections, until it is written to the event log.

Counting costs a look-up per connection. What is alike is one row, written down every few seconds,
or at once when there are too many rows: so nothing is lost for want of room. Where connections
succeed, which host it was is not told apart, since nobody is told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from penstock.events.records import Event, TlsSeen
from penstock.relay.tls_finding import TlsFinding

_DETAIL_CHARS_MAX = 200
_POLICY_CHARS_MAX = 4000  # of a policy that a stranger wrote; a usual one has 200


class TlsCounts:
    """One worker's. ``write`` makes an event; ``now``: seconds on any monotonic axis."""

    def __init__(
        self,
        write: Callable[..., Any],
        now: Callable[[], float],
        flush_s: float = 10.0,
        rows_max: int = 5000,
    ) -> None:
        self._write, self._now = write, now
        self._flush_s, self.rows_max = flush_s, rows_max
        self._rows: dict[TlsFinding, int] = {}
        self._flushed_at = now()

    def __len__(self) -> int:
        return len(self._rows)

    def seen(self, finding: TlsFinding) -> None:
        """One try at a connection."""
        if not finding.result_type:
            finding = finding._replace(mx_host="", mx_address="", source_address="", detail="")
        elif len(finding.detail) > _DETAIL_CHARS_MAX:
            finding = finding._replace(detail=finding.detail[:_DETAIL_CHARS_MAX])
        rows = self._rows
        rows[finding] = rows.get(finding, 0) + 1
        if len(rows) >= self.rows_max:
            self.flush()

    def look(self) -> None:
        """To be called every second or so."""
        if self._rows and self._now() - self._flushed_at >= self._flush_s:
            self.flush()

    def flush(self) -> None:
        rows, self._rows = self._rows, {}
        self._flushed_at = self._now()
        make: type[Event] = TlsSeen
        for finding, sessions in rows.items():
            self._write(
                make,
                domain=finding.policy_domain,
                sessions=sessions,
                policy=finding.policy_type,
                policy_text=_first(finding.policy_string),
                policy_mx=_first(finding.mx_patterns),
                result=finding.result_type,
                mx=finding.mx_host,
                address=finding.mx_address,
                source=finding.source_address,
                detail=finding.detail,
            )


def _first(lines: Sequence[str]) -> tuple[str, ...]:
    """As many as there is room for."""
    room, found = _POLICY_CHARS_MAX, []
    for line in lines:
        room -= len(line) + 1
        if room < 0:
            break
        found.append(line)
    return tuple(found)
