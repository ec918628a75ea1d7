"""What was seen of TLS, from a connection to the sums of a day: nothing twice, all bounded."""

from __future__ import annotations

import random

import pytest

from penstock.collector.tls_counting import TlsCounting, TlsCountingConfig
from penstock.collector.tls_tables import open_database, policies_of
from penstock.events.metrics import Registry
from penstock.events.reading import Position
from penstock.events.records import TlsSeen
from penstock.mail.tls_report import DAY_S, Failure
from penstock.relay.tls_finding import TlsFinding
from penstock.relay.tls_seen import TlsCounts

DAY = 1_796_083_200  # 2026-12-01
NOON = DAY + DAY_S / 2
GOOD = TlsFinding("b.example", "sts", ("version: STSv1",), ("*.b.example",))
BAD = GOOD._replace(
    result_type="certificate-expired", mx_host="mx.b.example", mx_address="192.0.2.1", detail="old"
)


@pytest.fixture
def counts():
    written, now = [], [0.0]

    def write(make, **fields):
        written.append(make(id=f"e{len(written)}", at="2026-12-01T12:00:00.000Z", **fields))

    made = TlsCounts(write, lambda: now[0], flush_s=10.0, rows_max=5)
    made.written, made.now = written, now
    return made


def test_what_is_alike_is_one_row_and_goes_after_a_while(counts):
    for number in range(3):
        counts.seen(GOOD._replace(mx_host=f"mx{number}.b.example", mx_address="192.0.2.1"))
    counts.seen(BAD)
    counts.seen(BAD)
    counts.now[0] = 9.9
    counts.look()
    assert (len(counts), counts.written) == (2, [])
    counts.now[0] = 10.0
    counts.look()
    assert len(counts) == 0
    assert [(one.result, one.mx, one.sessions) for one in counts.written] == [
        ("", "", 3),
        ("certificate-expired", "mx.b.example", 2),
    ]
    assert counts.written[0].policy_mx == ("*.b.example",)


def test_too_many_rows_are_written_at_once_and_long_words_are_cut(counts):
    for number in range(7):
        counts.seen(BAD._replace(detail=f"{number}" * 500))
    assert [len(one.detail) for one in counts.written] == [200] * 5
    assert len(counts) == 2


def test_a_policy_without_end_is_cut(counts):
    lines = tuple(f"mx: host{number}.b.example" for number in range(5000))
    counts.seen(GOOD._replace(policy_string=lines, mx_patterns=lines))
    counts.flush()
    (one,) = counts.written
    assert 100 < len(one.policy_text) < 300
    assert one.policy_text == one.policy_mx == lines[: len(one.policy_text)]


def event(sessions=1, at="2026-12-01T12:00:00.000Z", **fields):
    return TlsSeen(id="e", at=at, domain="b.example", sessions=sessions, **fields)


@pytest.fixture
def opened(tmp_path):
    """``opened()``: a consumer that has begun; again for one after a crash of the one before."""
    made = []

    def start(now=NOON, **config):
        registry = Registry()
        path = str(tmp_path / "spool" / "tls.sqlite3")
        one = TlsCounting(TlsCountingConfig(path, **config), registry, lambda: now)
        one.places = one.checkpoint()
        one.registry, one.path = registry, path
        made.append(one)
        return one

    yield start
    for one in made:
        one.close()


def take(consumer, *events, upto=1):
    consumer.take("00", [(b"", one) for one in events], Position(0, upto))


def told(consumer, day=DAY, domain="b.example"):
    database = open_database(consumer.path)
    try:
        return policies_of(database, day, domain)
    finally:
        database.close()


def test_sums_and_details(opened):
    consumer = opened()
    bad = {"policy": "sts", "policy_text": ("x",), "policy_mx": ("*.b",), "result": "tlsa-invalid"}
    take(
        consumer,
        event(5, policy="sts", policy_text=("x",), policy_mx=("*.b",)),
        event(2, **bad, mx="mx1", address="192.0.2.1", source="192.0.2.9", detail="why"),
        event(3, **bad, mx="mx1", address="192.0.2.1", source="192.0.2.9", detail="why"),
        event(1, **bad, mx="mx2"),
        event(7),
        event(1, at="2026-12-02T00:00:00.000Z"),
        event(1, at="no time"),
    )
    consumer.flush()
    sts, none = sorted(told(consumer), key=lambda one: one.kind, reverse=True)
    assert (sts.kind, sts.text, sts.mx, sts.succeeded, sts.failed) == (
        "sts",
        ("x",),
        ("*.b",),
        5,
        6,
    )
    assert sts.failures == (
        Failure("tlsa-invalid", "mx1", "192.0.2.1", "192.0.2.9", "why", 5),
        Failure("tlsa-invalid", "mx2", "", "", "", 1),
    )
    assert (none.kind, none.succeeded, none.failures) == ("no-policy-found", 7, ())
    assert [one.succeeded for one in told(consumer, DAY + DAY_S)] == [1]


@pytest.mark.parametrize("seed", range(5))
def test_a_crash_at_any_moment_counts_each_once(opened, seed):
    rng = random.Random(seed)
    consumer, done = opened(), 0
    while done < 200:
        step = rng.randint(1, 20)
        take(consumer, *[event()] * step, upto=done + step)
        done += step
        if rng.random() < 0.5:
            consumer.flush()
        if rng.random() < 0.3:
            consumer = opened()  # what was not flushed comes again from its place
            done = consumer.places.get("00", Position(0, 0)).offset
    consumer.flush()
    assert [one.succeeded for one in told(consumer)] == [done]


def test_no_more_domains_than_said(opened):
    consumer = opened(domains_max=2)
    take(consumer, *(TlsSeen(id="e", at="2026-12-01T01:00:00Z", domain=f"d{n}", sessions=4)
                     for n in range(5)))  # fmt: skip
    take(consumer, *(TlsSeen(id="e", at="2026-12-02T01:00:00Z", domain="d9", sessions=1),))
    consumer.flush()
    take(consumer, TlsSeen(id="e", at="2026-12-01T01:00:00Z", domain="d0", sessions=1))
    consumer.flush()
    counted = [sum(one.succeeded for one in told(consumer, domain=f"d{n}")) for n in range(5)]
    assert counted == [5, 4, 0, 0, 0]
    dropped = consumer.registry.counter("penstock_tls_sessions_uncounted_total").rows()
    assert dropped == [[[], 12]]


def test_no_more_kinds_of_failure_than_said(opened):
    consumer = opened(failures_max=3)
    for number in range(10):
        take(consumer, event(result="tlsa-invalid", mx=f"mx{number}"))
        consumer.flush()
    (policy,) = told(consumer)
    assert policy.failed == 10
    assert [(one.mx, one.sessions) for one in policy.failures] == [
        ("", 7),
        ("mx0", 1),
        ("mx1", 1),
        ("mx2", 1),
    ]


def test_old_days_are_forgotten(opened):
    consumer = opened()
    take(consumer, event())
    consumer.flush()
    later = opened(now=NOON + 20 * DAY_S, keep_s=14.0 * DAY_S)
    take(later, event(at="2026-12-21T01:00:00Z"), upto=2)
    later.flush()
    assert told(later) == ()
    assert len(told(later, DAY + 20 * DAY_S)) == 1
