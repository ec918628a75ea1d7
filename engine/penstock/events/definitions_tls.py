"""The metrics of DANE and of reports on TLS."""

from __future__ import annotations

from penstock.events.definition import Definition, Label, counter, gauge

OF_TLS: tuple[Definition, ...] = (
    gauge("penstock_dane_answers", "Answers kept of the resolver that validates."),
    gauge("penstock_tls_seen_rows", "Rows of what was seen of TLS, not written down yet."),
    counter(
        "penstock_tls_sessions_uncounted_total",
        "Sessions that no report tells of, since there were too many domains in a day.",
    ),
    counter(
        "penstock_tls_reports_total",
        "Reports on TLS.",
        Label(
            "result",
            "unwanted: the domain asks for none; later: to be tried again; failed: given up",
            ("sent", "unwanted", "later", "failed"),
        ),
    ),
    gauge("penstock_tls_reports_due", "Reports on TLS that are not sent yet."),
)
