"""The whole daemon over STARTTLS: it resumes sessions, counts them, and does not where told so."""

from __future__ import annotations

import smtplib

import pytest
from bench import keys
from bench.daemon import Daemon
from bench.harness import free_port, wait_until
from bench.sink import Sink

MESSAGES = 6


@pytest.mark.slow
@pytest.mark.parametrize(("settings", "resumed"), [("", True), ("tls_sessions_max = 0", False)])
def test_the_daemon_resumes(tmp_path, settings, resumed):
    files = (tmp_path / "c.crt", tmp_path / "c.key")
    keys.make_chain(*files, "sink.example")
    sink = Sink(tmp_path, "127.0.0.2", free_port("127.0.0.2"), tls=files)
    daemon = Daemon(
        tmp_path,
        f"127.0.0.2:{sink.port}",
        workers=1,
        route="messages_per_connection = 1",
        extra=f"[relay]\n{settings}",
    )
    with sink, daemon, smtplib.SMTP("127.0.0.1", daemon.port, timeout=20) as client:
        for number in range(1, MESSAGES + 1):  # one after the other, so each has a predecessor
            client.sendmail("a@src.example", ["b@dst.example"], f"Subject: {number}\n\nhello\n")
            wait_until(lambda n=number: sink.read().messages == n, 20, f"message {number} arrives")
        counters = sink.read()
        assert counters.handshakes == MESSAGES
        assert counters.resumed == (MESSAGES - 1 if resumed else 0)

        def counted() -> bool:
            name = "penstock_tls_handshakes_total"
            found = {r: daemon.metric(name, {"result": r}) for r in ("ok", "resumed", "failed")}
            full = MESSAGES - counters.resumed
            return found == {"ok": full, "resumed": counters.resumed, "failed": 0}

        wait_until(counted, 20, "the metrics say the same")
