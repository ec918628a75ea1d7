"""The one table of metrics: names, kinds, labels, bounds, and how workers are combined.

Everything that is measured is declared here and nowhere else; the registry, the exposition and the
reference page are derived from it. Names follow Prometheus: prefix ``penstock_``, base units at
the end, ``_total`` for counters. A label is bounded either by the values named here or, when
``values`` is empty, by the first ``LABEL_VALUES_MAX`` that turn up; later ones become ``"other"``.
"""

from __future__ import annotations

from penstock.events.definition import (
    ATTEMPT,
    FAST,
    LABEL_CHARS_MAX,
    LABEL_VALUES_MAX,
    OTHER,
    PROVIDER,
    Definition,
    Label,
    counter,
    gauge,
    histogram,
)
from penstock.events.definitions_api import OF_API
from penstock.events.definitions_idempotency import OF_IDEMPOTENCY
from penstock.events.definitions_readers import OF_READERS, TENANT_RESULTS, UNMATCHED_REASONS
from penstock.events.definitions_steering import OF_STEERING
from penstock.events.definitions_tls import OF_TLS
from penstock.mail.verdict import Category
from penstock.mail.waits import Wait

__all__ = [
    "BY_NAME",
    "CODE_CLASS",
    "DEFINITIONS",
    "DIRECTION",
    "FEEDBACK_RESULTS",
    "FEEDBACK_ROLES",
    "INTAKE_PHASE",
    "LABEL_CHARS_MAX",
    "LABEL_VALUES_MAX",
    "OTHER",
    "PROVIDER",
    "REPLY_ACTIONS",
    "SHUT_REASONS",
    "SUBJECT",
    "TENANT_RESULTS",
    "UNMATCHED_REASONS",
    "WAIT",
    "Definition",
    "Label",
    "reply_labels",
]

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
FEEDBACK_ROLES = ("bounce", "complaint", "unsubscribe", "postmaster", "other")
FEEDBACK_RESULTS = (
    *("accepted", "forwarded", "automatic", "refused"),
    *("malformed", "unknown-key", "forged", "expired", "unknown", "elsewhere"),
)
SHUT_REASONS = ("stopping", "disk", "memory", "late")

_DELIVERY = (0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0, 432000.0)
_GROUP = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)


