"""The Unix socket outlives the daemon that made it, and the command line a daemon without one."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.api.conftest import ApiDaemon

from penstock.control import ControlError, call_once


@pytest.fixture
def upgraded(tmp_path: Path) -> Iterator[ApiDaemon]:
    one = ApiDaemon(tmp_path)
    try:
        yield one.start()
    finally:
        with contextlib.suppress(OSError, ControlError):  # the daemon that came after it
            os.kill(call_once(one.control, "status", {})["pid"], signal.SIGTERM)
        one.end()


def penstock(daemon: ApiDaemon, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "penstock", *words, "--config", str(daemon.config)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_an_upgrade_over_the_api(upgraded: ApiDaemon) -> None:
    path = str(upgraded.home / "spool" / "api.sock")
    before = os.stat(path).st_ino
    done = penstock(upgraded, "upgrade")
    assert done.stdout.startswith("upgraded: "), done.stderr
    pid = int(done.stdout.split()[-1])
    assert upgraded.process is not None
    assert pid != upgraded.process.pid
    upgraded.process.wait(30)
    assert os.stat(path).st_ino == before, "the same socket, handed over"
    with httpx.Client(transport=httpx.HTTPTransport(uds=path), base_url="http://x") as client:
        assert client.get("/api/v1/daemon").json()["pid"] == pid
    assert upgraded.client().get("/api/v1/daemon").json()["pid"] == pid
    os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + 30
    while os.path.exists(path) and time.monotonic() < end:
        time.sleep(0.05)
    assert not os.path.exists(path)


def test_a_daemon_of_before_is_asked_as_before(upgraded: ApiDaemon) -> None:
    """One without the API, which an upgrade is to replace: over its control socket."""
    (upgraded.home / "spool" / "api.sock").unlink()
    done = penstock(upgraded, "queue", "operations")
    assert (done.stdout, done.stderr) == ("no operation is in force\n", "")
    wrong = penstock(upgraded, "queue", "cancel", "s1")
    assert wrong.stderr == "penstock: no operation 's1': it has ended, or never was\n"
