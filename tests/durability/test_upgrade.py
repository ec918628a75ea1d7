"""A daemon that is replaced while it works: nobody is refused, nothing is lost, the code is new.

The daemon runs from a copy of the code, which changes before the upgrade as a new release would.
"""

import collections
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest
from bench.daemon import python
from bench.harness import ROOT, wait_until
from bench.usage import alive, identify

from penstock.control import ControlError

NEW_VERSION = "9.8.7"
GREETING_MAX_S = 15.0


class Knocker:
    """Connects again and again, and notes what it hears first and how long that took."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.heard: collections.Counter[str] = collections.Counter()
        self.longest_s = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc):
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.is_set():
            began = time.monotonic()
            self.heard[self._knock()] += 1
            self.longest_s = max(self.longest_s, time.monotonic() - began)
            self._over.wait(0.01)

    def _knock(self) -> str:
        try:
            with socket.create_connection(("127.0.0.1", self._port), 60) as connection:
                line = connection.recv(512)
                connection.sendall(b"QUIT\r\n")
                return line[:3].decode() or "closed"
        except OSError as error:
            return type(error).__name__


@pytest.fixture
def code(site, monkeypatch):
    """A copy of the engine that the daemon runs from."""
    copy = site.directory / "code"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "engine/penstock", copy / "penstock", ignore=ignore)
    rest = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", f"{copy}:{rest}" if rest else str(copy))
    return copy / "penstock"


def release(code: pathlib.Path) -> None:
    (code / "__init__.py").write_text(f'"""Penstock."""\n\n__version__ = "{NEW_VERSION}"\n')


def upgraded(daemon) -> int:
    """By the command; the pid of the new daemon."""
    command = [python(), "-m", "penstock", "upgrade", "--config", str(daemon.config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT)
    found = re.fullmatch(rf"upgraded: \S+ -> {NEW_VERSION}, pid (\d+)\n", done.stdout)
    assert found, done
    return int(found[1])


def gone(pid: int) -> bool:
    return not alive(identify([pid]))


@pytest.fixture
def follow(site):
    """Ends a daemon that the harness did not start itself."""
    pids = []
    yield pids.append
    for pid in pids:
        if not gone(pid):
            os.kill(pid, signal.SIGTERM)
            wait_until(lambda pid=pid: gone(pid), 30, "the new daemon has stopped")


@pytest.fixture
def systemd(site, monkeypatch):
    """Stands in for systemd: what was told to it, in order."""
    path = str(site.directory / "notify")
    told: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(path)
        monkeypatch.setenv("NOTIFY_SOCKET", path)

        def listen() -> None:
            while text := heard.recv(4096).decode():
                told.append(text)

        listener = threading.Thread(target=listen)
        listener.start()
        yield lambda: [text for text in told if text != "WATCHDOG=1"]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", path)
        listener.join()


@pytest.mark.slow
def test_an_upgrade_under_load_refuses_nobody_and_loses_nothing(site, code, follow, systemd, say):
    site.open_sink()
    daemon = site.daemon(workers=2)
    daemon.start()
    load = site.load(daemon)
    wait_until(lambda: len(load.acknowledged()) > 300, 30, "mail flows")
    before = daemon.control("status")
    assert systemd() == ["READY=1"]
    release(code)
    began = time.monotonic()
    with Knocker(daemon.port) as knocker:
        pid = upgraded(daemon)
        took_s = time.monotonic() - began
        follow(pid)
        wait_until(lambda: gone(before["pid"]), 20, "the old daemon is gone")
        daemon.adopt(pid)
        wait_until(daemon.ready, 20, "the new one is ready")
        goal = len(load.acknowledged()) + 300
        wait_until(lambda: len(load.acknowledged()) > goal, 30, "mail flows on")
    assert systemd() == ["READY=1", f"MAINPID={pid}", "READY=1"]
    after = daemon.control("status")
    load.stop()
    daemon.drain(60)
    balance = site.balance()
    say(
        f"upgraded in {took_s:.1f} s; of {knocker.heard.total()} new connections {knocker.heard}, "
        f"the longest greeted after {knocker.longest_s:.2f} s; {balance.acknowledged} "
        f"acknowledged, {len(balance.lost)} lost, {balance.doubled} doubled"
    )
    assert set(knocker.heard) <= {"220", "421"}
    assert knocker.heard["220"] > 10
    assert knocker.longest_s <= GREETING_MAX_S
    assert (after["version"], after["pid"]) == (NEW_VERSION, pid)
    assert not {one["pid"] for one in before["workers"]} & {one["pid"] for one in after["workers"]}
    assert balance.lost == []
    assert balance.doubled == 0


@pytest.mark.slow
def test_a_new_daemon_that_cannot_run_leaves_the_old_one_serving(site, code, say):
    site.open_sink()
    daemon = site.daemon(workers=2)
    daemon.start()
    load = site.load(daemon)
    before = daemon.control("status")
    config = daemon.config.read_text()

    daemon.config.write_text(config + "\n[nonsense]\n")
    with pytest.raises(ControlError, match="nonsense"):
        daemon.control("upgrade")
    daemon.config.write_text(config)
    (code / "daemon/supervisor.py").write_text("raise RuntimeError('a bad release')\n")
    with pytest.raises(ControlError, match="ended before"):
        daemon.control("upgrade")
    shutil.copy(ROOT / "engine/penstock/daemon/supervisor.py", code / "daemon/supervisor.py")
    assert [one["pid"] for one in daemon.control("status")["workers"]] == [
        one["pid"] for one in before["workers"]
    ], "no worker was touched"

    # its workers never serve: what was handed over already comes back
    engine = code / "worker/engine.py"
    text = engine.read_text()
    engine.write_text(text.replace("async def start(self) -> None:", FAILING_START))
    with pytest.raises(ControlError, match="nothing was changed"):
        daemon.control("upgrade")
    engine.write_text(text)
    wait_until(daemon.ready, 30, "the old one is ready again")
    assert daemon.control("status")["pid"] == before["pid"]
    goal = len(load.acknowledged()) + 300
    wait_until(lambda: len(load.acknowledged()) > goal, 30, "mail flows on")
    load.stop()
    daemon.drain(60)
    assert daemon.stop() == 0
    balance = site.balance()
    say(f"three upgrades that failed: {balance.acknowledged} acknowledged, {balance.lost} lost")
    assert balance.lost == []
    assert balance.doubled == 0


FAILING_START = """async def start(self) -> None:
        raise RuntimeError("a bad release")

    async def start_never(self) -> None:"""


@pytest.mark.slow
@pytest.mark.parametrize("who", ["old", "new"])
def test_either_daemon_may_be_killed_in_between(site, code, follow, say, who):
    """The old one: the new one takes over what it leaves. The new one: the old one goes on."""
    site.open_sink()
    daemon = site.daemon(workers=2)
    daemon.start()
    load = site.load(daemon)
    wait_until(lambda: len(load.acknowledged()) > 300, 30, "mail flows")
    old = daemon.program.pid
    os.kill(old, signal.SIGUSR2)
    wait_until(lambda: "waiting for a shard" in daemon.log_text(), 30, "the new workers wait")
    new = next(pid for pid in daemon.pids if pid != old and is_supervisor(pid))
    follow(new)
    os.kill(old if who == "old" else new, signal.SIGKILL)
    left = new if who == "old" else old
    daemon.adopt(left)
    wait_until(lambda: serves(daemon, left), 40, "the other serves")
    goal = len(load.acknowledged()) + 300
    wait_until(lambda: len(load.acknowledged()) > goal, 30, "mail flows on")
    load.stop()
    daemon.drain(60)
    balance, doubles = site.balance(), site.doubles(daemon)
    say(f"{who} killed: {balance.acknowledged} acknowledged, {balance.doubled} doubled")
    assert balance.lost == []
    assert doubles.unexplained == []


def is_supervisor(pid: int) -> bool:
    words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return b"run" in words


def serves(daemon, pid: int) -> bool:
    try:
        status = daemon.control("status")
    except (OSError, ControlError):
        return False
    return status["pid"] == pid and status["ready"]
