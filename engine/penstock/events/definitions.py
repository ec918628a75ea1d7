"""The one table of metrics: names, kinds, labels, bounds, and how workers are combined.

Everything that is measured is declared here and nowhere else; the registry, the exposition and the
reference page are derived from it. Names follow Prometheus: prefix ``penstock_``, base units at
the end, ``_total`` for counters. A label is bounded either by the values named here or, when
``values`` is empty, by the first ``LABEL_VALUES_MAX`` that turn up; later ones become ``"other"``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from penstock.mail.verdict import Category
from penstock.mail.waits import Wait

Kind = Literal["counter", "gauge", "histogram"]
Merge = Literal["sum", "max", "worker"]

LABEL_VALUES_MAX = 64
LABEL_CHARS_MAX = 64
OTHER = "other"


@dataclass(frozen=True, slots=True)
class Label:
    """``values`` empty: open, the first ``LABEL_VALUES_MAX`` values seen are kept."""

    name: str
    help: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Definition:
    """One metric. ``buckets`` are upper bounds in the metric's unit, without +Inf; ``merge`` says
    how gauges of several workers become one (counters and histograms are always summed)."""

    name: str
    kind: Kind
    help: str
    labels: tuple[Label, ...] = ()
    buckets: tuple[float, ...] = ()
    merge: Merge = "sum"

    @property
    def label_names(self) -> tuple[str, ...]:
        return tuple(label.name for label in self.labels)


PROVIDER = Label("provider", "provider named by the policies; empty where none matches")
CODE_CLASS = Label("code", "class of the SMTP reply code", ("2xx", "3xx", "4xx", "5xx"))
SUBJECT = Label(
    "subject",
    "class and subject of the enhanced status code (RFC 3463), such as 4.7; empty without one",
    ("", *(f"{kind}.{subject}" for kind in (2, 4, 5) for subject in range(8))),
)
INTAKE_PHASE = Label(
    "phase",
    "the verb refused, or where the session was",
    (
        *("connect", "ehlo", "helo", "starttls", "auth", "mail", "rcpt", "data", "bdat", "command"),
        *("message", "timeout", "shutdown", "quit"),
    ),
)
WAIT = Label("reason", "why it waits", tuple(wait.value for wait in Wait))
DIRECTION = Label("direction", "in: clients to us; out: us to next hops", ("in", "out"))

REPLY_ACTIONS = (
    *("slow", "fewer-connections", "suspend", "other-source"),
    *("suspend-tenant", "suspend-campaign"),
)
UNMATCHED_REASONS = (
    *("no-reference", "unknown-message", "other-recipient", "unreadable", "not-a-report"),
    *("malformed", "unknown-key", "forged", "expired", "other-purpose"),
)
TENANT_RESULTS = (
    *("accepted", "delivered", "deferred", "bounced", "expired", "suppressed"),
    *("complained", "unsubscribed"),
)
FEEDBACK_ROLES = ("bounce", "complaint", "unsubscribe", "postmaster", "other")
FEEDBACK_RESULTS = (
    *("accepted", "forwarded", "automatic", "refused"),
    *("malformed", "unknown-key", "forged", "expired", "unknown", "elsewhere"),
)
SHUT_REASONS = ("stopping", "disk", "memory", "late")

_FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_ATTEMPT = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_DELIVERY = (0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0, 432000.0)
_GROUP = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)


def _counter(name: str, text: str, *labels: Label) -> Definition:
    return Definition(name, "counter", text, labels)


def _gauge(name: str, text: str, *labels: Label, merge: Merge = "sum") -> Definition:
    return Definition(name, "gauge", text, labels, merge=merge)


def _histogram(name: str, text: str, buckets: tuple[float, ...], *labels: Label) -> Definition:
    return Definition(name, "histogram", text, labels, buckets)


_INTAKE = (
    _counter("penstock_messages_accepted_total", "Messages acknowledged after their commit."),
    _counter("penstock_recipients_accepted_total", "Recipients of acknowledged messages."),
    _counter("penstock_bytes_accepted_total", "Content bytes of acknowledged messages."),
    _counter("penstock_rejected_total", "Refusals given to clients.", INTAKE_PHASE, CODE_CLASS),
    _counter(
        "penstock_auth_failures_total",
        "Failed SMTP authentications.",
        Label(
            "reason",
            "password: wrong name or password; guessing: refused unheard after too many of them; "
            "busy: too many at once",
            ("password", "guessing", "busy"),
        ),
    ),
    _gauge(
        "penstock_intake_shut",
        "Workers that take no mail now, by the reason.",
        Label("reason", "what stands against it", SHUT_REASONS),
    ),
    _counter(
        "penstock_feedback_received_total",
        "Recipients offered to listeners of role feedback, and what became of them.",
        Label("role", "what the address is for", FEEDBACK_ROLES),
        Label(
            "result",
            "accepted: in the event log; forwarded: to postmaster; automatic: an answer of a "
            "machine, dropped; refused: no room for it; else why the address is none of ours",
            FEEDBACK_RESULTS,
        ),
    ),
    _gauge("penstock_feedback_pending", "Reports received and not acknowledged yet."),
    _histogram("penstock_accept_seconds", "From the end of the content to its 250.", _FAST),
)
_DELIVERY_METRICS = (
    _counter("penstock_delivered_total", "Recipients delivered.", PROVIDER, CODE_CLASS, SUBJECT),
    _counter(
        "penstock_deferred_total", "Attempts put off for a retry.", PROVIDER, CODE_CLASS, SUBJECT
    ),
    _counter("penstock_bounced_total", "Recipients refused.", PROVIDER, CODE_CLASS, SUBJECT),
    _counter(
        "penstock_expired_total",
        "Recipients given up at their maximum age, by the class of the last reply.",
        PROVIDER,
        CODE_CLASS,
        SUBJECT,
    ),
    _counter(
        "penstock_replies_total",
        "Replies that put mail off or refused it, for each recipient, by what they say.",
        PROVIDER,
        Label("category", "what the reply says", tuple(one.value for one in Category)),
        Label("by", "what told it: a rule, a code, or nothing", ("rule", "code", "nothing")),
    ),
    _counter(
        "penstock_reports_total",
        "Delivery status notifications queued.",
        Label("action", "what they tell (RFC 3464)", ("failed", "delayed", "relayed", "delivered")),
    ),
    _counter("penstock_requeued_total", "Recipients never offered, queued again.", PROVIDER),
    _histogram("penstock_delivery_seconds", "From acceptance to delivery.", _DELIVERY, PROVIDER),
    _histogram("penstock_attempt_seconds", "Duration of one attempt.", _ATTEMPT, PROVIDER),
    _counter(
        "penstock_dns_lookups_total",
        "Names looked up.",
        Label("kind", "what was asked", ("mx", "address")),
        Label("result", "how it ended", ("ok", "missing", "failed")),
    ),
    _counter(
        "penstock_tls_handshakes_total",
        "TLS handshakes with next hops.",
        Label("result", "how it ended; `resumed`: an earlier session", ("ok", "resumed", "failed")),
    ),
    _counter(
        "penstock_limiter_waits_total", "Times that sending waited for a limit.", PROVIDER, WAIT
    ),
    _counter(
        "penstock_limiter_wait_seconds_total",
        "Time that sending waited for a limit.",
        PROVIDER,
        WAIT,
    ),
)
_PACE = (
    _gauge(
        "penstock_pace_rate",
        "Recipients a second that the pace found from the replies allows; +Inf: any number.",
        Label("source", "name of the source"),
        PROVIDER,
    ),
    _gauge(
        "penstock_pace_connections",
        "Connections that the pace allows at once; +Inf: any number.",
        Label("source", "name of the source"),
        PROVIDER,
    ),
    _gauge(
        "penstock_pace_suspended",
        "1 while nothing goes, for the provider has blocked the source.",
        Label("source", "name of the source"),
        PROVIDER,
    ),
    _gauge("penstock_pace_pairs", "Pairs of source and provider of which a pace is known."),
    _counter(
        "penstock_reply_actions_total",
        "Times that a reply rule had something done.",
        Label("action", "what it ordered", REPLY_ACTIONS),
    ),
)
_SOURCE = Label("source", "name of the source")
_WARMUP = (
    _gauge(
        "penstock_warmup_stage",
        "Stage of the plan that a source is at, from 1; one more than the plan has: it is warm.",
        _SOURCE,
        PROVIDER,
    ),
    _gauge(
        "penstock_warmup_day_messages",
        "Messages that the source may send today; +Inf: it is warm.",
        _SOURCE,
        PROVIDER,
    ),
    _gauge("penstock_warmup_sent_messages", "Of these, what has gone.", _SOURCE, PROVIDER),
    _gauge("penstock_warmup_pairs", "Pairs of source and provider that are warmed, or were."),
    _counter(
        "penstock_warmup_days_total",
        "Days that ended, by what they led to.",
        Label("verdict", "what follows", ("advance", "hold", "back")),
    ),
)
_STATE = (
    _gauge("penstock_queue_entries", "Recipients in the queue, whatever their state."),
    _gauge("penstock_queue_ready_entries", "Recipients ready to be sent now."),
    _gauge("penstock_queue_in_flight_entries", "Recipients being sent."),
    _gauge("penstock_queue_suspended_entries", "Recipients held back by an operator or a rule."),
    _gauge(
        "penstock_queue_waiting_entries",
        "Recipients in the queue by what they wait for, as of the last count.",
        WAIT,
    ),
    _gauge(
        "penstock_source_up",
        "1 where the source can be used, 0 where it is out.",
        Label("source", "name of the source"),
        merge="max",
    ),
    _gauge("penstock_unmatched_replies", "Texts of replies kept for which there is no rule."),
    _counter(
        "penstock_unmatched_replies_forgotten_total",
        "Texts of replies without a rule that made room for later ones.",
    ),
    _gauge("penstock_reply_words", "Words of replies that are remembered with what they tell."),
    _gauge("penstock_gates", "Limits that somebody waits for."),
    _gauge("penstock_queue_uncommitted_bytes", "Bytes that wait for their commit."),
    _gauge("penstock_queue_cache_bytes", "Bytes of fresh message content kept in memory."),
    _gauge("penstock_queue_disk_bytes", "Bytes of all segments on disk."),
    _gauge("penstock_queue_segments", "Segment files."),
    _gauge("penstock_recovered_entries", "Recipients found in the queue at the last start."),
    _gauge(
        "penstock_recovered_in_flight_entries",
        "Of these, deliveries under way at the end before; they may be doubled.",
    ),
    _gauge("penstock_queue_oldest_age_seconds", "Age of the oldest message queued.", merge="max"),
    _histogram("penstock_commit_seconds", "Write and sync of one group of records.", _FAST),
    _histogram("penstock_commit_messages", "Messages in one commit.", _GROUP),
    _gauge("penstock_connections_open", "Connections open now.", DIRECTION),
    _counter("penstock_connections_opened_total", "Connections made.", DIRECTION),
    _histogram("penstock_loop_lag_seconds", "How late the event loop runs its timers.", _FAST),
    _gauge(
        "penstock_clock_offset_seconds",
        "How far the machine's clock is ahead of the schedule's, after a jump.",
        merge="max",
    ),
    _counter(
        "penstock_log_dropped_total",
        "Attempt lines dropped since the log's reader was too slow.",
    ),
    _counter(
        "penstock_metric_labels_capped_total",
        "Observations counted under other, since the metric has too many label values.",
        Label("metric", "name of the metric"),
    ),
)
_CONSUMER = Label("consumer", "what reads the event log")
_COLLECTOR = (
    _gauge("penstock_collector_up", "1 while the collector reads events, 0 while it is away."),
    _counter("penstock_consumer_events_total", "Events that a consumer was fed with.", _CONSUMER),
    _counter("penstock_consumer_failures_total", "Times that a consumer failed.", _CONSUMER),
    _gauge("penstock_consumer_lag_events", "Events behind the logs, by their size.", _CONSUMER),
    _gauge("penstock_consumer_lag_seconds", "Age of the event read last, if behind.", _CONSUMER),
    _gauge("penstock_event_lines_unreadable", "Lines left out since they are no events of ours."),
    _gauge("penstock_event_batches", "Batches of events kept for readers a little behind."),
    _counter(
        "penstock_reports_resolved_total",
        "What reports told of recipients of ours.",
        Label(
            "result",
            "what it became; ignored: nothing follows from it",
            ("bounced", "complained", "unsubscribed", "auto-replied", "ignored"),
        ),
    ),
    _counter(
        "penstock_reports_unmatched_total",
        "Reports, or recipients in them, that were not matched to mail of ours.",
        Label("reason", "why", UNMATCHED_REASONS),
    ),
    _gauge("penstock_statistics_rows", "Rows of counters by hour, of the finest kind."),
    _gauge("penstock_statistics_pending", "Rows that wait to be written."),
    _counter(
        "penstock_statistics_folded_total", "Times that (other) was counted for want of rows."
    ),
    _counter(
        "penstock_tenant_recipients_total",
        "Recipients by what became of them, for the tenants with most mail.",
        Label("tenant", "name of the tenant; empty for mail of none"),
        Label("result", "what became of them", TENANT_RESULTS),
    ),
    _gauge("penstock_guarded", "Tenants and campaigns that guards watch."),
    _counter("penstock_guard_folded_total", "Tenants and campaigns not watched: too many at once."),
    _counter(
        "penstock_guard_trips_total",
        "Times that a guard tripped.",
        Label("guard", "name of the guard"),
        Label("action", "what followed", ("tell", "pause")),
    ),
)

_EVENTS = (
    _counter("penstock_events_written_total", "Events written to the event logs."),
    _counter(
        "penstock_events_dropped_total",
        "Events that nobody will hear of.",
        Label(
            "reason",
            "disk: it refused, and the buffer was full; rejected: too many refusals in a second",
            ("disk", "rejected"),
        ),
    ),
    _counter("penstock_events_errors_total", "Times that the disk refused an event log something."),
    _gauge("penstock_events_buffered_bytes", "Events that wait to be written."),
    _gauge("penstock_events_segments", "Files of the event logs."),
    _gauge("penstock_events_log_bytes", "Size of the event logs on disk."),
    _gauge(
        "penstock_events_oldest_age_seconds", "Age of the oldest event that is kept.", merge="max"
    ),
)

_SUPPRESSION = (
    _counter(
        "penstock_suppressed_total",
        "Recipients that got nothing, since their address is on the suppression list.",
        Label("stage", "where it was found out", ("intake", "delivery")),
        Label("reason", "why the address is on the list"),
    ),
    _counter(
        "penstock_suppression_unread_total",
        "Recipients of whom the suppression list could not be asked; they get their mail.",
    ),
    _gauge(
        "penstock_suppression_addresses",
        "Addresses on the suppression list, once for each tenant.",
        merge="max",
    ),
    _gauge("penstock_suppression_bytes", "Size of the list's file on disk.", merge="max"),
    _gauge("penstock_suppression_bytes_max", "What it may become (map_bytes).", merge="max"),
)

DEFINITIONS: tuple[Definition, ...] = (
    _INTAKE + _DELIVERY_METRICS + _PACE + _WARMUP + _STATE + _EVENTS + _SUPPRESSION + _COLLECTOR
)
BY_NAME = {definition.name: definition for definition in DEFINITIONS}


def reply_labels(provider: str, code: int, enhanced: str) -> tuple[str, str, str]:
    """The labels of a delivery result: ``("gmail", "4xx", "4.7")`` from 421 and ``"4.7.28"``."""
    return provider, _CLASSES.get(code // 100, OTHER), enhanced[: enhanced.rfind(".")]


_CLASSES = {2: "2xx", 3: "3xx", 4: "4xx", 5: "5xx"}
