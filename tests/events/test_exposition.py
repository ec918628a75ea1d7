"""One page for all processes: sums that never fall, read back by Prometheus' own parsers."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)
from prometheus_client.parser import text_string_to_metric_families as text_families

from penstock.events import reference
from penstock.events.definition import Definition
from penstock.events.definitions import BY_NAME
from penstock.events.exposition import Merger, page
from penstock.events.metrics import Registry
from penstock.events.process import process_snapshot


def worker(delivered: int, entries: int, oldest_s: float) -> Registry:
    registry = Registry()
    registry.counter("penstock_delivered_total").inc(("gmail", "2xx", "2.0"), delivered)
    registry.gauge("penstock_queue_entries").set(entries)
    registry.gauge("penstock_queue_oldest_age_seconds").set(oldest_s)
    registry.histogram("penstock_attempt_seconds").observe(0.2, ("gmail",), delivered)
    return registry


def samples(merger_page: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_families(merger_page.decode())
        for sample in family.samples
    }


def test_workers_are_summed_and_the_oldest_is_the_oldest():
    a, b = worker(3, 10, 5.0), worker(4, 20, 60.0)
    merged = Merger().merge({"0": a.snapshot(), "1": b.snapshot()})
    labels = ("gmail", "2xx", "2.0")
    assert merged.value("penstock_delivered_total", labels) == 7
    assert merged.value("penstock_queue_entries") == 30
    assert merged.value("penstock_queue_oldest_age_seconds") == 60.0
    assert merged.value("penstock_attempt_seconds", ("gmail",)) == 7
    assert merged.value("penstock_bounced_total", labels) == 0


def test_a_replaced_worker_does_not_make_the_sum_fall():
    labels = ("gmail", "2xx", "2.0")
    merger = Merger()
    steady = worker(100, 0, 0.0)
    merger.merge({"0": steady.snapshot(), "1": worker(100, 5, 0.0).snapshot()})
    reborn = worker(1, 7, 0.0)
    merged = merger.merge({"0": steady.snapshot(), "1": reborn.snapshot()})
    assert merged.value("penstock_delivered_total", labels) == 201
    assert merged.value("penstock_attempt_seconds", ("gmail",)) == 201
    assert merged.value("penstock_queue_entries") == 7
    assert merger.merge({"1": reborn.snapshot()}).value("penstock_delivered_total", labels) == 201


def test_a_silent_worker_counts_with_its_last_snapshot_but_shows_no_gauge():
    merger = Merger()
    a, b = worker(3, 10, 5.0), worker(4, 20, 60.0)
    merger.merge({"0": a.snapshot(), "1": b.snapshot()})
    merged = merger.merge({"0": a.snapshot()})
    assert merged.value("penstock_delivered_total", ("gmail", "2xx", "2.0")) == 7
    assert merged.value("penstock_queue_entries") == 10


def test_merging_twice_does_not_count_twice():
    merger = Merger()
    a = worker(3, 10, 5.0)
    merger.merge({"0": a.snapshot()})
    merged = merger.merge({"0": a.snapshot()})
    assert merged.value("penstock_attempt_seconds", ("gmail",)) == 3


def test_a_snapshot_of_another_version_may_hold_metrics_unknown_here():
    snapshot = worker(3, 10, 5.0).snapshot()
    snapshot["series"]["penstock_later_total"] = [[[], 1]]
    merged = Merger().merge({"0": snapshot})
    assert merged.value("penstock_later_total") == 0


def test_a_process_without_a_registry_shows_its_figures_only():
    merged = Merger().merge({"supervisor": {"process": process_snapshot()}})
    body, _ = page(merged, "")
    label = (("process", "supervisor"),)
    assert samples(body)["penstock_process_resident_memory_bytes", label] > 1 << 20


def test_a_gauge_may_be_kept_by_worker(monkeypatch):
    name = "penstock_queue_segments"
    monkeypatch.setitem(BY_NAME, name, Definition(name, "gauge", "Segments.", merge="worker"))
    registry = Registry()
    registry.gauge(name).set(4)
    assert Merger().merge({"1": registry.snapshot()}).value(name, ("1",)) == 4


def test_the_text_page_is_what_prometheus_reads():
    a, b = worker(3, 10, 5.0), worker(4, 20, 60.0)
    body, media_type = page(Merger().merge({"0": a.snapshot(), "1": b.snapshot()}), "")
    assert media_type.startswith("text/plain")
    found = samples(body)
    gmail = (("code", "2xx"), ("provider", "gmail"), ("subject", "2.0"))
    assert found["penstock_delivered_total", gmail] == 7
    assert found["penstock_messages_accepted_total", ()] == 0  # there before the first message
    assert found["penstock_attempt_seconds_bucket", (("le", "0.1"), ("provider", "gmail"))] == 0
    assert found["penstock_attempt_seconds_bucket", (("le", "0.25"), ("provider", "gmail"))] == 7
    assert found["penstock_attempt_seconds_bucket", (("le", "+Inf"), ("provider", "gmail"))] == 7
    assert found["penstock_attempt_seconds_sum", (("provider", "gmail"),)] == pytest.approx(1.4)
    for process in ("0", "1"):
        label = (("process", process),)
        assert found["penstock_process_resident_memory_bytes", label] > 1 << 20
        assert found["penstock_process_cpu_seconds_total", label] > 0


def test_openmetrics_where_it_is_asked_for():
    merged = Merger().merge({"0": worker(3, 10, 5.0).snapshot()})
    body, media_type = page(merged, "application/openmetrics-text; version=1.0.0")
    assert media_type.startswith("application/openmetrics-text")
    names = {family.name for family in openmetrics_families(body.decode())}
    assert {"penstock_delivered", "penstock_queue_entries"} <= names


def test_hostile_label_values_do_not_break_the_page():
    registry = Registry()
    registry.counter("penstock_requeued_total").inc(('a"} 1\nb\\',))
    body, _ = page(Merger().merge({"1": registry.snapshot()}), "")
    assert samples(body)["penstock_requeued_total", (("provider", 'a"} 1\nb\\'),)] == 1


def test_the_reference_page_is_up_to_date(tmp_path, capsys):
    root = Path(__file__).parents[2]
    assert reference.main([]) == 0
    printed = capsys.readouterr().out
    assert reference.main([str(tmp_path / "metrics.md")]) == 0
    assert (tmp_path / "metrics.md").read_text() == printed
    assert (root / "docs/reference/metrics.md").read_text() == printed
    for name in BY_NAME:
        assert f"`{name}`" in printed
