"""Metrics of the HTTP API; part of the table in :mod:`penstock.events.definitions`."""

from __future__ import annotations

from penstock.events.definition import FAST, Definition, Label, counter, gauge, histogram

ROUTE = Label("route", "the route's template, like /api/v1/messages/{id}; none where none matches")
METHOD = Label("method", "HTTP method", ("GET", "POST", "PUT", "PATCH", "DELETE", "other"))
STATUS = Label(
    "status",
    "class of the HTTP status; gone: the client left before",
    ("1xx", "2xx", "3xx", "4xx", "5xx", "gone"),
)
REFUSED = ("missing", "malformed", "unknown", "expired", "network", "rate")

OF_API: tuple[Definition, ...] = (
    counter("penstock_api_requests_total", "Requests to the HTTP API.", ROUTE, METHOD, STATUS),
    histogram("penstock_api_request_seconds", "How long they took.", (*FAST, 5.0, 30.0), ROUTE),
    counter(
        "penstock_api_bytes_total",
        "Bytes of their bodies.",
        Label("direction", "in: requests; out: answers", ("in", "out")),
    ),
    counter("penstock_api_key_requests_total", "Requests by key.", Label("key", "the key's id")),
    counter(
        "penstock_api_refused_total",
        "Requests that were not let in.",
        Label("reason", "why not", REFUSED),
    ),
    gauge("penstock_api_receiving_bytes", "Memory held by request bodies that come in."),
    gauge("penstock_api_connections", "Connections to the HTTP API."),
    gauge("penstock_api_keys", "API keys that are good.", merge="max"),
)
