"""Twice the load that the daemon can carry: it pushes back, and is itself again afterwards.

``PENSTOCK_OVERLOAD_S`` says for how long. An injector that keeps its pace, whatever it is told, is
the hardest: what it cannot place on a session it gives up. What the daemon takes in it takes in
soon; the rest hears 421 or 452, and memory does not grow.
"""

import os

import pytest
from bench.harness import wait_until
from bench.storm import Storm
from bench.usage import PeakMemory, memory_bytes

from penstock.settings.models import QueueSettings

SECONDS = float(os.environ.get("PENSTOCK_OVERLOAD_S", "5"))
CALM_S = 2.0
SHARE = 0.1  # of the capacity, before and after
WORKERS = 2
SESSIONS_MAX = 100  # that a worker takes
SESSIONS = 600  # that the injector would open
MIB = 1 << 20
LATENCY_MAX_S = QueueSettings().wait_max_s  # whoever came then would be pushed back
# of what comes in a worker may keep so much: fresh mail, mail that waits for the disk, mail read
# back to be sent, one unfinished message a session
CACHE_MIB, WAITING_MIB, STAGE_MIB = 16, 16, 8
GROWTH_MAX_MIB = WORKERS * (CACHE_MIB + WAITING_MIB + STAGE_MIB + 20)


def percentile(seconds: list[float], share: float) -> float:
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


@pytest.mark.slow
def test_twice_the_load_is_pushed_back_and_memory_does_not_grow(site, say):
    site.open_sink()
    daemon = site.daemon(
        workers=WORKERS,
        smtp=(
            f"connections_max = {SESSIONS_MAX}\nconnections_per_client_max = {SESSIONS_MAX}\n"
            'size_max_bytes = "1MiB"'
        ),
        extra=(
            f'[queue]\ncache_bytes = "{CACHE_MIB}MiB"\nuncommitted_bytes_max = "{WAITING_MIB}MiB"\n'
            f'[relay]\nstage_bytes_max = "{STAGE_MIB}MiB"\n'
        ),
    )
    daemon.start()
    capacity = capacity_of(site, daemon)
    paces = []

    def pace(name, rate, seconds, sessions=SESSIONS):
        options = {"rate": rate, "seconds": seconds, "name": name, "sessions": sessions}
        paces.append(Storm(site.directory, "127.0.0.1", daemon.port, **options))
        with paces[-1] as running:
            running.program.wait(seconds + 90)
        return running

    before = pace("before", capacity * SHARE, CALM_S)
    empty = memory_bytes(daemon.pids)
    with PeakMemory([daemon.program.pid]) as peak:
        storm = pace("storm", 2 * capacity, SECONDS)
    after = pace("after", capacity * SHARE, CALM_S)
    drained_s = daemon.drain(120)

    calm = [percentile([one.seconds for one in each.taken()], 0.99) for each in (before, after)]
    waits = [one.seconds for one in storm.taken()]
    refused = storm.failed()
    unsent = refused.pop("unsent", 0)
    growth = (peak.peak_bytes - empty) / MIB
    say(
        f"capacity {capacity:.0f}/s; {SECONDS:g} s at twice that: {len(waits)} taken in with p50 "
        f"{percentile(waits, 0.5):.3f} and p99 {percentile(waits, 0.99):.3f} s, "
        f"{refused.total()} refused, {unsent} not placed; memory {empty / MIB:.0f} MiB before and "
        f"{growth:.0f} more at most; p99 at a tenth {calm[0]:.3f} s before and {calm[1]:.3f} "
        f"after; drained {drained_s:.1f} s later; refusals: "
        f"{', '.join(f'{count} {reply}' for reply, count in refused.items())}"
    )
    assert refused.total() + unsent > 0
    assert {reply[:3] for reply in refused} <= {"421", "452"}
    assert max(waits) <= LATENCY_MAX_S
    assert growth <= GROWTH_MAX_MIB
    assert not before.failed()
    assert not after.failed()
    assert calm[1] <= max(3 * calm[0], 0.25)
    acknowledged = {one.message_id for each in paces for one in each.taken()}
    assert acknowledged <= set(site.sink.delivered())
    assert site.balance().lost == []


def capacity_of(site, daemon):
    """What the same machine takes in while it waits for every acknowledgement, a second."""
    load = site.load(daemon)
    wait_until(lambda: len(load.acknowledged()) > 200, 30, "mail flows")
    begun = len(load.acknowledged())
    seconds = wait_until(lambda: len(load.acknowledged()) > begun + 3000, 60, "mail flows")
    rate = (len(load.acknowledged()) - begun) / seconds
    load.stop()
    daemon.drain(60)
    return rate
