"""The collector as a process of a real daemon: read, asked, killed, upgraded, switched off."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import time
from typing import Any

import msgspec
import pytest
from bench.harness import free_port

from penstock.collector.counts import COLUMNS
from penstock.control import ControlError, call_once
from penstock.events import records
from penstock.events.reading import LogReader
from penstock.feedback.report import Finding, Original, Report, as_fields
from penstock.mail.envelope import id_text
from penstock.mail.verdict import Category, Fault
from penstock.mail.verp import make_token
from penstock.mail.verp_keys import first_key, keys_text
from penstock.suppression.store import Store, Suppressions

pytestmark = pytest.mark.slow


def delivered(**fields: Any) -> tuple[type[records.Event], dict[str, Any]]:
    return records.Delivered, {
        "message": "m",
        "recipient": "a@gmail.test",
        "tenant": "shop",
        "campaign": "spring",
        "class_": "bulk",
        "provider": "gmail",
        "phase": "final",
        **fields,
    }


def total(daemon: Any, **asked: Any) -> dict[str, Any]:
    with contextlib.suppress(ControlError):
        found: dict[str, Any] = daemon.call("stats", **asked)["total"]
        return found
    return dict.fromkeys(COLUMNS, -1)


def collector(daemon: Any) -> dict[str, Any]:
    found: dict[str, Any] = daemon.call("status")["collector"]
    return found


def test_events_are_counted_and_a_killed_collector_counts_each_once(daemon, write) -> None:
    daemon.start()
    daemon.until(lambda: collector(daemon)["ready"], "collecting")
    write("50", *[delivered()] * 30)
    write("57", *[delivered(tenant="other")] * 5)  # a log that appears while it runs
    daemon.until(lambda: total(daemon)["delivered"] == 35, "counted")
    before = collector(daemon)["pid"]
    os.kill(before, signal.SIGKILL)
    daemon.until(lambda: not collector(daemon)["ready"], "gone")
    assert daemon.get("/readyz")[0] == 200, "the daemon is ready without it"
    assert daemon.call("stats")["total"]["delivered"] == 35, "who asks meanwhile waits for it"
    write("50", *[delivered()] * 10)
    daemon.until(lambda: total(daemon)["delivered"] >= 45, "counted again")
    assert total(daemon)["delivered"] == 45
    assert collector(daemon)["pid"] != before
    rows = daemon.call("stats", by="tenant")["rows"]
    assert [(row["tenant"], row["delivered"]) for row in rows] == [("shop", 40), ("other", 5)]
    assert {one["name"]: one["failures"] for one in collector(daemon)["consumers"]} == {
        "reports": 0,
        "statistics": 0,
        "suppression": 0,
    }
    assert daemon.call("webhooks.list") == {"endpoints": []}
    with pytest.raises(ControlError, match="no \\[\\[webhook"):
        daemon.call("webhooks.test", name="shop")
    daemon.until(lambda: daemon.metric("penstock_collector_up") == 1, "up in the metrics")
    assert daemon.metric("penstock_consumer_events_total") > 0
    assert daemon.stop() == 0


def test_an_upgrade_hands_the_logs_to_the_next_collector(daemon, write) -> None:
    daemon.start()
    daemon.until(lambda: collector(daemon)["ready"], "collecting")
    write("50", *[delivered()] * 20)
    before = collector(daemon)["pid"]
    new = call_once(daemon.control, "upgrade", {}, 120)["pid"]
    try:
        assert daemon.process.wait(20) == 0
        daemon.process = None
        write("50", *[delivered()] * 20)
        daemon.until(lambda: total(daemon)["delivered"] == 40, "counted by the next one")
        assert collector(daemon)["pid"] not in (0, before)
    finally:
        os.kill(new, signal.SIGTERM)
        daemon.until(lambda: not os.path.exists(daemon.control), "stopped", 30)
        daemon.log.close()


def test_off_is_off(daemon) -> None:
    daemon.write(extra="[events]\nenabled = false\n")
    daemon.start()
    assert collector(daemon) == {"enabled": False, "ready": False}
    with pytest.raises(ControlError, match=r"events\.enabled"):
        daemon.call("stats")
    assert daemon.stop() == 0


GUARD = """
[guard.dead]
metric = "hard-bounces"
above = "3%"
sample_min = 50
per = "campaign"
action = "pause"
for = "2h"
"""


def test_a_guard_suspends_the_campaign_and_explain_says_so(daemon, write) -> None:
    (daemon.policies / "guards.toml").write_text(GUARD.replace('"pause"\nfor = "2h"', '"tell"'))
    daemon.start()
    daemon.until(lambda: collector(daemon)["ready"], "collecting")
    (daemon.policies / "guards.toml").write_text(GUARD)
    assert any("guard dead: action: tell -> pause" in c for c in daemon.call("reload")["changes"])
    dead = (
        records.Bounced,
        {**delivered()[1], "phase": "rcpt", "suppress": True, "category": "bad-mailbox"},
    )
    write("50", *[delivered()] * 90, *[dead] * 10)
    daemon.until(lambda: daemon.call("queue.operations")["operations"], "suspended")
    (operation,) = daemon.call("queue.operations")["operations"]
    assert operation["verb"] == "suspend"
    assert operation["selector"] == {"tenant": "shop", "campaign": "spring"}
    assert operation["who"] == "guard dead"
    assert "hard-bounces 10% of 100 delivered or bounced in 1h, above 3%" in operation["reason"]
    assert "guards.toml:4" in operation["reason"]
    assert 7000 < operation["until"] - operation["since"] <= 7200
    mail = "X-Penstock-Tenant: shop\r\nX-Penstock-Campaign: spring\r\nSubject: hi\r\n\r\nhello\r\n"
    daemon.send("ann@gmail.com", text=mail)
    (one,) = daemon.call("explain", target="ann@gmail.com")["explanations"]
    assert one["reason"] == "suspended"
    assert [rule["who"] for rule in one["rules"]] == ["guard dead"]
    assert [(trip["guard"], trip["action"]) for trip in one["guards"]] == [("dead", "pause")]
    daemon.call("queue.cancel", id=operation["id"])  # the operator has the last word
    os.kill(collector(daemon)["pid"], signal.SIGKILL)
    write("50", *[dead] * 50)
    daemon.until(lambda: total(daemon)["bounced"] == 60, "counted")
    assert daemon.call("queue.operations")["operations"] == []
    told = [one for one in own_log(daemon) if one["type"] == "policy"]
    assert [(one["rule"], one["action"], one["tenant"]) for one in told] == [
        ("guard dead", "pause", "shop")
    ]
    assert daemon.stop() == 0


def own_log(daemon: Any) -> list[dict[str, Any]]:
    """The events that the collector has written."""
    reader = LogReader(str(daemon.home / "spool" / "events" / "collector"))
    position, found = reader.start(), []
    while True:
        lines, position = reader.read(position, 1 << 20)
        if not lines:
            reader.close()
            return found
        found += [msgspec.json.decode(line) for line in lines]


def test_a_report_becomes_a_late_bounce_that_is_counted(daemon, write) -> None:
    daemon.start()
    message = id_text((50 << 48) + 1)
    accepted = {
        "message": message,
        "sender": "s@shop.test",
        "recipients": ("ann@gmail.test", "bob@gmail.test"),
        "size": 9,
        "tenant": "shop",
        "class_": "bulk",
    }
    dead = Finding(
        *("BOB@gmail.test", "5.1.1", "550", "550 no such user", "failed"),
        *(Category.BAD_MAILBOX, Fault.RECIPIENT, True),
    )
    report = Report("bounce", (dead,), Original(reference=message), "mailer@mx.test")
    write("50", (records.Accepted, accepted))
    write("51", (records.Reported, {"role": "bounce", "found": as_fields(report), "id": "r7"}))
    daemon.until(lambda: total(daemon)["bounced"] == 1, "resolved and counted")
    assert total(daemon, tenant="shop", **{"class": "bulk"})["late_bounced"] == 1
    (told,) = own_log(daemon)
    assert (told["id"], told["type"], told["report"]) == ("r7-0", "bounced", "r7")
    assert (told["recipient"], told["late"], told["suppress"]) == ("bob@gmail.test", True, True)
    assert daemon.metric("penstock_reports_resolved_total") == 1
    assert daemon.stop() == 0


def test_a_click_unsubscribes_and_a_token_brings_a_bounce_home(daemon, write) -> None:
    keys = first_key(b"k" * 32, "2026-01-01")
    path = daemon.home / "feedback.keys"
    path.write_text(keys_text(keys))
    path.chmod(0o600)
    port = free_port()
    page = f'[unsubscribe]\nlisten = "127.0.0.1:{port}"\n'
    daemon.write(extra=f'[feedback]\nkeys = "{path}"\n{page}')
    daemon.start()
    daemon.until(lambda: collector(daemon)["ready"], "collecting")
    ref = (50 << 48) + 7
    accepted = {
        "message": id_text(ref),
        "sender": "s@shop.test",
        "recipients": ("ann@gmail.test", "bob@gmail.test"),
        "size": 9,
        "tenant": "shop",
        "class_": "bulk",
    }
    write("50", (records.Accepted, accepted))
    token = make_token(keys, "u", ref + 1, True, time.time())
    assert post(port, f"/u/{token}") == 200
    daemon.until(lambda: total(daemon)["unsubscribes"] == 1, "counted")
    assert post(port, f"/u/{token[:-1]}{'0' if token[-1] != '0' else '1'}") >= 400
    bounce = make_token(keys, "b", ref, True, time.time())
    dead = Finding(
        *("", "5.1.1", "550", "550 no such user", "failed"),
        *(Category.BAD_MAILBOX, Fault.RECIPIENT, True),
    )
    found = as_fields(Report("bounce", (dead,), Original(), "mailer@mx.test"))
    write("51", (records.Reported, {"role": "bounce", "token": bounce, "found": found}))
    daemon.until(lambda: total(daemon)["hard_bounced"] == 1, "resolved")
    directory = str(daemon.home / "spool" / "suppression")
    suppressed = Suppressions(Store(directory, readonly=True))

    def reason(address: str) -> str:
        entry = suppressed.find(address, "shop", "bulk", time.time())
        return entry.reason if entry is not None else ""

    daemon.until(lambda: reason("ann@gmail.test") and reason("bob@gmail.test"), "suppressed")
    assert reason("ann@gmail.test").startswith("bounce")
    assert reason("bob@gmail.test") == "unsubscribe"
    told = {one["type"]: one["recipient"] for one in own_log(daemon)}
    assert told == {"unsubscribed": "bob@gmail.test", "bounced": "ann@gmail.test"}
    assert daemon.stop() == 0


def post(port: int, path: str) -> int:
    """The status of a one-click request (RFC 8058)."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST", path, "List-Unsubscribe=One-Click", kind)
    try:
        return connection.getresponse().status
    finally:
        connection.close()
