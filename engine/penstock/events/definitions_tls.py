"""The metrics of TLS on the way out, and of the reports on it."""

from __future__ import annotations

from penstock.events.definition import Label, counter, gauge

TLS_RESULTS = (
    *("starttls-not-supported", "certificate-host-mismatch", "certificate-expired"),
    *("certificate-not-trusted", "validation-failure", "tlsa-invalid", "dnssec-invalid"),
    *("dane-required", "sts-policy-fetch-error", "sts-policy-invalid", "sts-webpki-invalid"),
)
OF_TLS = (
    counter(
        "penstock_tls_sessions_total",
        "Tries to secure a connection with a next hop, by the kind of policy that held.",
        Label("policy", "what kind (RFC 8460 4.2)", ("sts", "tlsa", "no-policy-found")),
        Label("result", "ok, or what failed (RFC 8460 4.3)", ("ok", *TLS_RESULTS)),
    ),
    counter(
        "penstock_mta_sts_fetches_total",
        "MTA-STS policies fetched.",
        Label("result", "ok, or what failed (RFC 8460 4.3)", ("ok", *TLS_RESULTS[-3:])),
    ),
    gauge(
        "penstock_mta_sts_policies", "MTA-STS policies kept, shared by the workers.", merge="max"
    ),
    gauge("penstock_tls_broken_hosts", "Hosts that get no TLS for a while, for it broke."),
    gauge("penstock_tls_sessions_kept", "TLS sessions kept to be resumed."),
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
