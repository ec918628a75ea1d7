"""What the relay tells the outside about its attempts: one log line each, and counters."""

from __future__ import annotations

from typing import Protocol

from penstock.events.definitions import reply_labels
from penstock.events.metrics import Registry
from penstock.events.pulse import Pulse
from penstock.events.types import Attempt
from penstock.mail.outcome import Kind
from penstock.mail.verdict import Category, Verdict
from penstock.mail.waits import Wait
from penstock.relay.tls import HandshakeEnd


class AttemptLog(Protocol):
    """Gets a line for each attempt."""

    def add(self, attempt: Attempt) -> None: ...


class Telemetry:
    """``attempts`` is ``None`` where the settings turn the attempt log off."""

    def __init__(self, registry: Registry, attempts: AttemptLog | None) -> None:
        self._log = attempts
        self.pulse = Pulse()
        self._by_kind = {
            Kind.DELIVERED: registry.counter("penstock_delivered_total"),
            Kind.DEFERRED: registry.counter("penstock_deferred_total"),
            Kind.BOUNCED: registry.counter("penstock_bounced_total"),
        }
        self._replies = registry.counter("penstock_replies_total")
        self._forgotten = registry.counter("penstock_unmatched_replies_forgotten_total")
        self._requeued = registry.counter("penstock_requeued_total")
        self._cancelled = registry.counter("penstock_cancelled_total")
        self._expired = registry.counter("penstock_expired_total")
        self._waits = registry.counter("penstock_limiter_waits_total")
        self._wait_seconds = registry.counter("penstock_limiter_wait_seconds_total")
        self._reports = registry.counter("penstock_reports_total")
        self._lookups = registry.counter("penstock_dns_lookups_total")
        self._handshakes = registry.counter("penstock_tls_handshakes_total")
        self._opened = registry.counter("penstock_connections_opened_total")
        self._delivery = registry.histogram("penstock_delivery_seconds")
        self._attempt = registry.histogram("penstock_attempt_seconds")

    def attempt(self, attempt: Attempt) -> None:
        """One recipient, one attempt."""
        kind, provider = attempt.outcome.kind, attempt.provider
        if kind is Kind.REQUEUED:
            self._requeued.inc((provider,))
            return
        reply = attempt.outcome.reply
        self._by_kind[kind].inc(reply_labels(provider, reply.code, reply.enhanced))
        self._attempt.observe(attempt.duration_s, (provider,))
        delivered = kind is Kind.DELIVERED
        text = "" if delivered else str(reply)
        self.pulse.attempt(provider, attempt.source, kind, text, attempt.at)
        if attempt.verdict is not None:
            self._replies.inc((provider, attempt.verdict.category._value_, by(attempt.verdict)))
        if delivered:
            self._delivery.observe(attempt.age_s, (provider,))
        if self._log is not None:
            self._log.add(attempt)

    def cancelled(self, attempt: Attempt) -> None:
        """Taken back before there was one more."""
        self._cancelled.inc((attempt.provider,))

    def expired(self, attempt: Attempt) -> None:
        """Given up; ``attempt.outcome`` is what stood against it last."""
        reply = attempt.outcome.reply
        self._expired.inc(reply_labels(attempt.provider, reply.code, reply.enhanced))
        if self._log is not None:
            self._log.add(attempt)

    def forgot(self) -> None:
        """A text of replies without a rule made room for another."""
        self._forgotten.inc()

    def looked_up(self, kind: str, result: str) -> None:
        """One question to the name servers; values as in the table of metrics."""
        self._lookups.inc((kind, result))

    def connected(self) -> None:
        """A connection was made."""
        self._opened.inc(("out",))

    def handshook(self, result: HandshakeEnd) -> None:
        """A TLS handshake ended, well or not."""
        self._handshakes.inc((result,))

    def reported(self, action: str) -> None:
        """A delivery status notification was queued."""
        self._reports.inc((action,))

    def waited(self, provider: str, why: Wait, seconds: float) -> None:
        """A site, or a part of its mail, was put to sleep by a limit or a failure."""
        labels = provider, why.value
        self._waits.inc(labels)
        self._wait_seconds.inc(labels, seconds)


def by(verdict: Verdict) -> str:
    """What told it, as the metrics call it."""
    if verdict.rule:
        return "rule"
    return "nothing" if verdict.category is Category.UNKNOWN else "code"
