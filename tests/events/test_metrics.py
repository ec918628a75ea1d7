"""Counting in one process: exact numbers, bounded labels, nothing that is not in the table."""

from __future__ import annotations

import json
import re

import msgpack
import pytest

from penstock.events.definitions import BY_NAME, DEFINITIONS, reply_labels
from penstock.events.metrics import Registry


def rows(registry: Registry, name: str) -> dict[tuple[str, ...], object]:
    return {tuple(labels): value for labels, value in registry.snapshot()["series"][name]}


def test_every_definition_keeps_the_conventions():
    assert len(BY_NAME) == len(DEFINITIONS)
    for one in DEFINITIONS:
        assert re.fullmatch(r"penstock_[a-z_]+", one.name)
        assert one.help.endswith(".")
        assert one.name.endswith("_total") == (one.kind == "counter")
        assert bool(one.buckets) == (one.kind == "histogram")
        assert list(one.buckets) == sorted(set(one.buckets))


def test_counters_count_by_labels():
    registry = Registry()
    delivered = registry.counter("penstock_delivered_total")
    delivered.inc(("gmail", "2xx", "2.0"))
    delivered.inc(("gmail", "2xx", "2.0"), 4)
    delivered.inc(("yahoo", "2xx", ""))
    assert registry.counter("penstock_delivered_total") is delivered
    assert rows(registry, "penstock_delivered_total") == {
        ("gmail", "2xx", "2.0"): 5,
        ("yahoo", "2xx", ""): 1,
    }


def test_open_labels_are_capped_and_the_rest_is_other():
    registry = Registry(label_values_max=3)
    requeued = registry.counter("penstock_requeued_total")
    for number in range(10):
        requeued.inc((f"p{number}",))
    requeued.inc(("p0",))
    assert rows(registry, "penstock_requeued_total") == {
        ("p0",): 2,
        ("p1",): 1,
        ("p2",): 1,
        ("other",): 7,
    }
    capped = rows(registry, "penstock_metric_labels_capped_total")
    assert capped == {("penstock_requeued_total",): 7}


def test_values_outside_a_fixed_set_are_other_whatever_their_number():
    registry = Registry()
    opened = registry.counter("penstock_connections_opened_total")
    opened.inc(("in",))
    opened.inc(("sideways",), 2)
    assert rows(registry, "penstock_connections_opened_total") == {("in",): 1, ("other",): 2}


def test_long_label_values_are_cut():
    registry = Registry()
    registry.counter("penstock_requeued_total").inc(("x" * 5000,))
    assert rows(registry, "penstock_requeued_total") == {("x" * 64,): 1}


def test_gauges_keep_the_last_value_and_move():
    registry = Registry()
    entries = registry.gauge("penstock_queue_entries")
    entries.set(7)
    entries.set(3)
    connections = registry.gauge("penstock_connections_open")
    connections.add(2, ("out",))
    connections.add(-1, ("out",))
    connections.set(5, ("nowhere",))
    assert rows(registry, "penstock_queue_entries") == {(): 3}
    assert rows(registry, "penstock_connections_open") == {("out",): 1, ("other",): 5}


def test_histograms_count_into_the_first_bucket_that_holds_the_value():
    registry = Registry()
    commits = registry.histogram("penstock_commit_messages")
    for size in (1, 2, 3, 2000):
        commits.observe(size)
    commits.observe(3, n=10)
    ((_, row),) = registry.snapshot()["series"]["penstock_commit_messages"]
    assert row == [1, 1, 11] + [0] * 8 + [1, 1 + 2 + 3 + 2000 + 30.0]


def test_a_snapshot_does_not_change_afterwards():
    registry = Registry()
    commits = registry.histogram("penstock_commit_messages")
    commits.observe(1)
    before = registry.snapshot()
    text = json.dumps(before["series"])
    commits.observe(1)
    assert json.dumps(before["series"]) == text


def test_gauges_can_be_read_when_asked():
    registry = Registry()
    entries = registry.gauge("penstock_queue_entries")
    registry.on_snapshot(lambda: entries.set(42))
    assert rows(registry, "penstock_queue_entries") == {(): 42}


def test_snapshots_pass_through_msgpack():
    registry = Registry()
    registry.counter("penstock_requeued_total").inc(("gmail",))
    registry.histogram("penstock_attempt_seconds").observe(0.2, ("gmail",))
    snapshot = registry.snapshot()
    assert msgpack.unpackb(msgpack.packb(snapshot)) == snapshot
    assert snapshot["process"]["rss_bytes"] > 1 << 20
    assert snapshot["process"]["open_fds"] >= 3


@pytest.mark.parametrize("name", ["penstock_nothing_total", "penstock_queue_entries"])
def test_what_is_not_in_the_table_as_such_is_refused(name):
    with pytest.raises(KeyError, match=name):
        Registry().counter(name)


def test_a_wrong_number_of_labels_is_a_bug_and_says_so():
    with pytest.raises(ValueError, match="penstock_requeued_total has the labels"):
        Registry().counter("penstock_requeued_total").inc(("a", "b"))


@pytest.mark.parametrize(
    ("code", "enhanced", "labels"),
    [
        (250, "2.0.0", ("gmail", "2xx", "2.0")),
        (421, "4.7.28", ("gmail", "4xx", "4.7")),
        (550, "", ("gmail", "5xx", "")),
        (199, "", ("gmail", "other", "")),
    ],
)
def test_labels_of_a_reply(code, enhanced, labels):
    assert reply_labels("gmail", code, enhanced) == labels
