"""``kill -9`` under load over HTTP, with clients that repeat their calls: each message is accepted
once, under the id that its client was told.

``PENSTOCK_KILL_ROUNDS`` and ``PENSTOCK_KILL_SEED`` say how often and which.
"""

from __future__ import annotations

import collections
import os
import pathlib
import random
import sys

import pytest
from bench.harness import free_port, wait_until

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from injector import Injector, accepted_numbers
from test_kill import KINDS, ROUNDS, SEED

from penstock.api.keys import FILE, SCOPES, Key, file_of, new_secret
from penstock.whole_file import write_whole

THREADS = 8


def make_key(spool: pathlib.Path) -> str:
    number, shown, digest = new_secret()
    spool.mkdir(parents=True, exist_ok=True)
    key = Key(number, digest, 0.0, frozenset(SCOPES))
    write_whole(os.path.join(spool, FILE), file_of({number: key}))
    return shown


@pytest.mark.slow
def test_every_call_that_is_repeated_until_it_is_answered_is_accepted_once(site, say):
    rng = random.Random(SEED)
    site.open_sink()
    port = free_port()
    daemon = site.daemon(workers=2, extra=f'[[api]]\nlisten = "127.0.0.1:{port}"\n')
    key = make_key(daemon.spool)
    daemon.start()
    load = Injector(port, key, THREADS, SEED)
    rounds = collections.Counter()
    kinds: list[str] = []
    try:
        for _ in range(ROUNDS):
            goal = len(load.answers) + rng.randrange(50, 500)
            wait_until(lambda goal=goal: len(load.answers) >= goal, 60, "calls are answered")
            kinds = kinds or rng.sample(list(KINDS), len(KINDS))
            kind = kinds.pop()
            wait_until(daemon.worker_pids, 20, "a worker runs")
            KINDS[kind](daemon, rng)
            rounds[kind] += 1
        daemon.program.wait_for(daemon.ready, 30, "all workers serve")
    finally:
        load.stop()
    daemon.drain(120)
    again = daemon.metric("penstock_idempotent_calls_total", {"result": "resumed"})
    assert daemon.stop() == 0

    accepted = accepted_numbers(str(daemon.spool))
    twice = {number: ids for number, ids in accepted.items() if len(ids) > 1}
    told = ", ".join(f"{kind} {count}" for kind, count in sorted(rounds.items()))
    say(
        f"{ROUNDS} rounds, seed {SEED} ({told}): {len(load.answers)} messages answered, "
        f"{load.retries} tries more, {again:g} calls gone on with, {len(twice)} accepted twice"
    )
    assert load.unexpected == []
    assert load.differing == []
    assert twice == {}
    assert {number: {id_} for number, id_ in load.answers.items()} == accepted
