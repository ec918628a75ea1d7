"""The daemon as its users meet it: real processes, real sockets, real files."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import smtplib
import subprocess
import sys
import time

import pytest

from penstock.control import ControlError


def test_mail_goes_through_and_is_counted(daemon) -> None:
    daemon.start()
    daemon.send("ann@gmail.com", "unknown-bob@gmail.com")
    daemon.until(lambda: daemon.metric("penstock_delivered_total") >= 1, "delivered", 30)
    assert daemon.metric("penstock_messages_accepted_total") == 1
    assert daemon.metric("penstock_recipients_accepted_total") == 2
    status = daemon.call("status")
    assert status["ready"]
    assert [worker["number"] for worker in status["workers"]] == [0, 1]
    assert daemon.stop() == 0
    log = daemon.text()
    assert "event=attempt" in log
    assert "Traceback" not in log
    assert "stopped" in log


def test_suspended_mail_waits_survives_a_restart_and_goes_when_resumed(daemon) -> None:
    daemon.start()
    daemon.call("queue.suspend", selector={"domain": "gmail.com"}, who="test")
    daemon.send("ann@gmail.com")
    listed = daemon.call("queue.list", selector={}, limit=10)
    assert [row["state"] for row in listed["rows"]] == ["suspended"]
    shown = daemon.call("queue.show", id=listed["rows"][0]["id"])
    assert shown["message"]["sender"] == "app@shop.example"
    assert daemon.stop() == 0
    daemon.start()
    assert daemon.call("queue.list", selector={}, limit=10)["total"] == 1
    daemon.call("queue.resume", selector={"domain": "gmail.com"})
    daemon.until(lambda: daemon.metric("penstock_delivered_total") == 1, "delivered", 30)
    assert daemon.stop() == 0


def test_mail_for_later_waits_through_a_restart_and_goes_when_its_time_has_come(daemon) -> None:
    daemon.start()
    at = time.time() + 8
    fields = (
        f"X-Penstock-Class: bulk\r\nX-Penstock-Pool: default\r\nX-Penstock-Deliver-At: {at:.3f}\r\n"
    )
    daemon.send("ann@gmail.com", text=f"{fields}Subject: hi\r\n\r\nhello\r\n")
    with pytest.raises(smtplib.SMTPDataError, match=r"Pool: .* is no pool; did you mean default"):
        daemon.send("ann@gmail.com", text="X-Penstock-Pool: defualt\r\n\r\nhello\r\n")
    [row] = daemon.call("queue.list", selector={}, limit=10)["rows"]
    assert (row["state"], row["attempts"]) == ("scheduled", 0)
    assert row["due"] == pytest.approx(at, abs=0.1)
    assert daemon.stop() == 0
    daemon.start()
    daemon.until(lambda: daemon.metric("penstock_delivered_total") == 1, "delivered", 30)
    assert time.time() >= at
    assert daemon.stop() == 0


def test_bounced_by_hand_it_is_gone_and_the_sender_is_told(daemon) -> None:
    daemon.start()
    daemon.call("queue.suspend", selector={"domain": "gmail.com"})
    daemon.send("ann@gmail.com")
    assert daemon.call("queue.bounce", selector={"domain": "gmail.com"}, tell=True)["messages"] == 1
    with pytest.raises(ControlError) as error:
        daemon.call("queue.show", id="zzzz")
    assert error.value.code == "not-found"
    daemon.until(lambda: daemon.metric("penstock_reports_total") == 1, "reported", 10)
    daemon.until(lambda: daemon.metric("penstock_queue_entries") == 0, "drained", 30)
    assert daemon.stop() == 0


def test_a_bounce_ends_by_itself_and_tells_no_sender(daemon) -> None:
    daemon.start()
    daemon.call("queue.suspend", selector={"domain": "gmail.com"})
    daemon.send("ann@gmail.com", "bob@yahoo.com")
    begun = daemon.call("queue.bounce", selector={"domain": "gmail.com"}, who="eve")
    assert (begun["id"], begun["messages"], begun["away"]) == ("b2", 1, [])

    def over() -> bool:
        return [one["id"] for one in daemon.call("queue.operations")["operations"]] == ["s1"]

    daemon.until(over, "over", 20)
    daemon.until(lambda: daemon.metric("penstock_queue_entries") == 0, "drained", 30)
    assert daemon.metric("penstock_reports_total") == 0
    assert daemon.metric("penstock_delivered_total") == 1
    assert daemon.stop() == 0
    assert 'event="queue bounce begun" id=b2 domain=gmail.com' in daemon.text()
    assert "who=eve" in daemon.text()
    assert 'event="queue bounce done" id=b2' in daemon.text()


def test_suspensions_of_the_last_release_hold_for_every_worker_that_comes(daemon) -> None:
    spool = daemon.home / "spool"
    spool.mkdir()
    old = {"id": "s18c", "selector": {"domain": "gmail.com"}, "since": 1.0, "until": 0.0}
    (spool / "suspensions.json").write_text(json.dumps([old | {"who": "ann", "reason": "x"}]))
    daemon.start()
    for n in range(10):
        daemon.send(f"reader{n}@gmail.com")
    for pid in daemon.worker_pids():
        os.kill(pid, signal.SIGKILL)
    daemon.until(lambda: daemon.text().count("worker died") == 2, "noticed", 10)
    daemon.until(lambda: daemon.call("status")["ready"], "ready again", 30)
    rows = daemon.call("queue.list", limit=50)["rows"]
    assert {row["state"] for row in rows} == {"suspended"}
    assert len(rows) == 10
    [one, *_] = daemon.call("explain", target=rows[0]["id"])["explanations"]
    assert (one["reason"], one["rules"][0]["id"]) == ("suspended", "s18c")
    daemon.call("queue.cancel", id="s18c", who="bob")
    daemon.until(lambda: daemon.metric("penstock_delivered_total") == 10, "delivered", 30)
    assert daemon.stop() == 0


def test_what_is_suspended_is_not_guessed_at(daemon) -> None:
    spool = daemon.home / "spool"
    spool.mkdir()
    (spool / "operations.json").write_text('{"version": 1, "next": 3, "opera')
    run = [sys.executable, "-m", "penstock", "run", "--config", str(daemon.config)]
    done = subprocess.run(run, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert f"{spool}/operations.json is damaged" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_reload_says_what_changes_and_refuses_what_is_wrong(daemon) -> None:
    daemon.start()
    policy = daemon.policies / "default.toml"
    policy.write_text("[limits]\nconnections = 9\n")
    changes = daemon.call("reload")["changes"]
    assert any("connections" in change and "7" in change and "9" in change for change in changes)
    policy.write_text("[limits]\nconections = 9\n")
    with pytest.raises(ControlError, match="did you mean") as error:
        daemon.call("reload")
    assert "default.toml:2" in str(error.value)
    daemon.process.send_signal(signal.SIGHUP)
    daemon.until(lambda: "reload refused" in daemon.text(), "refused", 10)
    daemon.send("ann@gmail.com")
    assert daemon.stop() == 0


def test_a_worker_that_dies_is_back_and_nothing_is_lost(daemon) -> None:
    daemon.start()
    daemon.call("queue.suspend", selector={"domain": "gmail.com"})
    for n in range(20):
        daemon.send(f"reader{n}@gmail.com")
    os.kill(daemon.worker_pids()[0], signal.SIGKILL)
    daemon.until(lambda: "worker died" in daemon.text(), "noticed", 10)
    daemon.until(lambda: daemon.call("status")["ready"], "ready again", 30)
    assert daemon.call("queue.list", selector={}, limit=50)["total"] == 20
    assert daemon.stop() == 0


def test_fewer_workers_adopt_the_shards_of_more(daemon) -> None:
    daemon.start()
    daemon.call("queue.suspend", selector={"domain": "gmail.com"})
    for n in range(20):
        daemon.send(f"reader{n}@gmail.com")
    assert daemon.stop() == 0
    daemon.config.write_text(daemon.config.read_text().replace("workers = 2", "workers = 1"))
    daemon.start()
    assert daemon.call("queue.list", selector={}, limit=50)["total"] == 20
    assert daemon.stop() == 0


def test_one_spool_one_daemon(daemon, tmp_path: pathlib.Path) -> None:
    daemon.start()
    second = tmp_path / "second.toml"
    second.write_text(
        f'spool = "{tmp_path}/spool"\npolicies = "{tmp_path}/policies"\ndelivery = "sandbox"\n'
    )
    run = [sys.executable, "-m", "penstock", "run", "--config", str(second)]
    done = subprocess.run(run, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "in use by another daemon" in done.stderr
    assert daemon.stop() == 0


def test_a_taken_port_is_one_clear_line(daemon, tmp_path: pathlib.Path) -> None:
    daemon.start()
    other = tmp_path / "other"
    other.mkdir()
    config = other / "config.toml"
    config.write_text(daemon.config.read_text().replace(f"{tmp_path}/spool", f"{other}/spool"))
    run = [sys.executable, "-m", "penstock", "run", "--config", str(config)]
    done = subprocess.run(run, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{daemon.smtp_port}" in done.stderr
    assert "Traceback" not in done.stderr
    assert daemon.stop() == 0


def test_a_wrong_setting_is_named_with_its_line(daemon) -> None:
    daemon.write(head='delivry = "live"')
    run = [sys.executable, "-m", "penstock", "run", "--config", str(daemon.config)]
    done = subprocess.run(run, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "config.toml:6" in done.stderr
    assert "delivery" in done.stderr


def test_a_reload_that_needs_a_restart_is_refused_as_a_whole(daemon) -> None:
    daemon.start()
    daemon.write(head='delivery = "live"')
    (daemon.policies / "default.toml").write_text("[limits]\nconnections = 9\n")
    with pytest.raises(ControlError, match="delivery can only change with a restart"):
        daemon.call("reload")
    assert daemon.call("status")["delivery"] == "sandbox"
    daemon.write(extra='[[route]]\ndomains = ["*"]\nnext_hop = "127.0.0.1:1"\n')
    assert any("connections" in one for one in daemon.call("reload")["changes"])
    daemon.send("ann@gmail.com")  # the sandbox keeps it, whatever the routes say
    daemon.until(lambda: daemon.metric("penstock_delivered_total") >= 1, "delivered", 30)
    assert daemon.stop() == 0


def test_a_missing_certificate_stops_the_start_with_its_line(daemon) -> None:
    daemon.write(extra='[[dkim]]\ndomain = "a.example"\nselector = "s"\nkey = "none.pem"\n')
    run = [sys.executable, "-m", "penstock", "run", "--config", str(daemon.config)]
    done = subprocess.run(run, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "none.pem" in done.stderr
    assert "config.toml:" in done.stderr


def test_an_upgrade_replaces_the_daemon_and_keeps_the_mail(daemon) -> None:
    daemon.start()
    daemon.call("queue.suspend", selector={"domain": "gmail.com"})
    daemon.send("ann@gmail.com")
    old, workers = daemon.process.pid, daemon.worker_pids()
    good = daemon.config.read_text()
    daemon.config.write_text(good + "\n[nonsense]\n")
    with pytest.raises(ControlError, match=r"nonsense(.|\n)*nothing was changed"):
        daemon.call("upgrade")
    assert daemon.worker_pids() == workers
    moved = f'spool = "{daemon.home}/other"\ncontrol = "{daemon.control}"'
    daemon.config.write_text(good.replace(f'spool = "{daemon.home}/spool"', moved))
    with pytest.raises(ControlError, match="spool"):
        daemon.call("upgrade")
    daemon.config.write_text(good.replace("workers = 2", "workers = 1"))

    new = daemon.call("upgrade")["pid"]
    try:
        assert daemon.process.wait(20) == 0
        daemon.process = None
        daemon.log.close()
        daemon.until(lambda: daemon.get("/readyz")[0] == 200, "ready")
        status = daemon.call("status")
        assert (status["pid"], len(status["workers"])) == (new, 1)
        assert new != old
        assert status["workers"][0]["shards"] == [0, 1]
        assert daemon.call("queue.list")["total"] == 1
        assert [one["selector"] for one in status["operations"]] == [{"domain": "gmail.com"}]
        daemon.call("queue.resume", selector={})
        daemon.until(lambda: daemon.metric("penstock_delivered_total") >= 1, "delivered", 30)
    finally:
        os.kill(new, signal.SIGTERM)
        daemon.until(lambda: not os.path.exists(daemon.control), "stopped", 30)


def test_a_stop_in_the_middle_of_an_upgrade_stops_both(daemon) -> None:
    daemon.start()
    pid = daemon.process.pid
    os.kill(pid, signal.SIGUSR2)
    daemon.until(lambda: "waiting for a shard" in daemon.text(), "the new workers wait", 30)
    assert daemon.stop() == 0
    assert not os.path.exists(daemon.control)
    daemon.start()  # it has the spool and the ports: nobody else is left
    assert daemon.call("status")["pid"] == daemon.process.pid
    assert daemon.stop() == 0


def test_replies_are_read_by_rules_that_a_reload_brings(daemon) -> None:
    rules = daemon.policies / "replies"
    rules.mkdir()
    daemon.start()
    daemon.send("unknown-ann@gmail.com")
    daemon.until(lambda: daemon.metric("penstock_replies_total") >= 1, "read", 30)
    (row,) = daemon.call("bounces.unmatched")["rows"]
    assert (row["category"], row["count"]) == ("bad-mailbox", 1)
    text = (
        'provider = "any"\n[[rule]]\nname = "gone"\ncategory = "bad-mailbox"\n'
        "match = 'does not exist'\nmatches = [\"550 it does not exist\"]\n"
    )
    (rules / "generic.toml").write_text(text.replace("it does", "it did"))
    with pytest.raises(ControlError, match=r"generic.toml:6: the sample .* no rule"):
        daemon.call("reload")
    (rules / "generic.toml").write_text(text)
    assert "reply rule generic/gone" in daemon.call("reload")["changes"][0]
    assert daemon.call("bounces.unmatched")["rows"] == []
    daemon.send("unknown-bob@gmail.com")
    daemon.until(lambda: daemon.metric("penstock_replies_total") >= 2, "read", 30)
    assert daemon.call("bounces.unmatched")["rows"] == []
    assert daemon.stop() == 0
    assert "rule=generic/gone" in daemon.text()
