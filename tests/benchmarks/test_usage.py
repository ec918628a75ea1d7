"""CPU is counted for those too that leave their parents, and patience has an end."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from bench import usage
from bench.harness import wait_until

# a grandchild in a session of its own, whose parent ends at once and ignores it
_ORPHAN = """
import os, signal, sys, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    end = time.process_time() + 0.3
    while time.process_time() < end:
        pass
    open(sys.argv[1], "w").close()
    time.sleep(60)
"""


def test_a_group_counts_and_ends_an_orphan(tmp_path):
    group = usage.CpuGroup("test")
    if not group.usable:
        pytest.skip("no control groups here")
    before = _groups()
    try:
        with group.entered():
            command = [sys.executable, "-c", _ORPHAN, str(tmp_path / "done")]
            child = subprocess.Popen(command)
        assert _groups() == before  # we are back where we were
        child.wait(20)
        wait_until((tmp_path / "done").exists, 30, "the orphan has worked")
        assert group.cpu_s() >= 0.3
        assert os.getpid() not in group.pids()
        born = usage.identify(group.pids())
        assert len(born) == 1
    finally:
        group.close()
    assert not usage.alive(born)
    assert not group.usable


def _groups() -> str:
    with open("/proc/self/cgroup", encoding="utf-8") as file:
        return file.read()


def test_patience_has_an_end(monkeypatch):
    monkeypatch.setattr(usage, "machine_busy_s", lambda: time.monotonic() * 2)  # never quiet
    patience = usage.Patience(0.05, 0.25, every_s=0.02)
    patience.wait()
    start = time.monotonic()
    patience.wait()
    assert time.monotonic() - start < 0.02
