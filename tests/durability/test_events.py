"""``kill -9`` under load loses no event of what was committed.

Afterwards the queue is empty: every delivery was settled, and for each there is a line in the event
log that says how it ended. The same for what was acknowledged: each 250 has its line, and that is
found by the id in it.
"""

import collections
import json
import os
import random
import signal

import msgspec
import pytest
from bench.harness import wait_until
from bench.usage import alive, identify

from penstock.events.reading import LogReader, log_directories
from penstock.mail.envelope import SEQUENCE_BITS, id_number

ROUNDS = int(os.environ.get("PENSTOCK_KILL_ROUNDS", "5"))
SEED = int(os.environ.get("PENSTOCK_KILL_SEED", "1"))
EVENTS = '[events]\nsegment_bytes = "1 MiB"\nsegment_age_s = 60\n'


def events_of(daemon):
    """All events of all logs, by log; each line whole."""
    found = {}
    for name, directory in log_directories(str(daemon.spool)).items():
        reader, lines = LogReader(directory), []
        position = reader.start()
        while True:
            more, position = reader.read(position)
            if not more:
                break
            lines += map(msgspec.json.decode, more)
        assert (reader.damaged, reader.lost) == (0, 0)
        found[name] = lines
    return found


@pytest.mark.slow
def test_every_settled_delivery_has_its_event(site, say):
    rng = random.Random(SEED)
    site.open_sink()
    daemon = site.daemon(workers=2, extra=EVENTS)
    daemon.start()
    load = site.load(daemon)
    for number in range(ROUNDS):
        goal = len(load.acknowledged()) + rng.randrange(50, 800)
        wait_until(lambda goal=goal: len(load.acknowledged()) >= goal, 60, "mail is acknowledged")
        wait_until(lambda: len(daemon.worker_pids()) == 2, 20, "the workers run")
        if number % 2:
            daemon.kill()
            daemon.spawn()
        else:
            dying = identify(daemon.worker_pids())
            for pid in daemon.worker_pids():
                os.kill(pid, signal.SIGKILL)
            wait_until(lambda dying=dying: not alive(dying), 5, "they are dead")
    load.stop()
    daemon.program.wait_for(daemon.ready, 30, "all workers serve")
    daemon.drain(120)
    assert daemon.stop() == 0

    logs = events_of(daemon)
    events = [event for lines in logs.values() for event in lines]
    ids = collections.Counter(event["id"] for event in events)
    assert not [id_ for id_, count in ids.items() if count > 1]
    ended = {e["message"] for e in events if e["type"] in ("delivered", "bounced", "expired")}
    accepted = {e["message"] for e in events if e["type"] == "accepted"}
    arrived = set(site.sink.received_ids())
    say(
        f"{ROUNDS} rounds, seed {SEED}: {len(load.acknowledged())} acknowledged, {len(accepted)} "
        f"accepted events, {len(arrived)} arrived, {len(ended)} of them have an event"
    )
    assert site.balance().lost == []
    assert len(accepted) >= len(load.acknowledged())
    assert arrived - ended == set()  # the queue is empty: all of them were settled
    assert accepted - ended == set()
    assert arrived - accepted == set()  # also where it died before it could say so
    for log, lines in logs.items():
        refs = [id_number(e["message"]) for e in lines if e["type"] == "accepted"]
        assert refs == sorted(refs)
        reader = LogReader(log_directories(str(daemon.spool))[log])
        for ref in rng.sample(refs, min(50, len(refs))):
            assert log == f"{ref >> SEQUENCE_BITS:02d}"
            assert id_number(reader.accepted(ref).message) == ref


@pytest.mark.slow
def test_what_an_operator_does_is_an_event(site):
    daemon = site.daemon(workers=1)
    daemon.start()
    daemon.control("queue.suspend", selector={"tenant": "shop"}, who="ann", reason="a test")
    daemon.control("queue.resume", selector={"tenant": "shop"}, who="bob")
    assert daemon.stop() == 0
    lines = events_of(daemon)["supervisor"]
    assert [(one["action"], one["who"]) for one in lines] == [
        ("queue.suspend", "ann"),
        ("queue.suspend.cancelled", "bob"),
    ], json.dumps(lines)
    assert lines[0]["tenant"] == "shop"
    assert lines[0]["reason"] == "a test"
