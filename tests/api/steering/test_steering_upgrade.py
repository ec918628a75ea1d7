"""The Unix socket outlives the daemon that made it, and the command line a daemon without one."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from bench.harness import wait_until
from tests.api.conftest import ApiDaemon

from penstock.api.methods import PREFIX
from penstock.control import ControlError, call_once

STREAM = f"{PREFIX}/events/stream"


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
    with upgraded.client() as client:
        assert client.get("/api/v1/daemon").json()["pid"] == pid
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not os.path.exists(path), 30, "the socket's file is gone")


def test_the_api_comes_with_the_first_who_asks(upgraded: ApiDaemon) -> None:
    """Until then the supervisor has not loaded it."""
    assert upgraded.process is not None
    maps = Path(f"/proc/{upgraded.process.pid}/maps")
    assert "httptools" not in maps.read_text()
    assert penstock(upgraded, "queue", "operations").stdout == "no operation is in force\n"
    assert "httptools" in maps.read_text()


def test_a_daemon_of_before_is_asked_as_before(upgraded: ApiDaemon) -> None:
    """One without the API, which an upgrade is to replace: over its control socket."""
    (upgraded.home / "spool" / "api.sock").unlink()
    done = penstock(upgraded, "queue", "operations")
    assert (done.stdout, done.stderr) == ("no operation is in force\n", "")
    wrong = penstock(upgraded, "queue", "cancel", "s1")
    assert wrong.stderr == "penstock: no operation 's1': it has ended, or never was\n"


def test_a_stream_ends_with_its_daemon_and_goes_on_with_the_next(upgraded: ApiDaemon) -> None:
    """Nobody waits for it at the end, and its client goes on where it was."""

    def order(reason: str) -> None:
        upgraded.call("queue.retry", selector={"domain": "x.example"}, reason=reason)

    with upgraded.client() as client:
        with client.stream("GET", f"{STREAM}?type=admin") as answer:
            order("before")
            lines = answer.iter_lines()
            identity = next(line for line in lines if line.startswith("id: "))[4:]
            pid = upgraded.call("upgrade")["pid"]
            assert '"before"' in next(lines) + next(lines)
            for _ in lines:
                pass  # it has an end
        assert upgraded.process is not None
        upgraded.process.wait(30)
        order("after")
        headers = {"Last-Event-ID": identity}
        with client.stream("GET", f"{STREAM}?type=admin", headers=headers) as answer:
            data = (line for line in answer.iter_lines() if line.startswith("data: "))
            told = [json.loads(next(data)[6:]) for _ in range(2)]
    assert [one["action"] for one in told] == ["upgrade", "queue.retry"]
    assert told[1]["reason"] == "after"
    assert upgraded.call("status")["pid"] == pid
