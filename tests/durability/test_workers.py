"""Workers that die, numbers of workers that change, orderly ends: nothing is lost by any of it."""

import os
import signal

import pytest
from bench.harness import wait_until
from bench.usage import alive, identify

BACK_S = 5.0
DEADLINE_S = 10.0


@pytest.mark.slow
def test_a_worker_that_dies_is_back_soon_and_the_other_goes_on(site, say):
    site.open_sink()
    daemon = site.daemon(workers=2)
    daemon.start()
    load = site.load(daemon)
    wait_until(lambda: len(load.acknowledged()) > 500, 30, "mail flows")
    victim, other = daemon.worker_pids()

    dying = identify([victim])
    os.kill(victim, signal.SIGKILL)
    at_death = len(load.acknowledged())
    wait_until(lambda: not alive(dying), 5, "the victim is dead")
    back_s = wait_until(
        lambda: len(set(daemon.worker_pids()) - {victim}) == 2 and daemon.ready(),
        BACK_S,
        "two workers serve again",
    )
    wait_until(lambda: len(load.acknowledged()) > at_death + 500, 30, "mail flows on")
    assert other in daemon.worker_pids()
    load.stop()
    daemon.drain(60)
    balance = site.balance()
    in_flight = sum(found["in_flight"] for found in daemon.recoveries())
    say(f"worker back after {back_s:.2f} s; {balance.doubled} doubled, {in_flight} in flight")
    assert balance.lost == []
    assert balance.doubled <= in_flight


@pytest.mark.slow
def test_the_number_of_workers_may_change_between_runs(site):
    """Shards without a worker are drained by the others."""
    daemon = site.daemon(workers=2)
    daemon.start()
    daemon.control("queue.suspend", selector={"domain": "d0.example"})
    for number, workers in enumerate((2, 1, 3)):
        daemon.workers = workers
        if number:
            daemon.start()
        assert daemon.queued() == number * 600
        site.load(daemon, count=600).program.wait(60)
        assert daemon.queued() == (number + 1) * 600
        assert daemon.stop() == 0
    shards = sorted(path.name for path in daemon.spool.glob("shard-*"))
    assert shards == ["shard-00", "shard-01", "shard-02"]

    daemon.workers = 1
    daemon.start()
    assert daemon.queued() == 1800
    site.open_sink()
    daemon.control("queue.resume", selector={"domain": "d0.example"})
    daemon.drain(60)
    assert site.balance() == (1800, [], 0)


@pytest.mark.slow
def test_sigterm_under_load_ends_in_time_and_loses_and_doubles_nothing(site, say):
    site.open_sink()
    daemon = site.daemon(workers=2, top=f'stop_deadline_s = "{DEADLINE_S:g}s"')
    daemon.start()
    load = site.load(daemon)
    for _ in range(3):
        goal = len(load.acknowledged()) + 1000
        wait_until(lambda goal=goal: len(load.acknowledged()) > goal, 30, "mail flows")
        assert daemon.stop(DEADLINE_S + 3) == 0
        daemon.start()
    load.stop()
    daemon.drain(60)
    balance = site.balance()
    say(f"{balance.acknowledged} acknowledged over 3 restarts, {balance.doubled} doubled")
    assert balance.lost == []
    assert balance.doubled == 0
    assert sum(found["in_flight"] for found in daemon.recoveries()) == 0
