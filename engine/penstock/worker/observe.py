"""What intake says of itself, as metrics, log records and events."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from penstock.events.journal import Recorder
from penstock.events.metrics import Registry
from penstock.events.records import Rejected
from penstock.mail.envelope import Envelope
from penstock.smtp.reply import Reply

REPLY_CHARS_MAX = 1000
log = structlog.get_logger("penstock.intake")
_CLASSES = {4: "4xx", 5: "5xx"}


class IntakeObserver:
    """The intake's ``Observer`` on one worker's registry. Of refusals only ``rejected_per_s_max``
    in a second become events: whoever provokes them must not push out the others."""

    def __init__(
        self,
        registry: Registry,
        recorder: Recorder,
        rejected_per_s_max: int,
        now: Callable[[], float],
    ) -> None:
        self._recorder, self._now = recorder, now
        self._rejected_max, self._rejected_now = rejected_per_s_max, (0, 0)
        self._dropped = registry.counter("penstock_events_dropped_total")
        self._messages = registry.counter("penstock_messages_accepted_total")
        self._recipients = registry.counter("penstock_recipients_accepted_total")
        self._bytes = registry.counter("penstock_bytes_accepted_total")
        self._rejected = registry.counter("penstock_rejected_total")
        self._auth_failures = registry.counter("penstock_auth_failures_total")
        self._open = registry.gauge("penstock_connections_open")
        self._opened = registry.counter("penstock_connections_opened_total")

    def on_connect(self, client: str) -> None:
        self._open.add(1, ("in",))
        self._opened.inc(("in",))

    def on_close(self, client: str, reason: str) -> None:
        self._open.add(-1, ("in",))

    def on_accept(self, envelope: Envelope, size: int) -> None:
        self._messages.inc()
        self._recipients.inc((), len(envelope.recipients))
        self._bytes.inc((), size)

    def on_reject(
        self, reply: Reply, phase: str, client: str, account: str = "", tenant: str = ""
    ) -> None:
        self._rejected.inc((phase, _CLASSES.get(reply.code // 100, "other")))
        log.info("refused", client=client, phase=phase, reply=str(reply))
        second, count = self._rejected_now
        if second != int(self._now()):
            second, count = int(self._now()), 0
        self._rejected_now = second, count + 1
        if count >= self._rejected_max:
            self._dropped.inc(("rejected",))
            return
        self._recorder.write(
            Rejected,
            client=client,
            phase=phase,
            code=reply.code,
            reply=" ".join(reply.lines)[:REPLY_CHARS_MAX],
            account=account,
            tenant=tenant,
        )

    def on_auth(self, client: str, account: str, reason: str) -> None:
        if reason:
            self._auth_failures.inc((reason,))
            log.warning("authentication failed", client=client, account=account, reason=reason)

    def on_error(self, error: BaseException, phase: str) -> None:
        log.error("intake failed", phase=phase, exc_info=error)
