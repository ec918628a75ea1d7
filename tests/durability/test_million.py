"""A great many messages at rest: what they cost in memory, and in time at the next start.

``PENSTOCK_MILLION=1`` queues a million; without it a tenth of that, against bounds that grow with
the number.
"""

import os

import pytest
from bench.harness import wait_until
from bench.usage import resident_bytes

MILLION = 1_000_000
COUNT = MILLION if os.environ.get("PENSTOCK_MILLION") else MILLION // 10
SIZE = 2048
INJECTORS = 2
WORKERS = 2
MIB = 1 << 20
# at a million: 550 MiB and 20 s. Part of it is there whatever is queued: four interpreters, and
# the cache of fresh messages, 64 MiB a worker
BASE_MIB, ALL_MIB = 450, 550
RESIDENT_MAX_MIB = BASE_MIB + (ALL_MIB - BASE_MIB) * COUNT / MILLION
READY_MAX_S = 20.0
INJECTION_MAX_S = 120 + 1800 * COUNT / MILLION


@pytest.mark.slow
def test_memory_and_restart_with_many_messages_queued(site, say):
    daemon = site.daemon(workers=WORKERS)
    empty_s = daemon.start()
    daemon.control("queue.suspend", selector={"domain": "d0.example"})
    idle = resident_bytes(daemon.pids)
    loads = [site.load(daemon, size=SIZE, count=COUNT // INJECTORS) for _ in range(INJECTORS)]
    took = wait_until(
        lambda: not any(load.program.running for load in loads), INJECTION_MAX_S, "all is in", 0.2
    )
    assert sum(len(load.acknowledged()) for load in loads) == COUNT
    assert daemon.queued() == COUNT

    filled = resident_bytes(daemon.pids)
    daemon.kill()
    ready_s = daemon.start(ready_s=120)
    restarted = resident_bytes(daemon.pids)
    say(
        f"{COUNT:,} messages of {SIZE} bytes in {took:.0f} s ({COUNT / took:,.0f}/s); resident: "
        f"{idle / MIB:.0f} MiB empty, {filled / MIB:.0f} MiB filled, {restarted / MIB:.0f} MiB "
        f"after kill -9 and restart; ready again after {ready_s:.1f} s"
    )
    assert daemon.queued() == COUNT
    assert max(filled, restarted) <= RESIDENT_MAX_MIB * MIB
    allowed_s = READY_MAX_S
    if COUNT < MILLION:  # on a slow machine the interpreters alone may take most of the time
        allowed_s = READY_MAX_S * COUNT / MILLION + 2 * empty_s
    assert ready_s <= allowed_s
