"""Warming up in a real daemon: two workers, one plan, crashes, and the commands of operators."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from typing import Any

import pytest

from penstock.control import ControlError, call_once

POLICIES = {
    "default.toml": '[limits]\nmessage_rate = "unlimited"\nconnection_rate = "unlimited"\n',
    "providers/gmail.toml": 'mx = [".google.com"]\ndomains = ["gmail.com"]\n',
    "providers/yahoo.toml": 'mx = [".yahoodns.net"]\ndomains = ["yahoo.com"]\n',
    "sources.toml": """\
[source.cold]
ipv4 = "127.0.0.2"
warmup = "all-day"
[source.warm]
ipv4 = "127.0.0.3"
[pool.default]
sources = { cold = 1, warm = 1 }
[pool.alone]
sources = ["cold"]
""",
    "warmup/all-day.toml": """\
messages = [10, 1000]
hours = "daily HOURS UTC"
hour_max = 1
transactional = 0
""",
    "tenants.toml": '[tenant.patient]\npool = "alone"\n',
}


@pytest.fixture
def warming(daemon):  # type: ignore[no-untyped-def]
    for name, text in POLICIES.items():
        path = daemon.policies / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text.replace("HOURS", _this_hour()))
    # the same few addresses again and again, and some of them bounce: nobody is to suppress them
    daemon.write("[events]\nenabled = false\n", 'delivery = "sandbox"')
    return daemon


def _this_hour() -> str:
    """A day of one hour, in the middle of which we are: all of it may go now."""
    return "-".join(
        time.strftime("%H:%M", time.gmtime(time.time() + minutes * 60)) for minutes in (-30, 30)
    )


def _sources(daemon) -> Counter[str]:  # type: ignore[no-untyped-def]
    """What Gmail was offered, by source, from the attempt log."""
    lines = [one for one in daemon.text().splitlines() if "recipient=u" in one]
    return Counter(found[1] for line in lines if (found := re.search(r"source=(\w+)", line)))


def _row(daemon, provider: str = "gmail") -> dict[str, Any]:  # type: ignore[no-untyped-def]
    rows = daemon.call("warmup.show", source="cold", provider=provider)["rows"]
    return rows[0] if rows else {}


def _cli(daemon, *words: str) -> str:  # type: ignore[no-untyped-def]
    command = [sys.executable, "-m", "penstock", "warmup", *words, "--config", str(daemon.config)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _many(daemon, count: int) -> None:  # type: ignore[no-untyped-def]
    for n in range(count):
        daemon.send(f"u{n}@gmail.com")


def test_never_more_than_the_plan_whoever_dies_and_the_rest_by_the_warm_source(warming) -> None:
    warming.start()
    _many(warming, 30)
    warming.until(lambda: sum(_sources(warming).values()) == 30, "all delivered", 60)
    for pid in warming.worker_pids():
        os.kill(pid, signal.SIGKILL)
    warming.until(lambda: warming.get("/readyz")[0] == 200, "back", 60)
    _many(warming, 30)
    warming.until(lambda: sum(_sources(warming).values()) >= 60, "all delivered", 60)
    assert warming.process is not None
    warming.process.kill()
    warming.process.wait()
    warming.log.close()
    warming.start()
    _many(warming, 30)
    warming.until(lambda: sum(_sources(warming).values()) >= 90, "all delivered", 60)
    found = _sources(warming)
    assert found["cold"] <= 10
    assert found["cold"] + found["warm"] == sum(found.values())
    row = _row(warming)
    assert (row["day"], row["days"], row["messages"]) == (1, 2, 10)
    assert row["sent"] <= 10
    shown = [one for one in warming.get("/metrics")[1].splitlines() if "warmup_stage{" in one]
    assert any('"cold"' in one and '"gmail"' in one and one.endswith(" 1.0") for one in shown)
    assert warming.stop() == 0


def test_where_there_is_no_warm_source_it_waits_and_says_so_until_an_operator_sets_it(
    warming,
) -> None:
    sources = POLICIES["sources.toml"].replace(", warm = 1", "")
    (warming.policies / "sources.toml").write_text(sources)
    plan = warming.policies / "warmup/all-day.toml"
    plan.write_text(plan.read_text().replace("[10, 1000]", "[1, 1000]"))
    warming.start()
    _many(warming, 4)
    warming.until(lambda: sum(_sources(warming).values()) == 1, "one delivered", 60)

    def waits() -> bool:
        rows = warming.call("queue.list", selector={}, limit=10)["rows"]
        return len(rows) == 3 and all(row["reason"] == "warm-up" for row in rows)

    warming.until(waits, "waiting for the warm-up")
    answer = warming.call("explain", target="gmail.com")["explanations"][0]
    assert answer["reason"] == "warm-up"
    assert "warm-up day 1 of 2: 1 of 1 used, next at 20" in answer["reason_text"]
    assert answer["binds"]["where"].endswith("warmup/all-day.toml:1")
    assert answer["next_attempt"] > 0
    shown = _cli(warming, "show", "cold")
    assert re.search(r"cold → gmail: ░+ day 1 of 2, 1 of 1 used today", shown)
    assert "warm on 20" in shown
    assert json.loads(_cli(warming, "show", "cold", "--json"))["rows"][0]["plan"] == "all-day"
    assert "day 2 of 2" in _cli(warming, "set", "cold", "--day", "2", "-p", "gmail")
    warming.until(lambda: sum(_sources(warming).values()) == 4, "all delivered", 60)
    assert warming.stop() == 0


def test_orders_are_kept_and_names_are_checked(warming) -> None:
    warming.start()
    with pytest.raises(ControlError, match="source warm has no plan"):
        warming.call("warmup.hold", source="warm")
    with pytest.raises(ControlError, match='did you mean "gmail"'):
        warming.call("warmup.hold", source="cold", provider="gmial")
    with pytest.raises(ControlError, match="has 2 days"):
        warming.call("warmup.set", source="cold", provider="gmail", day=3)
    assert "held: postmaster asked" in _cli(
        warming, "hold", "cold", "-p", "gmail", "--reason", "postmaster asked"
    )
    warming.call("warmup.set", source="cold", provider="yahoo", warm=True)
    assert warming.stop() == 0
    warming.start()
    assert _row(warming)["held"] == "postmaster asked"
    assert _row(warming, "yahoo")["warm"] is True
    assert "held" not in _cli(warming, "resume", "cold", "-p", "gmail")
    _cli(warming, "start", "cold")
    assert _row(warming, "yahoo")["warm"] is False
    assert warming.stop() == 0


def test_an_upgrade_takes_along_what_has_gone(warming) -> None:
    warming.start()
    _many(warming, 40)
    warming.until(lambda: sum(_sources(warming).values()) >= 40, "all delivered", 60)
    assert _sources(warming)["cold"] == 10
    new = call_once(warming.control, "upgrade", {}, 120)["pid"]
    try:
        assert warming.process.wait(20) == 0
        warming.process = None
        warming.log.close()
        warming.until(lambda: warming.get("/readyz")[0] == 200, "ready")
        assert _row(warming)["sent"] == 10
        _many(warming, 40)
        warming.until(lambda: sum(_sources(warming).values()) >= 80, "all delivered", 60)
        assert _sources(warming)["cold"] == 10
    finally:
        os.kill(new, signal.SIGTERM)
        warming.until(lambda: not os.path.exists(warming.control), "stopped", 30)
