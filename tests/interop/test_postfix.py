"""A real Postfix as next hop: content, signatures, refusals, TLS."""

import email
import email.policy
import re
import smtplib

import dkim
import pytest
from bench import keys
from bench.harness import wait_until

SENDER, RECIPIENT = "bounce@src.example", "user@rcpt.example"
MESSAGE = b"\r\n".join(
    (
        b"From: Sender <bounce@src.example>",
        b"To: user@rcpt.example",
        b"Subject: every kind of line",
        b"Date: Sun, 22 Nov 2026 08:00:00 +0000",
        b"Message-ID: <lines@src.example>",
        b"MIME-Version: 1.0",
        b"Content-Type: text/plain; charset=utf-8",
        b"Content-Transfer-Encoding: 8bit",
        b"X-Folded: one",
        b"\ttwo  ",
        b"",
        b".",
        b"..",
        b".leading dot",
        b"trailing blanks \t ",
        "Grüße, 你好".encode(),
        b"",
        b"x" * 990,
        b"",
        b"",
        b"",
    )
)


def send(port, recipients, message=MESSAGE):
    with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
        client.ehlo("client.example")
        client.sendmail(SENDER, recipients, message, mail_options=["BODY=8BITMIME"])


@pytest.fixture
def signed(directory):
    """TOML that signs with RSA and Ed25519, and the DNS records that publish the keys."""
    records, text = {}, ""
    for selector, make in (("rsa", keys.make_rsa), ("ed", keys.make_ed25519)):
        path = directory / f"{selector}.pem"
        records[f"{selector}._domainkey.src.example"] = make(path)
        text += f'[[dkim]]\ndomain = "src.example"\nselector = "{selector}"\nkey = "{path}"\n'
    return text, records


def arrived(hop, count=1):
    wait_until(lambda: len(hop.messages()) >= count, 30, f"{count} messages arrive")
    return hop.messages()


def test_content_arrives_byte_for_byte_below_the_trace(daemon, receiver):
    hop = receiver()
    send(daemon(hop.address, workers=1).port, [RECIPIENT])
    (message,) = arrived(hop)
    assert message.endswith(b"\r\n" + MESSAGE)
    added = message[: -len(MESSAGE)].decode()
    assert re.search(r"^Received: from client\.example .*\r\n\s+by mta\.example", added, re.M)


def test_both_signatures_verify_with_dkimpy(daemon, receiver, signed):
    text, records = signed
    hop = receiver()
    send(daemon(hop.address, workers=1, extra=text).port, [RECIPIENT])
    (message,) = arrived(hop)

    def lookup(name, timeout=5):
        return records.get(name.decode().rstrip("."), "").encode()

    verifier = dkim.DKIM(message)
    algorithms = re.findall(rb"\sa=([a-z0-9-]+);", message)
    assert sorted(algorithms) == [b"ed25519-sha256", b"rsa-sha256"]
    assert [verifier.verify(index, dnsfunc=lookup) for index in range(2)] == [True, True]
    with pytest.raises(dkim.ValidationError, match="body hash mismatch"):
        dkim.DKIM(message.replace(b"\r\n..\r\n", b"\r\n.\r\n", 1)).verify(0, dnsfunc=lookup)


def test_the_rsa_signature_verifies_with_opendkim(daemon, receiver, signed):
    text, records = signed
    hop = receiver(records)
    send(daemon(hop.address, workers=1, extra=text).port, [RECIPIENT])
    (message,) = arrived(hop)
    results = re.findall(rb"^Authentication-Results: (?:.*\r\n)(?:[ \t].*\r\n)*", message, re.M)
    verdicts = b" ".join(results)
    assert re.search(rb"dkim=pass[^;]*\sheader\.s=rsa[\s;]", verdicts), verdicts


def test_a_refused_recipient_is_reported_to_the_sender(daemon, receiver):
    hop = receiver()
    relay = daemon(hop.address, workers=1)
    send(relay.port, [RECIPIENT, "refused@rcpt.example"])
    messages = arrived(hop, 2)
    relay.drain(20)
    assert relay.metric("penstock_bounced_total") == 1
    reports = [m for m in messages if b"multipart/report" in m]
    assert len(messages) == 2
    assert len(reports) == 1
    report = email.message_from_bytes(reports[0], policy=email.policy.default)
    assert report["Return-Path"] == "<>"
    assert report["To"] == SENDER
    assert report.get_param("report-type") == "delivery-status"
    text, status, original = report.iter_parts()
    assert "refused@rcpt.example" in text.get_content()
    per_message, per_recipient = status.get_payload()
    assert per_message["Reporting-MTA"] == "dns; mta.example"
    assert per_recipient["Final-Recipient"] == "rfc822; refused@rcpt.example"
    assert per_recipient["Action"] == "failed"
    assert per_recipient["Status"] == "5.1.1"
    assert "550 5.1.1" in per_recipient["Diagnostic-Code"]
    assert "no such mailbox" in per_recipient["Diagnostic-Code"]
    assert original.get_content_type() == "message/rfc822"
    assert original.get_content()["Message-ID"] == "<lines@src.example>"


def test_starttls_is_used_where_the_next_hop_offers_it(daemon, receiver):
    hop = receiver()
    relay = daemon(hop.address, workers=1)
    send(relay.port, [RECIPIENT])
    (message,) = arrived(hop)
    received = re.search(rb"^Received: from mta\.example .*\r\n(?:[ \t].*\r\n)*", message, re.M)
    assert received
    assert b"using TLSv1.3" in received[0]
    assert b"ESMTPS" in received[0]
    relay.drain(20)
    assert relay.stop() == 0
    assert re.search(r'event=attempt .* tls="TLSv1\.3 \w+" .* code=250', relay.log_text())
