"""What intake says of itself, as metrics and log records."""

from __future__ import annotations

import structlog

from penstock.events.metrics import Registry
from penstock.mail.envelope import Envelope
from penstock.smtp.reply import Reply

log = structlog.get_logger("penstock.intake")
_CLASSES = {4: "4xx", 5: "5xx"}


class IntakeObserver:
    """The intake's ``Observer`` on one worker's registry."""

    def __init__(self, registry: Registry) -> None:
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

    def on_reject(self, reply: Reply, phase: str, client: str) -> None:
        self._rejected.inc((phase, _CLASSES.get(reply.code // 100, "other")))
        log.info("refused", client=client, phase=phase, reply=str(reply))

    def on_auth(self, client: str, account: str, reason: str) -> None:
        if reason:
            self._auth_failures.inc((reason,))
            log.warning("authentication failed", client=client, account=account, reason=reason)

    def on_error(self, error: BaseException, phase: str) -> None:
        log.error("intake failed", phase=phase, exc_info=error)
