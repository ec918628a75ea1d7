"""A spool on a file system that fills up, before its reserve is reached and after.

Intake shuts with 452, nothing dies, delivery goes on, and intake opens by itself when there is room
again. The file system is a small one in memory: its limits are as hard as those of any other.
"""

import contextlib
import os
import subprocess

import pytest
from bench.harness import wait_until
from bench.load import Load

SIZE_MIB = 64
DOMAIN = {"domain": "d0.example"}
RESERVES = {"the reserve": 16, "the disk itself": 0}


@pytest.fixture
def small_disk(site):
    """A directory with ``SIZE_MIB`` of room."""
    point = site.directory / "small"
    point.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MIB}m,mode=755", "penstock-test"]
    try:
        done = subprocess.run([*command, str(point)], capture_output=True, text=True)
        reason = done.stderr.strip()
    except FileNotFoundError:
        reason = "there is no mount command"
    if reason:
        message = f"a small file system cannot be mounted here (root?): {reason}"
        if os.environ.get("CI") == "true" and os.geteuid() == 0:
            pytest.fail(message)
        pytest.skip(message)
    yield point
    subprocess.run(["umount", "-l", str(point)], check=True)


@pytest.fixture(params=RESERVES.values(), ids=RESERVES)
def daemon(request, site, small_disk):
    """Nobody answers at its next hop yet, so what comes in stays."""
    queue = f'[queue]\nsegment_bytes = "4MiB"\ndisk_free_min_bytes = "{request.param}MiB"\n'
    started = site.daemon(workers=2, spool=small_disk / "spool", extra=queue)
    started.start()
    with contextlib.ExitStack() as stack:
        stack.callback(started.end)  # before the file system goes
        yield started


def shut(load: Load) -> bool:
    return any(reply.startswith("452 4.3.1") for reply in load.refused())


@pytest.mark.slow
def test_intake_shuts_delivery_goes_on_and_intake_opens_again(site, daemon, say):
    pids = daemon.worker_pids()
    load = site.load(daemon)
    wait_until(lambda: shut(load), 60, "452 4.3.1")
    wait_until(lambda: not daemon.ready(), 10, "GET /readyz says no")
    assert {reply[:9] for reply in load.refused()} <= {"452 4.3.1", "421 4.3.2"}
    full_at = len(load.acknowledged())
    assert daemon.queued() >= full_at
    assert full_at > 1000

    site.open_sink()
    daemon.control("queue.retry", selector=DOMAIN)
    wait_until(lambda: site.sink.read().messages > full_at, 60, "delivery goes on")
    wait_until(lambda: len(load.acknowledged()) > full_at + 1000, 60, "intake is back")
    load.stop()
    daemon.drain(60)
    assert daemon.worker_pids() == pids
    assert daemon.stop() == 0
    balance = site.balance()
    say(f"full after {full_at} messages; {balance.acknowledged} acknowledged, {balance.doubled} x2")
    assert balance.lost == []
    assert balance.doubled == 0


@pytest.mark.slow
def test_intake_is_back_when_somebody_else_frees_space(site, daemon, small_disk):
    ballast = small_disk / "ballast"
    free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
    with open(ballast, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, free - (6 << 20))
    load = site.load(daemon)
    wait_until(lambda: shut(load), 60, "452 4.3.1")
    before = len(load.acknowledged())
    ballast.unlink()
    wait_until(lambda: len(load.acknowledged()) > before + 100, 20, "intake is back")
    load.stop()
    assert daemon.queued() >= len(load.acknowledged())
    daemon.kill()
    daemon.start()
    assert daemon.queued() >= len(load.acknowledged())
    site.open_sink()
    daemon.control("queue.retry", selector=DOMAIN)
    daemon.drain(60)
    assert site.balance().lost == []