_INTAKE = (
    counter("penstock_messages_accepted_total", "Messages acknowledged after their commit."),
    counter("penstock_recipients_accepted_total", "Recipients of acknowledged messages."),
    counter("penstock_bytes_accepted_total", "Content bytes of acknowledged messages."),
    counter("penstock_rejected_total", "Refusals given to clients.", INTAKE_PHASE, CODE_CLASS),
    counter(
        "penstock_auth_failures_total",
        "Failed SMTP authentications.",
        Label(
            "reason",
            "password: wrong name or password; guessing: refused unheard after too many of them; "
            "busy: too many at once",
            ("password", "guessing", "busy"),
        ),
    ),
    gauge(
        "penstock_intake_shut",
        "Workers that take no mail now, by the reason.",
        Label("reason", "what stands against it", SHUT_REASONS),
    ),
    counter(
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
    gauge("penstock_feedback_pending", "Reports received and not acknowledged yet."),
    histogram("penstock_accept_seconds", "From the end of the content to its 250.", FAST),
)
_DELIVERY_METRICS = (
    counter("penstock_delivered_total", "Recipients delivered.", PROVIDER, CODE_CLASS, SUBJECT),
    counter(
        "penstock_deferred_total", "Attempts put off for a retry.", PROVIDER, CODE_CLASS, SUBJECT
    ),
    counter("penstock_bounced_total", "Recipients refused.", PROVIDER, CODE_CLASS, SUBJECT),
    counter(
        "penstock_expired_total",
        "Recipients given up at their maximum age, by the class of the last reply.",
        PROVIDER,
        CODE_CLASS,
        SUBJECT,
    ),
    counter(
        "penstock_cancelled_total",
        "Recipients whose mail was taken back by its id before it was sent.",
        PROVIDER,
    ),
    counter(
        "penstock_replies_total",
        "Replies that put mail off or refused it, for each recipient, by what they say.",
        PROVIDER,
        Label("category", "what the reply says", tuple(one.value for one in Category)),
        Label("by", "what told it: a rule, a code, or nothing", ("rule", "code", "nothing")),
    ),
    counter(
        "penstock_reports_total",
        "Delivery status notifications queued.",
        Label("action", "what they tell (RFC 3464)", ("failed", "delayed", "relayed", "delivered")),
    ),
    counter("penstock_requeued_total", "Recipients never offered, queued again.", PROVIDER),
    histogram("penstock_delivery_seconds", "From acceptance to delivery.", _DELIVERY, PROVIDER),
    histogram("penstock_attempt_seconds", "Duration of one attempt.", ATTEMPT, PROVIDER),
    counter(
        "penstock_dns_lookups_total",
        "Names looked up.",
        Label("kind", "what was asked", ("mx", "address", "txt", "tlsa")),
        Label("result", "how it ended", ("ok", "missing", "failed")),
    ),
    counter(
        "penstock_tls_handshakes_total",
        "TLS handshakes with next hops.",
        Label("result", "how it ended; `resumed`: an earlier session", ("ok", "resumed", "failed")),
    ),
    counter(
        "penstock_limiter_waits_total", "Times that sending waited for a limit.", PROVIDER, WAIT
    ),
    counter(
        "penstock_limiter_wait_seconds_total",
        "Time that sending waited for a limit.",
        PROVIDER,
        WAIT,
    ),
)
_PACE = (
    gauge(
        "penstock_pace_rate",
        "Recipients a second that the pace found from the replies allows; +Inf: any number.",
        Label("source", "name of the source"),
        PROVIDER,
    ),
    gauge(
        "penstock_pace_connections",
        "Connections that the pace allows at once; +Inf: any number.",
        Label("source", "name of the source"),
        PROVIDER,
    ),
    gauge(
        "penstock_pace_suspended",
        "1 while nothing goes, for the provider has blocked the source.",
        Label("source", "name of the source"),
        PROVIDER,
    ),
    gauge("penstock_pace_pairs", "Pairs of source and provider of which a pace is known."),
    counter(
        "penstock_reply_actions_total",
        "Times that a reply rule had something done.",
        Label("action", "what it ordered", REPLY_ACTIONS),
    ),
)
_SOURCE = Label("source", "name of the source")
_WARMUP = (
    gauge(
        "penstock_warmup_stage",
        "Stage of the plan that a source is at, from 1; one more than the plan has: it is warm.",
        _SOURCE,
        PROVIDER,
    ),
    gauge(
        "penstock_warmup_day_messages",
        "Messages that the source may send today; +Inf: it is warm.",
        _SOURCE,
        PROVIDER,
    ),
    gauge("penstock_warmup_sent_messages", "Of these, what has gone.", _SOURCE, PROVIDER),
    gauge("penstock_warmup_pairs", "Pairs of source and provider that are warmed, or were."),
    counter(
        "penstock_warmup_days_total",
        "Days that ended, by what they led to.",
        Label("verdict", "what follows", ("advance", "hold", "back")),
    ),
)
_STATE = (
    gauge("penstock_queue_entries", "Recipients in the queue, whatever their state."),
    gauge("penstock_queue_ready_entries", "Recipients ready to be sent now."),
    gauge("penstock_queue_in_flight_entries", "Recipients being sent."),
    gauge("penstock_queue_suspended_entries", "Recipients held back by an operator or a rule."),
    gauge(
        "penstock_queue_waiting_entries",
        "Recipients in the queue by what they wait for, as of the last count.",
        WAIT,
    ),
    gauge(
        "penstock_source_up",
        "1 where the source can be used, 0 where it is out.",
        Label("source", "name of the source"),
        merge="max",
    ),
    gauge("penstock_unmatched_replies", "Texts of replies kept for which there is no rule."),
    counter(
        "penstock_unmatched_replies_forgotten_total",
        "Texts of replies without a rule that made room for later ones.",
    ),
    gauge("penstock_reply_words", "Words of replies that are remembered with what they tell."),
    gauge("penstock_gates", "Limits that somebody waits for."),
    gauge("penstock_queue_uncommitted_bytes", "Bytes that wait for their commit."),
    gauge("penstock_queue_cache_bytes", "Bytes of fresh message content kept in memory."),
    gauge("penstock_queue_disk_bytes", "Bytes of all segments on disk."),
    gauge("penstock_queue_segments", "Segment files."),
    gauge("penstock_recovered_entries", "Recipients found in the queue at the last start."),
    gauge(
        "penstock_recovered_in_flight_entries",
        "Of these, deliveries under way at the end before; they may be doubled.",
    ),
    gauge("penstock_queue_oldest_age_seconds", "Age of the oldest message queued.", merge="max"),
    histogram("penstock_commit_seconds", "Write and sync of one group of records.", FAST),
    histogram("penstock_commit_messages", "Messages in one commit.", _GROUP),
    counter(
        "penstock_commits_direct_total",
        "Commits that went past the page cache and needed no thread.",
    ),
    gauge("penstock_connections_open", "Connections open now.", DIRECTION),
    counter("penstock_connections_opened_total", "Connections made.", DIRECTION),
    histogram("penstock_loop_lag_seconds", "How late the event loop runs its timers.", FAST),
    gauge(
        "penstock_clock_offset_seconds",
        "How far the machine's clock is ahead of the schedule's, after a jump.",
        merge="max",
    ),
    counter(
        "penstock_log_dropped_total",
        "Attempt lines dropped since the log's reader was too slow.",
    ),
    counter(
        "penstock_metric_labels_capped_total",
        "Observations counted under other, since the metric has too many label values.",
        Label("metric", "name of the metric"),
    ),
)
DEFINITIONS: tuple[Definition, ...] = (
    _INTAKE
    + _DELIVERY_METRICS
    + _PACE
    + _WARMUP
    + _STATE
    + OF_TLS
    + OF_READERS
    + OF_API
    + OF_IDEMPOTENCY
    + OF_STEERING
)
BY_NAME = {definition.name: definition for definition in DEFINITIONS}


def reply_labels(provider: str, code: int, enhanced: str) -> tuple[str, str, str]:
    """The labels of a delivery result: ``("gmail", "4xx", "4.7")`` from 421 and ``"4.7.28"``."""
    return provider, _CLASSES.get(code // 100, OTHER), enhanced[: enhanced.rfind(".")]


_CLASSES = {2: "2xx", 3: "3xx", 4: "4xx", 5: "5xx"}
