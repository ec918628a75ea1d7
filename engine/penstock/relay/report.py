"""Reports to senders: decides who is told, builds the message, and puts it into the queue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from penstock.events.types import Attempt
from penstock.mail.dsn import report
from penstock.mail.dsn_status import Action, Fate, wanted
from penstock.mail.envelope import id_text
from penstock.mail.headers import body_offset
from penstock.mail.outcome import Outcome
from penstock.relay.spool import Spool, Stored
from penstock_queue import QueueFull


@dataclass(frozen=True, slots=True)
class Case:
    """One recipient whose sender may have to hear of it. ``retry_until``: 0 if it is over;
    ``attempt``: what ended it."""

    ref: int
    stored: Stored
    outcome: Outcome
    action: Action
    expired: bool = False
    retry_until: float = 0.0
    attempt: Attempt | None = None


@dataclass(frozen=True, slots=True)
class ReportConfig:
    """``enabled`` is the setting ``dsn = "send"``; ``max_age_s``: how long a report is tried."""

    hostname: str
    enabled: bool = True
    max_age_s: float = 5 * 86400.0


class Reporter:
    """``on_report`` counts reports by action."""

    def __init__(
        self, config: ReportConfig, spool: Spool, on_report: Callable[[str], None]
    ) -> None:
        self.config, self._spool, self._on_report = config, spool, on_report

    def report(
        self, cases: Sequence[Case], now: float, then: Callable[[bool], None] | None = None
    ) -> bool:
        """Queue what is due for these cases of one transaction; they need not share a message.

        ``then(stored)`` is called once all of it is on disk or is known not to be, at once where
        nobody has to be told. False, and no call, where the queue has no room.
        """
        groups: dict[tuple[int, Action], list[Case]] = {}
        for case in cases:
            sender, notify = case.stored.envelope.sender, case.stored.recipient.notify
            if self.config.enabled and wanted(notify, case.action, sender):
                groups.setdefault((case.stored.envelope.ref, case.action), []).append(case)
        if not groups and then is not None:
            then(True)
        last = len(groups)
        try:
            for number, ((_, action), group) in enumerate(groups.items(), 1):
                self._queue(group, now, then if number == last else None)
                self._on_report(action.value)
        except QueueFull:
            return False
        return True

    def _queue(self, cases: list[Case], now: float, then: Callable[[bool], None] | None) -> None:
        stored = cases[0].stored
        ref = self._spool.reserve(1, now)
        fates = [
            Fate(c.stored.recipient, c.action, c.outcome, now, c.retry_until, c.expired)
            for c in cases
        ]
        envelope, content = report(
            stored.envelope,
            fates,
            stored.body,
            body_offset(stored.body),
            id=id_text(ref),
            hostname=self.config.hostname,
            now=now,
        )
        envelope.ref = ref
        envelope.expires_at = now + self.config.max_age_s
        self._spool.append(envelope, [content], then=then)
