"""The event log where there is none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from penstock.events import making
from penstock.events.making import SentAs
from penstock.events.records import Event
from penstock.events.types import Attempt
from penstock.mail.envelope import Envelope


class NoJournal:
    """Where the settings turn events off: hears everything and keeps nothing."""

    sent_as: SentAs = staticmethod(making.as_said)
    dropped = 0

    def last_accepted(self) -> int:
        return -1

    def write(self, make: type[Event], **fields: Any) -> str:
        return str(fields.get("id", ""))

    def attempt(
        self, attempt: Attempt, envelope: Envelope, *, retry_at: float = 0.0, expired: bool = False
    ) -> None:
        return

    def cancelled(self, attempt: Attempt, envelope: Envelope, by: str) -> None:
        return

    def accepted(self, messages: Sequence[tuple[Envelope, int]]) -> None:
        return

    def flush(self, patient: bool = True) -> bool:
        return True

    def sync(self) -> None:
        return

    def stats(self) -> dict[str, float]:
        return {}

    def close(self) -> None:
        return
