"""Sources, orders and reloads of a real daemon: real sockets, real processes, real signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from bench.harness import free_port

from penstock.control import ControlError

SOURCES = """\
[source.s1]
ipv4 = "127.0.0.2"
ehlo = "one.example"
[source.s2]
ipv4 = "127.0.0.3"
ehlo = "two.example"
[pool.default]
sources = { s1 = %d, s2 = %d }
"""
FAST = '[limits]\nmessage_rate = "unlimited"\nconnection_rate = "unlimited"\n'


class Sink:
    """Takes all mail and notes who brought it, by address and by EHLO."""

    def __init__(self) -> None:
        self.came: list[tuple[str, str, str]] = []
        self.port = free_port()
        self.controller = Controller(self, hostname="127.0.0.1", port=self.port)
        self.controller.start()

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        for one in envelope.rcpt_tos:
            self.came.append((session.peer[0], session.host_name, one))
        return "250 2.0.0 OK"

    def senders(self) -> Counter[tuple[str, str]]:
        return Counter((address, name) for address, name, _ in self.came)


@pytest.fixture
def sink() -> Iterator[Sink]:
    one = Sink()
    yield one
    one.controller.stop()


@pytest.fixture
def live(daemon, sink):  # type: ignore[no-untyped-def]
    """A daemon that delivers to the sink, not started."""
    route = f'[[route]]\ndomains = ["*"]\nnext_hop = "127.0.0.1:{sink.port}"\n'
    daemon.write(route, 'delivery = "live"')
    (daemon.policies / "default.toml").write_text(FAST)
    return daemon


def _many(daemon, count: int, name: str = "u") -> None:  # type: ignore[no-untyped-def]
    for n in range(count):
        daemon.send(f"{name}{n}@d{n % 7}.example")


def test_two_sources_share_by_weight_each_by_its_address_and_name(live, sink) -> None:
    (live.policies / "sources.toml").write_text(SOURCES % (3, 1))
    live.start()
    _many(live, 120)
    live.until(lambda: len(sink.came) == 120, "all delivered", 60)
    found = sink.senders()
    assert set(found) == {("127.0.0.2", "one.example"), ("127.0.0.3", "two.example")}
    assert found["127.0.0.2", "one.example"] == pytest.approx(90, abs=8)
    log = live.text()
    assert "source=s1" in log
    assert "source=s2" in log
    assert live.stop() == 0


def test_queued_mail_follows_a_reload_and_an_error_changes_nothing(live, sink) -> None:
    (live.policies / "sources.toml").write_text(SOURCES % (1, 1))
    (live.policies / "tenants.toml").write_text('[class.triggered]\npool = "default"\n')
    live.start()
    live.call("queue.suspend", selector={"pool": "default"})
    _many(live, 40)
    (live.policies / "sources.toml").write_text(
        SOURCES % (1, 1) + '[pool.only]\nsources = ["s2"]\n'
    )
    (live.policies / "tenants.toml").write_text('[class.triggered]\npool = "onyl"\n')
    with pytest.raises(ControlError, match=r'tenants.toml:2: .*did you mean "only"'):
        live.call("reload")
    assert live.call("queue.list", selector={}, limit=10)["rows"][0]["pool"] == "default"
    (live.policies / "tenants.toml").write_text('[class.triggered]\npool = "only"\n')
    changes = live.call("reload")["changes"]
    assert any("pool only" in one for one in changes), changes
    assert any("triggered" in one and "only" in one for one in changes), changes
    live.until(lambda: len(sink.came) == 40, "all delivered", 60)
    assert set(sink.senders()) == {("127.0.0.3", "two.example")}
    assert live.stop() == 0


def test_a_source_whose_address_is_elsewhere_is_an_error_at_check_and_out_when_running(
    live, sink
) -> None:
    (live.policies / "sources.toml").write_text(
        (SOURCES % (1, 1)).replace("127.0.0.3", "192.0.2.1")
    )
    command = [sys.executable, "-m", "penstock", "check", "--config", str(live.config)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode != 0
    assert 'sources.toml:5: source "s2": 192.0.2.1 is not an address of this' in checked.stdout
    live.start()
    _many(live, 20)
    live.until(lambda: len(sink.came) == 20, "all delivered", 60)
    assert set(sink.senders()) == {("127.0.0.2", "one.example")}
    up = [line for line in live.get("/metrics")[1].splitlines() if "penstock_source_up" in line]
    assert 'penstock_source_up{source="s2"} 0.0' in up
    assert live.stop() == 0


@pytest.mark.parametrize("victim", ["worker", "supervisor"])
def test_orders_survive_kill_9(victim, live, sink) -> None:
    live.start()
    for tenant_domain in ("held.example", "gone.example", "moved.example"):
        live.call("queue.suspend", selector={"domain": tenant_domain})
        live.send(f"ann@{tenant_domain}")
    live.call("queue.bounce", selector={"domain": "lasting.example"}, duration_s=3600)
    rules = [one["id"] for one in live.call("queue.operations")["operations"]]
    if victim == "worker":
        pids = live.worker_pids()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        live.until(
            lambda: set(live.worker_pids()).isdisjoint([*pids, 0, None]), "other workers", 60
        )
    else:
        live.process.send_signal(signal.SIGKILL)
        live.process.wait(30)
        live.log.close()
        live.start()
    live.until(lambda: live.get("/readyz")[0] == 200, "ready", 60)
    assert [one["id"] for one in live.call("queue.operations")["operations"]] == rules
    live.send("ann@lasting.example")
    live.send("bob@held.example")
    live.send("free@other.example")
    live.until(lambda: any(one == "free@other.example" for _, _, one in sink.came), "flows", 30)
    live.until(lambda: "recipient=ann@lasting.example" in live.text(), "bounced", 30)
    live.call("queue.resume", selector={"domain": "held.example"})
    live.until(lambda: sum("held" in one for _, _, one in sink.came) == 2, "resumed", 30)
    found = {one for _, _, one in sink.came if not one.startswith("app@")}
    assert found == {"ann@held.example", "bob@held.example", "free@other.example"}
    assert live.stop() == 0


def test_a_bounce_goes_on_after_kill_9_and_ends_by_itself(live, sink) -> None:
    live.start()
    live.call("queue.suspend", selector={"tenant": ""} | {"domain": "a.example"})
    for n in range(300):
        live.send(f"u{n}@a.example")
    live.call("queue.bounce", selector={"domain": "a.example"})
    live.process.send_signal(signal.SIGKILL)
    live.process.wait(30)
    live.log.close()
    live.start()
    live.until(lambda: live.metric("penstock_queue_entries") == 0, "all bounced", 60)
    live.until(
        lambda: [one["verb"] for one in live.call("queue.operations")["operations"]] == ["suspend"],
        "the bounce ended",
        30,
    )
    live.call("queue.resume", selector={"domain": "a.example"})
    live.send("late@a.example")
    live.until(lambda: [one for _, _, one in sink.came] == ["late@a.example"], "goes", 30)
    assert live.stop() == 0
