"""``kill -9`` of all processes at once, under load, again and again, on one spool.

What was acknowledged must be delivered. What was being delivered when the processes died may be
delivered twice, and nothing else may: each start says how many deliveries it found in flight.
"""

import os
import random

import pytest
from bench.harness import wait_until

ROUNDS = int(os.environ.get("PENSTOCK_KILL_ROUNDS", "50"))
SEED = int(os.environ.get("PENSTOCK_KILL_SEED", "1"))
# every so often it dies again while it still starts
EARLY_EVERY = 5


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_and_only_deliveries_in_flight_are_doubled(site, say):
    rng = random.Random(SEED)
    sink = site.open_sink()
    daemon = site.daemon(workers=2)
    daemon.start()
    load = site.load(daemon)
    for number in range(1, ROUNDS + 1):
        goal = len(load.acknowledged()) + rng.randrange(20, 1000)
        wait_until(lambda goal=goal: len(load.acknowledged()) >= goal, 60, "mail is acknowledged")
        daemon.kill()
        if number % EARLY_EVERY == 0:
            daemon.spawn()
            wait_until(daemon.worker_pids, 20, "a worker starts")
            daemon.kill()
        daemon.start()
    load.stop()
    daemon.drain(120)
    assert daemon.stop() == 0

    balance = site.balance()
    in_flight = [found["in_flight"] for found in daemon.recoveries()]
    say(
        f"{ROUNDS} rounds: {balance.acknowledged} acknowledged, {len(balance.lost)} lost, "
        f"{balance.doubled} delivered twice, {sum(in_flight)} found in flight"
    )
    assert len(in_flight) >= 2 * (ROUNDS + 1)
    assert balance.lost == []
    assert balance.doubled <= sum(in_flight)
    assert sink.read().messages == len(sink.delivered())


@pytest.mark.slow
def test_what_waits_for_a_retry_survives_too(site):
    """The next hop is away when the processes die, and back later."""
    daemon = site.daemon(workers=2)
    daemon.start()
    site.load(daemon, count=500).program.wait(60)
    daemon.kill()
    daemon.start()
    assert daemon.queued() == 500
    site.open_sink()
    daemon.control("queue.retry", selector={"domain": "d0.example"})
    daemon.drain(60)
    assert site.balance() == (500, [], 0)
