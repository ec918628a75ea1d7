"""The collector as a process of a real daemon: read, asked, killed, upgraded, switched off."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import Any

import pytest

from penstock.control import ControlError
from penstock.events import records

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
    return {"delivered": -1}


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
    write("50", *[delivered()] * 10)
    daemon.until(lambda: total(daemon)["delivered"] >= 45, "counted again")
    assert total(daemon)["delivered"] == 45
    assert collector(daemon)["pid"] != before
    rows = daemon.call("stats", by="tenant")["rows"]
    assert [(row["tenant"], row["delivered"]) for row in rows] == [("shop", 40), ("other", 5)]
    assert {one["name"]: one["failures"] for one in collector(daemon)["consumers"]} == {
        "reports": 0,
        "statistics": 0,
    }
    daemon.until(lambda: daemon.metric("penstock_collector_up") == 1, "up in the metrics")
    assert daemon.metric("penstock_consumer_events_total") > 0
    assert daemon.stop() == 0


def test_an_upgrade_hands_the_logs_to_the_next_collector(daemon, write) -> None:
    daemon.start()
    daemon.until(lambda: collector(daemon)["ready"], "collecting")
    write("50", *[delivered()] * 20)
    before = collector(daemon)["pid"]
    new = daemon.call("upgrade")["pid"]
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
