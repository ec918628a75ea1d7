"""``kill -9`` under load, again and again, on one spool: of a worker, of all of them, of the
supervisor, of everything at once.

What was acknowledged must be delivered. What was being delivered when a worker died may be
delivered twice, and nothing else may: each start of a worker names what it found in flight, and
every delivery beyond the first must be among those names.

``PENSTOCK_KILL_ROUNDS`` and ``PENSTOCK_KILL_SEED`` say how often and which.
"""

import collections
import os
import random
import signal

import pytest
from bench.harness import wait_until
from bench.usage import alive, identify

ROUNDS = int(os.environ.get("PENSTOCK_KILL_ROUNDS", "5"))
SEED = int(os.environ.get("PENSTOCK_KILL_SEED", "1"))
# every so often it dies again while it still starts
EARLY_EVERY = 5


def kill_one_worker(daemon, rng):
    kill_workers([rng.choice(daemon.worker_pids())])


def kill_all_workers(daemon, rng):
    kill_workers(daemon.worker_pids())


def kill_workers(pids):
    dying = identify(pids)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not alive(dying), 5, "they are dead")


def kill_supervisor(daemon, rng):
    daemon.kill_supervisor()
    daemon.spawn()


def kill_everything(daemon, rng):
    daemon.kill()
    daemon.spawn()


KINDS = {
    "one worker": kill_one_worker,
    "all workers": kill_all_workers,
    "supervisor": kill_supervisor,
    "everything": kill_everything,
}


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_and_every_duplicate_is_explained(site, say):
    rng = random.Random(SEED)
    site.open_sink()
    daemon = site.daemon(workers=2)
    daemon.start()
    load = site.load(daemon)
    rounds = collections.Counter()
    kinds: list[str] = []
    for number in range(1, ROUNDS + 1):
        goal = len(load.acknowledged()) + rng.randrange(20, 500)
        wait_until(lambda goal=goal: len(load.acknowledged()) >= goal, 60, "mail is acknowledged")
        kinds = kinds or rng.sample(list(KINDS), len(KINDS))  # each as often as the others
        kind = kinds.pop()
        wait_until(daemon.worker_pids, 20, "a worker runs")
        KINDS[kind](daemon, rng)
        rounds[kind] += 1
        if number % EARLY_EVERY == 0:
            wait_until(daemon.worker_pids, 20, "a worker starts")
            kill_everything(daemon, rng)
            rounds["everything, while it starts"] += 1
    load.stop()
    daemon.program.wait_for(daemon.ready, 30, "all workers serve")
    daemon.drain(120)
    assert daemon.stop() == 0

    balance, doubles = site.balance(), site.doubles(daemon)
    in_flight = sum(found["in_flight"] for found in daemon.recoveries())
    told = ", ".join(f"{kind} {count}" for kind, count in sorted(rounds.items()))
    say(
        f"{ROUNDS} rounds, seed {SEED} ({told}): {balance.acknowledged} acknowledged, "
        f"{len(balance.lost)} lost, {balance.doubled} delivered twice, {doubles.explained} of "
        f"those explained by {in_flight} deliveries found in flight"
    )
    assert balance.lost == []
    assert doubles.unexplained == []
    assert doubles.explained == balance.doubled <= in_flight
    assert site.sink.read().messages == len(site.sink.delivered())


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


@pytest.mark.slow
def test_a_supervisor_that_dies_alone_is_followed_at_once(site, say):
    """Its workers end what they have begun; the next daemon waits for them, and doubles nothing."""
    site.open_sink()
    daemon = site.daemon(workers=2)
    daemon.start()
    load = site.load(daemon)
    wait_until(lambda: len(load.acknowledged()) > 300, 30, "mail flows")
    daemon.kill_supervisor()
    seconds = daemon.start(20)
    load.stop()
    daemon.drain(60)
    assert daemon.stop() == 0
    balance = site.balance()
    say(f"serving again {seconds:.1f} s after the supervisor died; {balance.doubled} doubled")
    assert balance.lost == []
    assert balance.doubled == 0
