"""Metrics of the routes that see and steer; part of the table in
:mod:`penstock.events.definitions`."""

from __future__ import annotations

from penstock.events.definition import Definition, gauge

OF_STEERING: tuple[Definition, ...] = (
    gauge("penstock_api_event_streams", "Clients that follow events."),
    gauge("penstock_api_lookups", "Look-ups in files that run or wait for a thread."),
    gauge("penstock_api_imports", "Suppression lists that come in."),
    gauge("penstock_suppression_asked", "Questions to the suppression list that run or wait."),
)
