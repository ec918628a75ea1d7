"""The counters: how fast they are fed, and how long questions take over a million rows.

``python -m bench.statistics [--rows 1000000]``
"""

from __future__ import annotations

import argparse
import os
import random
import sqlite3
import tempfile
import time
from statistics import median

from penstock.collector import tables
from penstock.collector.counts import COLUMNS
from penstock.collector.guarding import Guarding
from penstock.collector.logs import Logs, Place
from penstock.collector.providers import Providers
from penstock.collector.query import answer, question_of
from penstock.collector.runner import Runner, RunnerConfig
from penstock.collector.shown import ShownTenants
from penstock.collector.statistics import Statistics, StatisticsConfig
from penstock.events.journal import Journal, JournalConfig
from penstock.events.metrics import Registry
from penstock.events.records import Accepted, Delivered
from penstock.policy.guards import Guard

HOUR_S, DAYS = 3600, 90
TENANTS, CAMPAIGNS, PROVIDERS = 300, 40, ("gmail", "yahoo", "microsoft", "mail.ru", "apple", "")
CLASSES = ("bulk", "triggered", "transactional")
QUESTIONS = {
    "total, 24 h": {},
    "by tenant, 24 h": {"by": "tenant"},
    "by campaign, 24 h": {"by": "campaign"},
    "by campaign of a tenant, 24 h": {"by": "campaign", "tenant": "t1"},
    "by hour, 7 d": {"by": "hour", "since_s": 7 * 86_400},
    "by hour of a tenant, 90 d": {"by": "hour", "tenant": "t1", "since_s": 90 * 86_400},
    "by provider, 90 d": {"by": "provider", "since_s": 90 * 86_400},
    "by tenant, 90 d": {"by": "tenant", "since_s": 90 * 86_400},
    "by campaign of a tenant, 90 d": {"by": "campaign", "tenant": "t1", "since_s": 90 * 86_400},
    "by provider of a campaign, 90 d": {
        "by": "provider",
        "tenant": "t1",
        "campaign": "c1",
        "since_s": 90 * 86_400,
    },
    "by tenant at a provider, 90 d": {
        "by": "tenant",
        "provider": "gmail",
        "since_s": 90 * 86_400,
    },
    "by campaign at a provider, 24 h": {"by": "campaign", "provider": "gmail"},
    "by campaign, 90 d": {"by": "campaign", "since_s": 90 * 86_400},
    "by campaign at a provider, 90 d": {
        "by": "campaign",
        "provider": "gmail",
        "since_s": 90 * 86_400,
    },
}


def fill(path: str, rows: int, now: int) -> None:
    """``rows`` of the finest kind over ``DAYS``, as many tenants and campaigns would leave."""
    rng, database = random.Random(1), tables.open_database(path)
    hours = [now // HOUR_S * HOUR_S - n * HOUR_S for n in range(DAYS * 24)]
    for hour in hours:
        added, bounces = {}, []
        while len(added) < rows // len(hours) + 1:
            names = (
                f"t{int(rng.paretovariate(0.8)) % TENANTS}",
                f"c{rng.randrange(CAMPAIGNS)}",
                rng.choice(PROVIDERS),
                rng.choice(CLASSES),
            )
            added[names] = [rng.randrange(100) for _ in COLUMNS]
            bounces.append(tables.Bounces(hour, names, rng.choice(("bad-mailbox", "policy")), 3))
        database.execute("BEGIN")
        tables.add(database, [tables.Row(hour, n, v) for n, v in added.items()], bounces)
        database.execute("COMMIT")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    count = tables.rows_of_finest(database)
    database.close()
    size = os.path.getsize(path)
    print(f"{count:,} rows of the finest kind, {size / 1e6:.0f} MB with all groupings")


def ask(path: str, now: int) -> None:
    for what, params in QUESTIONS.items():
        times, cpu = [], []
        for _ in range(7):
            begin, used = time.perf_counter(), time.process_time()
            database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
            found = answer(database, question_of(params, now))
            database.close()
            times.append((time.perf_counter() - begin) * 1000)
            cpu.append((time.process_time() - used) * 1000)
        rows = len(found["rows"]) + found["more"]
        print(f"{what:34} {rows:6} rows   median {median(times):6.1f} ms, CPU {median(cpu):6.1f}")


def feed(directory: str, events: int) -> None:
    """Through the log, as it is in the daemon."""
    journal = Journal(os.path.join(directory, "events", "00"), JournalConfig(1 << 30), time.time)
    for n in range(events // 2):
        common = {
            "message": f"m{n}",
            "tenant": f"t{n % 50}",
            "campaign": f"c{n % 7}",
            "class_": "bulk",
        }
        recipient = f"user{n}@example{n % 900}.test"
        journal.write(
            Accepted, sender="s@shop.test", recipients=(recipient,), size=10_000, **common
        )
        journal.write(
            Delivered,
            recipient=recipient,
            phase="final",
            provider="gmail",
            site="gmail-smtp-in.l.google.com",
            mx="alt1.gmail-smtp-in.l.google.com",
            address="192.0.2.7",
            tls="TLSv1.3",
            attempt=1,
            age_s=1.234,
            duration_s=0.321,
            code=250,
            enhanced="2.0.0",
            reply="250 2.0.0 OK 1700000000 a1-20020a05600000b001234567890si1234567qtp.12 - gsmtp",
            **common,
        )
        if n % 10_000 == 0:
            journal.flush()
    journal.close()
    registry = Registry()
    guards = {
        "c": Guard("c", "complaints", 0.002),
        "u": Guard("u", "unsubscribes", 0.004),
        "h": Guard("h", "hard-bounces", 0.03),
        "d": Guard("d", "deferrals", 0.2, per="tenant"),
    }
    statistics = Statistics(
        StatisticsConfig(os.path.join(directory, "fed.sqlite3")),
        Providers(lambda domain: ""),
        Guarding(guards, registry, lambda id_, trip: None, lambda trip: None),
        ShownTenants(registry, 20),
        registry,
    )
    fed = 0

    def count(n: int) -> None:
        nonlocal fed
        fed += n

    logs = Logs(directory, 512 << 10, 16)
    runner = Runner(statistics, Place(logs), RunnerConfig(), count, lambda: None)
    begin, cpu = time.perf_counter(), time.process_time()
    while not runner.turn():
        pass
    runner.flush()
    wall, cpu = time.perf_counter() - begin, time.process_time() - cpu
    each_us = cpu / fed * 1e6
    print(f"fed {fed:,} events in {wall:.2f} s: {fed / wall:,.0f}/s, {each_us:.1f} us CPU each")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--events", type=int, default=200_000)
    options = parser.parse_args()
    now = int(time.time())
    with tempfile.TemporaryDirectory() as directory:
        feed(directory, options.events)
        path = os.path.join(directory, "statistics.sqlite3")
        fill(path, options.rows, now)
        ask(path, now)


if __name__ == "__main__":
    main()
