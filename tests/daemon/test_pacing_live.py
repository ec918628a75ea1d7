"""The pace in a running daemon: seen, reloaded, kept over restarts and the death of a worker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

PROVIDER = """
mx = [".google.com"]
domains = ["gmail.com"]
[limits]
adaptive = "{mode}"
adaptive_start = "{start}"
"""
RULES = """
provider = "gmail"
[[rule]]
name = "customer"
category = "spam-content"
match = 'likely unsolicited'
threshold = "2/h"
action = "suspend-tenant"
for = "1h"
matches = ["550 5.7.1 this message is likely unsolicited"]
"""


def policy(daemon, mode: str, start: str = "6/min") -> None:
    (daemon.policies / "providers").mkdir(exist_ok=True)
    path = daemon.policies / "providers" / "gmail.toml"
    path.write_text(PROVIDER.format(mode=mode, start=start))


def send(daemon, count: int, text: str = "Subject: hi\r\n\r\nhello\r\n") -> None:
    """To people whom the fake provider takes: it refuses one in a hundred, by the name."""
    for number in range(count):
        daemon.send(f"n{number}@gmail.com", text=text)


def paced(daemon) -> bool:
    """Whether mail waits for the pace, and the explanation says who found it."""
    try:
        found = daemon.call("explain", target="gmail.com")["explanations"]
    except Exception:
        return False
    binding = [one["binds"] for one in found if one["reason"] == "pace"]
    return any(one and one["scope"] == "pace of gmail" and one["where"] for one in binding)


def rate(daemon) -> float:
    for line in daemon.get("/metrics")[1].splitlines():
        if line.startswith("penstock_pace_rate{"):
            return float(line.rpartition(" ")[2])
    return 0.0


def queued(daemon) -> float:
    return daemon.metric("penstock_queue_entries")


def explained(daemon) -> str:
    command = [sys.executable, "-m", "penstock", "explain", "gmail.com"]
    command += ["--config", str(daemon.config)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return ran.stdout + ran.stderr


def test_off_observe_and_on_by_reload_and_what_is_seen_of_it(daemon) -> None:
    policy(daemon, "on")
    daemon.write(head='delivery = "sandbox"')
    daemon.start()
    send(daemon, 30)
    daemon.until(lambda: paced(daemon), "held by the pace")
    daemon.until(lambda: rate(daemon) == 0.1, "shown as a metric")
    [row] = [one for one in daemon.call("top")["rows"] if one["provider"] == "gmail"]
    assert row["limit_per_s"] == 0.1
    assert row["limit_where"] == "pace: nothing is known yet"
    out = explained(daemon)
    assert "pace of gmail" in out
    assert "nothing is known yet" in out
    assert queued(daemon) > 20

    policy(daemon, "observe")
    daemon.call("reload")
    daemon.until(lambda: queued(daemon) == 0, "let go, since it is only observed", 20)
    assert 0 < rate(daemon) < float("inf")
    assert "mode=observe" in daemon.text().replace('"', "")

    policy(daemon, "off")
    daemon.call("reload")
    daemon.until(lambda: rate(daemon) == float("inf"), "off")
    send(daemon, 10)
    daemon.until(lambda: queued(daemon) == 0, "sent at once", 20)


def test_what_was_learned_outlives_the_daemon_and_a_worker(daemon) -> None:
    policy(daemon, "on")
    daemon.write(head='delivery = "sandbox"')
    daemon.start()
    send(daemon, 12)
    daemon.until(lambda: paced(daemon), "held by the pace")
    assert daemon.stop() == 0
    kept = json.loads((daemon.home / "spool" / "pacing.json").read_text())
    [pair] = kept["pairs"]
    assert (pair["source"], pair["provider"]) == ("default", "gmail")
    assert abs(pair["state"]["rate_per_s"] - 0.1) < 0.02

    policy(daemon, "on", "100/s")  # what is known counts for more than where to begin
    daemon.start()
    assert 0.05 < rate(daemon) < 1
    daemon.until(lambda: paced(daemon), "held by the same pace")
    before = daemon.worker_pids()
    os.kill(before[0], signal.SIGKILL)
    daemon.until(lambda: daemon.worker_pids()[0] not in (0, before[0]), "another worker")
    daemon.until(lambda: daemon.get("/readyz")[0] == 200, "ready again")
    send(daemon, 6)
    daemon.until(lambda: paced(daemon), "held by the same pace")
    assert queued(daemon) > 6


def test_a_reply_rule_suspends_a_tenant_and_an_operator_ends_it(daemon) -> None:
    policy(daemon, "on", "100/s")
    (daemon.policies / "replies").mkdir()
    (daemon.policies / "replies" / "gmail.toml").write_text(RULES)
    daemon.write(head='delivery = "sandbox"')
    daemon.start()
    text = "X-Penstock-Tenant: shop\r\nSubject: hi\r\n\r\nhello\r\n"
    daemon.send("spam1@gmail.com", "spam2@gmail.com", text=text)
    daemon.send("spam3@gmail.com", text=text)
    daemon.until(lambda: daemon.call("queue.operations")["operations"], "an operation")
    [order] = daemon.call("queue.operations")["operations"]
    assert order["verb"] == "suspend"
    assert order["selector"] == {"tenant": "shop", "provider": "gmail"}
    assert order["who"].endswith("policies/replies/gmail.toml:3")
    assert "gmail/customer" in order["reason"]

    daemon.send("ann@gmail.com", text=text)
    daemon.send("bob@gmail.com")  # of no tenant: not meant
    daemon.until(lambda: queued(daemon) == 1, "only the shop's is held")
    daemon.call("queue.cancel", id=order["id"], who="ann")
    daemon.until(lambda: queued(daemon) == 0, "let go")
