"""The metrics of the event logs and of all that reads them: suppression, webhooks, statistics."""

from __future__ import annotations

from penstock.events.definition import ATTEMPT, Definition, Label, counter, gauge, histogram

UNMATCHED_REASONS = (
    *("no-reference", "unknown-message", "other-recipient", "unreadable", "not-a-report"),
    *("malformed", "unknown-key", "forged", "expired", "other-purpose"),
)
TENANT_RESULTS = (
    *("accepted", "delivered", "deferred", "bounced", "expired", "suppressed"),
    *("cancelled", "complained", "unsubscribed"),
)

_WEBHOOK = Label("webhook", "name of the webhook")
_WEBHOOKS = (
    counter(
        "penstock_webhook_deliveries_total",
        "Attempts to deliver a batch of events to a webhook.",
        _WEBHOOK,
        Label(
            "result",
            "how it ended; refused: 3xx or 4xx; failed: 5xx; address: not public; "
            "secret: its file cannot be used",
            (
                *("delivered", "gone", "refused", "failed", "timeout", "unreachable", "tls"),
                *("address", "secret"),
            ),
        ),
    ),
    counter("penstock_webhook_events_delivered_total", "Events delivered.", _WEBHOOK),
    counter(
        "penstock_webhook_events_lost_total",
        "Events that a webhook was never given.",
        _WEBHOOK,
        Label(
            "reason",
            "tries: given up after the last; retention: deleted from the log before",
            ("tries", "retention"),
        ),
    ),
    histogram("penstock_webhook_delivery_seconds", "Duration of one attempt.", ATTEMPT),
    gauge(
        "penstock_webhook_events_waiting",
        "Events to be delivered, in the queue and left in the log.",
        _WEBHOOK,
    ),
    gauge("penstock_webhook_queue_bytes", "Events in the queue on disk.", _WEBHOOK),
    gauge(
        "penstock_webhook_lag_seconds",
        "Age of the oldest event to be delivered.",
        _WEBHOOK,
        merge="max",
    ),
    gauge(
        "penstock_webhook_behind",
        "1 while events are left in the log, for the queue is full or the webhook disabled.",
        _WEBHOOK,
        merge="max",
    ),
    gauge("penstock_webhook_disabled", "1 while nothing is delivered.", _WEBHOOK, merge="max"),
    gauge("penstock_webhook_connections", "Deliveries under way."),
)
_SINK = Label("sink", "name of the sink")
_SINKS = (
    counter("penstock_sink_events_total", "Events that the broker has acknowledged.", _SINK),
    counter("penstock_sink_failures_total", "Times that it did not take a batch.", _SINK),
)
_UNSUBSCRIBE = (
    counter(
        "penstock_unsubscribe_requests_total",
        "Requests at the page for unsubscribing.",
        Label(
            "result",
            "how it ended; shown: the page with the button; wrong: not understood",
            (
                *("one-click", "page", "shown", "forged", "expired", "limited", "wrong"),
                "failed",
            ),
        ),
    ),
    gauge("penstock_unsubscribe_clients", "Clients whose requests are counted."),
)
_EVENTS = (
    counter("penstock_events_written_total", "Events written to the event logs."),
    counter(
        "penstock_events_dropped_total",
        "Events that nobody will hear of.",
        Label(
            "reason",
            "disk: it refused, and the buffer was full; rejected: too many refusals in a second",
            ("disk", "rejected"),
        ),
    ),
    counter("penstock_events_errors_total", "Times that the disk refused an event log something."),
    gauge("penstock_events_buffered_bytes", "Events that wait to be written."),
    gauge("penstock_events_segments", "Files of the event logs."),
    gauge("penstock_events_log_bytes", "Size of the event logs on disk."),
    gauge(
        "penstock_events_oldest_age_seconds", "Age of the oldest event that is kept.", merge="max"
    ),
)

_SUPPRESSION = (
    counter(
        "penstock_suppressed_total",
        "Recipients that got nothing, since their address is on the suppression list.",
        Label("stage", "where it was found out", ("intake", "delivery")),
        Label("reason", "why the address is on the list"),
    ),
    counter(
        "penstock_suppression_unread_total",
        "Recipients of whom the suppression list could not be asked; they get their mail.",
    ),
    gauge(
        "penstock_suppression_addresses",
        "Addresses on the suppression list, once for each tenant.",
        merge="max",
    ),
    gauge("penstock_suppression_bytes", "Size of the list's file on disk.", merge="max"),
    gauge("penstock_suppression_bytes_max", "What it may become (map_bytes).", merge="max"),
)

_CONSUMER = Label("consumer", "what reads the event log")
_COLLECTOR = (
    gauge("penstock_collector_up", "1 while the collector reads events, 0 while it is away."),
    counter("penstock_consumer_events_total", "Events that a consumer was fed with.", _CONSUMER),
    counter("penstock_consumer_failures_total", "Times that a consumer failed.", _CONSUMER),
    gauge("penstock_consumer_lag_events", "Events behind the logs, by their size.", _CONSUMER),
    gauge("penstock_consumer_lag_seconds", "Age of the event read last, if behind.", _CONSUMER),
    gauge("penstock_event_lines_unreadable", "Lines left out since they are no events of ours."),
    gauge("penstock_event_batches", "Batches of events kept for readers a little behind."),
    counter(
        "penstock_reports_resolved_total",
        "What reports told of recipients of ours.",
        Label(
            "result",
            "what it became; ignored: nothing follows from it",
            ("bounced", "complained", "unsubscribed", "auto-replied", "ignored"),
        ),
    ),
    counter(
        "penstock_reports_unmatched_total",
        "Reports, or recipients in them, that were not matched to mail of ours.",
        Label("reason", "why", UNMATCHED_REASONS),
    ),
    gauge("penstock_statistics_rows", "Rows of counters by hour, of the finest kind."),
    gauge("penstock_statistics_pending", "Rows that wait to be written."),
    counter("penstock_statistics_folded_total", "Times that (other) was counted for want of rows."),
    counter(
        "penstock_tenant_recipients_total",
        "Recipients by what became of them, for the tenants with most mail.",
        Label("tenant", "name of the tenant; empty for mail of none"),
        Label("result", "what became of them", TENANT_RESULTS),
    ),
    gauge("penstock_guarded", "Tenants and campaigns that guards watch."),
    counter("penstock_guard_folded_total", "Tenants and campaigns not watched: too many at once."),
    counter(
        "penstock_guard_trips_total",
        "Times that a guard tripped.",
        Label("guard", "name of the guard"),
        Label("action", "what followed", ("tell", "pause")),
    ),
)

OF_READERS: tuple[Definition, ...] = (
    _WEBHOOKS + _SINKS + _UNSUBSCRIBE + _EVENTS + _SUPPRESSION + _COLLECTOR
)
