"""The metrics of mail that comes over HTTP: calls that are remembered by their ``Idempotency-Key``,
and templates that are kept compiled."""

from __future__ import annotations

from penstock.events.definition import Definition, Label, counter, gauge

OF_IDEMPOTENCY: tuple[Definition, ...] = (
    counter(
        "penstock_idempotent_calls_total",
        "Calls with an Idempotency-Key.",
        Label(
            "result",
            "new: done; resumed: what a crash had left undone of it was done; replayed: answered "
            "from memory; mismatch: the key was used for another body; busy: the call that it "
            "repeats was not done in time",
            ("new", "resumed", "replayed", "mismatch", "busy"),
        ),
    ),
    gauge("penstock_idempotency_entries", "Calls that are remembered.", merge="max"),
    gauge("penstock_idempotency_entries_max", "Calls that may be.", merge="max"),
    gauge("penstock_idempotency_bytes", "Size of the file that remembers them.", merge="max"),
    gauge("penstock_idempotency_bytes_max", "What it may become.", merge="max"),
    counter(
        "penstock_idempotency_forgotten_total",
        "Calls forgotten before their time for want of room.",
    ),
    gauge("penstock_api_template_sets", "Templates of calls that are kept compiled."),
    gauge("penstock_api_template_sets_max", "Templates that may be kept."),
)
