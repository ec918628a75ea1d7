"""A real daemon, and the commands beside it: what one changes the other sees."""

from __future__ import annotations

import contextlib
import smtplib
import subprocess
import sys


def command(daemon, *arguments):  # type: ignore[no-untyped-def]
    return subprocess.run(
        [sys.executable, "-m", "penstock", "suppression", *arguments, "-c", str(daemon.config)],
        capture_output=True,
        text=True,
        check=False,
    )


def reply(daemon, address: str) -> str:  # type: ignore[no-untyped-def]
    """What is said to a message to it."""
    with smtplib.SMTP("127.0.0.1", daemon.smtp_port, timeout=20) as client:
        client.ehlo()
        client.mail("app@shop.example")
        client.rcpt(address)
        return client.data("Subject: hi\r\n\r\nx\r\n")[1].decode()


def test_refused_as_long_as_it_is_listed(daemon) -> None:  # type: ignore[no-untyped-def]
    assert command(daemon, "add", "before@a.example").returncode == 0  # no daemon needed
    daemon.start()
    assert "Before@a.example is suppressed: manual since" in reply(daemon, "Before@a.example")
    assert command(daemon, "add", "now@a.example").returncode == 0
    for _ in range(6):  # by whichever worker
        assert "is suppressed" in reply(daemon, "now@a.example")
    assert command(daemon, "remove", "now@a.example").returncode == 0
    for _ in range(6):
        assert "queued as" in reply(daemon, "now@a.example")
    assert daemon.metric("penstock_suppressed_total") == 7
    assert daemon.metric("penstock_suppression_addresses") == 1
    assert 0 < daemon.metric("penstock_suppression_bytes") < 1 << 20
    assert daemon.stop() == 0


def test_given_up_at_delivery_and_explained(daemon) -> None:  # type: ignore[no-untyped-def]
    daemon.start()
    later = "X-Penstock-Deliver-At: +1h\r\nSubject: hi\r\n\r\nhello\r\n"
    daemon.send("waits@a.example", text=later)
    assert command(daemon, "add", "waits@a.example", "--reason", "complaint", "--scope", "all")
    (found,) = daemon.call("explain", target="waits@a.example")["explanations"]
    assert found["suppressed"]["reason"] == "complaint"
    shown = command(daemon, "show", "waits@a.example")  # takes longer than intake's answer holds
    assert "complaint" in shown.stdout
    daemon.call("queue.retry", selector={"domain": "a.example"})
    daemon.until(lambda: not daemon.metric("penstock_queue_entries"), "given up", 20)
    assert daemon.metric("penstock_suppressed_total") == 1
    assert daemon.metric("penstock_delivered_total") == 0
    assert daemon.metric("penstock_reports_total") == 0
    assert "suppressed" in daemon.text()
    assert daemon.stop() == 0


def test_mail_goes_on_without_a_list(daemon) -> None:  # type: ignore[no-untyped-def]
    broken = daemon.home / "spool" / "suppression"
    broken.mkdir(parents=True)
    (broken / "data.mdb").write_bytes(b"no database" * 1000)
    daemon.start()
    daemon.send("x@a.example")
    daemon.until(lambda: daemon.metric("penstock_delivered_total") == 1, "delivered", 20)
    assert daemon.metric("penstock_suppression_unread_total") >= 1
    assert "the suppression list cannot be read" in daemon.text()
    (broken / "data.mdb").unlink()
    with contextlib.suppress(FileNotFoundError):
        (broken / "lock.mdb").unlink()
    assert command(daemon, "add", "x@a.example").returncode == 0
    daemon.until(lambda: "is suppressed" in reply(daemon, "x@a.example"), "read again", 20)
    assert daemon.stop() == 0
