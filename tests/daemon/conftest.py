"""A real daemon on free ports with a spool of its own, in sandbox mode."""

from __future__ import annotations

import contextlib
import http.client
import os
import pathlib
import signal
import smtplib
import subprocess
import sys
import time
from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

import msgspec
import pytest
from bench.harness import free_port

from penstock.control import call_once
from penstock.daemon.operations import Operations
from penstock.events.no_journal import NoJournal
from penstock.events.records import Event
from penstock.policy.merge import EMPTY
from penstock.policy.policies import Policies, Provider

ROOT = pathlib.Path(__file__).resolve().parents[2]
START_S = 60.0


class Daemon:
    """``penstock run`` as a child process; ``extra`` is appended to its config."""

    def __init__(self, home: pathlib.Path, extra: str = "", head: str = "") -> None:
        self.home = home
        self.smtp_port, self.http_port = free_port(), free_port()
        self.config = home / "config.toml"
        self.policies = home / "policies"
        self.policies.mkdir(exist_ok=True)
        (self.policies / "default.toml").write_text("[limits]\nconnections = 7\n")
        self.write(extra, head)
        self.process: subprocess.Popen[str] | None = None

    def write(self, extra: str = "", head: str = "") -> None:
        self.config.write_text(
            f"""\
hostname = "mta.example"
spool = "{self.home}/spool"
policies = "{self.policies}"
workers = 2
stop_deadline_s = 5
{head}
[[smtp]]
listen = "127.0.0.1:{self.smtp_port}"
relay_from = ["127.0.0.0/8"]
[http]
listen = "127.0.0.1:{self.http_port}"
{extra}
"""
        )

    @property
    def control(self) -> str:
        return str(self.home / "spool" / "control.sock")

    def start(self) -> Daemon:
        self.log = open(self.home / "log", "a", encoding="utf-8")  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, "-m", "penstock", "run", "--config", str(self.config)],
            stdout=self.log,
            stderr=self.log,
            cwd=ROOT,
            text=True,
        )
        self.until(lambda: self.get("/readyz")[0] == 200, "ready")
        return self

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(30)
        self.log.close()
        return code

    def until(self, holds, what: str, timeout_s: float = START_S) -> None:  # type: ignore[no-untyped-def]
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                if holds():
                    return
            assert self.process is None or self.process.poll() is None, self.text()
            time.sleep(0.05)
        raise AssertionError(f"not {what} in {timeout_s} s:\n{self.text()}")

    def get(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=5)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def metric(self, name: str) -> float:
        total = 0.0
        for line in self.get("/metrics")[1].splitlines():
            if line.startswith((name + " ", name + "{")):
                total += float(line.rpartition(" ")[2])
        return total

    def send(self, *recipients: str, text: str = "Subject: hi\r\n\r\nhello\r\n") -> None:
        with smtplib.SMTP("127.0.0.1", self.smtp_port, timeout=20) as client:
            client.sendmail("app@shop.example", list(recipients), text)

    def call(self, method: str, **params):  # type: ignore[no-untyped-def]
        return call_once(self.control, method, params, 20)

    def text(self) -> str:
        return (self.home / "log").read_text()

    def worker_pids(self) -> list[int]:
        return [worker["pid"] for worker in self.call("status")["workers"]]


@pytest.fixture
def daemon(tmp_path: pathlib.Path) -> Iterator[Daemon]:
    one = Daemon(tmp_path)
    yield one
    if one.process is not None and one.process.poll() is None:
        with contextlib.suppress(Exception):
            for pid in one.worker_pids():
                os.kill(pid, signal.SIGKILL)
        one.process.kill()
        one.process.wait()
        one.log.close()


class FakeWorker:
    """Answers what the test tells it to: ``answers``: method -> result, exception or function of
    the parameters. ``asked``: what came."""

    def __init__(self, number: int = 0) -> None:
        self.number = number
        self.answers: dict[str, Any] = {"queue.rules": {"keys": 1, "messages": 10 * (number + 1)}}
        self.asked: list[tuple[str, Any]] = []

    async def call(self, method: str, params: Any = None, timeout_s: float = 30.0) -> Any:
        self.asked.append((method, params))
        answer = self.answers[method]
        if callable(answer):
            answer = answer(params)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def rules(self) -> list[dict[str, Any]]:
        """The last that it was told."""
        told = [params["rules"] for method, params in self.asked if method == "queue.rules"]
        return told[-1]


class FakeGovernor:
    """``uses``: (key, kind) -> what is known of it."""

    def __init__(self) -> None:
        self.uses: dict[tuple[str, str], list[Any]] = {}

    def handle(self, worker: int, method: str, params: Any) -> Any:
        assert method == "uses"
        assert len(params) <= 256
        return [self.uses.get((key, kind)) for key, kind in params]


class Told(NoJournal):
    """The events that were told, as dictionaries."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def write(self, make: type[Event], **fields: Any) -> str:
        made = make(id="", at="", **fields)
        self.events.append(msgspec.to_builtins(made))
        return ""


class Owner:
    """What the admin methods need of a supervisor: two workers, a spool, policies."""

    def __init__(self, spool: pathlib.Path) -> None:
        self.operations = Operations(str(spool))
        self.events = Told()
        self.children = [FakeWorker(0), FakeWorker(1)]
        self.governor = FakeGovernor()
        gmail = Provider("gmail", ("google.com",), ("gmail.com",), EMPTY)
        self.policies = Policies(providers=MappingProxyType({"gmail": gmail}))


@pytest.fixture
def owner(tmp_path: pathlib.Path) -> Owner:
    return Owner(tmp_path)
