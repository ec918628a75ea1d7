"""A report on TLS by a real daemon: counted, asked for in DNS, signed, taken by a mail server."""

from __future__ import annotations

import base64
import email
import gzip
import json
import pathlib
import subprocess
import sys
import time
from email.policy import default
from typing import Any

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from tests.daemon.conftest import daemon  # noqa: F401  (a fixture)
from tests.daemon.test_feedback_live import sink  # noqa: F401  (a fixture)
from tests.tls.rfc8460 import check_report
from tests.tls.signed_dns import name_server  # noqa: F401  (a fixture)

from penstock.events.journal import Journal, JournalConfig
from penstock.events.records import TlsSeen

pytestmark = pytest.mark.slow
YESTERDAY_S = time.time() - 86_400.0
CONFIG = """
[[route]]
domains = ["*"]
next_hop = "127.0.0.1:{sink}"
[[dkim]]
domain = "mta.example"
selector = "s1"
key = "{home}/dkim.pem"
[dns]
nameservers = ["127.0.0.1:{dns}"]
[tls_report]
organization = "Example"
contact = "postmaster@mta.example"
sender = "tls-reports@mta.example"
flush_s = "1s"
"""


def seen(spool: pathlib.Path, **fields: Any) -> None:
    journal = Journal(str(spool / "events" / "50"), JournalConfig(), lambda: YESTERDAY_S)
    journal.write(TlsSeen, **fields)
    journal.sync()
    journal.close()


def command(one: Any, *words: str) -> str:
    line = [sys.executable, "-m", "penstock", "tls", "report", "-c", str(one.config), *words]
    return subprocess.run(line, capture_output=True, text=True, check=True, timeout=60).stdout


def key(home: pathlib.Path) -> str:
    """Makes the signing key; what DNS has of it."""
    private = ed25519.Ed25519PrivateKey.generate()
    (home / "dkim.pem").write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    raw = private.public_key().public_bytes(
        serialization.Encoding.Raw, serialization.PublicFormat.Raw
    )
    return f"v=DKIM1; k=ed25519; s=tlsrpt; p={base64.b64encode(raw).decode()}"


def test_a_report_is_counted_shown_sent_and_signed(daemon, sink, name_server) -> None:  # noqa: F811
    public = key(daemon.home)
    wish = {("_smtp._tls.b.example", "TXT"): ['"v=TLSRPTv1; rua=mailto:reports@b.example"']}
    extra = CONFIG.format(sink=sink.port, home=daemon.home, dns=name_server(wish))
    daemon.write(extra=extra, head='delivery = "live"')
    daemon.start()
    daemon.until(lambda: daemon.call("status")["collector"]["ready"], "collecting")
    spool = daemon.home / "spool"
    seen(spool, domain="b.example", sessions=40)
    seen(
        spool,
        domain="b.example",
        sessions=2,
        policy="tlsa",
        policy_text=("3 1 1 ab",),
        result="tlsa-invalid",
        mx="mx.b.example",
        address="192.0.2.1",
        source="198.51.100.7",
        detail="certificate matches no record",
    )
    seen(spool, domain="quiet.example", sessions=1)
    daemon.until(lambda: daemon.call("tls.report")["total"] == 2, "counted")

    first = daemon.call("tls.report")["domains"][0]
    assert (first["domain"], first["succeeded"], first["failed"]) == ("b.example", 40, 2)
    assert "b.example" in command(daemon)
    shown = command(daemon, "--domain", "b.example")
    check_report(shown.encode())
    assert "b.example: sent" in command(daemon, "--send", "--domain", "b.example")
    assert "quiet.example: unwanted" in command(daemon, "--send")

    daemon.until(lambda: sink.came, "sent")
    ((sender, recipients, content),) = sink.came
    assert (sender, recipients) == ("tls-reports@mta.example", ["reports@b.example"])
    mail = email.message_from_bytes(content, policy=default)
    report = gzip.decompress(list(mail.iter_parts())[1].get_payload(decode=True))
    assert check_report(report) == json.loads(shown)
    assert dkim.verify(content, dnsfunc=lambda name, timeout=5: public.encode(), tlsrpt="strict")
    assert daemon.metric("penstock_tls_reports_total") == 2
    # the connection that carried it was counted as well: the sink offers no STARTTLS
    today = time.strftime("%Y-%m-%d", time.gmtime())
    daemon.until(lambda: daemon.call("tls.report", day=today)["total"] == 1, "counted by a worker")
    (row,) = daemon.call("tls.report", day=today)["domains"]
    assert (row["domain"], row["succeeded"], row["failed"]) == ("b.example", 0, 1)
    with pytest.raises(Exception, match="is not over"):
        daemon.call("tls.send", day=today)
    assert daemon.stop() == 0


def test_without_a_reporter_nothing_is_counted(daemon) -> None:  # noqa: F811
    daemon.start()
    daemon.until(lambda: daemon.call("status")["collector"]["ready"], "collecting")
    names = {one["name"] for one in daemon.call("status")["collector"]["consumers"]}
    assert "tls" not in names
    with pytest.raises(Exception, match="tls_report"):
        daemon.call("tls.report")
    assert daemon.stop() == 0


def test_nothing_leaves_the_sandbox(daemon, name_server) -> None:  # noqa: F811
    key(daemon.home)
    wish = {("_smtp._tls.b.example", "TXT"): ['"v=TLSRPTv1; rua=mailto:reports@b.example"']}
    daemon.write(extra=CONFIG.format(sink=1, home=daemon.home, dns=name_server(wish)))
    daemon.start()
    daemon.until(lambda: daemon.call("status")["collector"]["ready"], "collecting")
    seen(daemon.home / "spool", domain="b.example", sessions=40)
    daemon.until(lambda: daemon.call("tls.report")["total"] == 1, "counted")
    (sent,) = daemon.call("tls.send", domain="b.example")["sent"]
    assert sent["state"] == "unwanted"
    assert daemon.stop() == 0
