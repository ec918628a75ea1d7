"""A message goes out with a signed return path, and its bounce comes back: a real daemon."""

from __future__ import annotations

import os
import pathlib
import smtplib
import time
from collections.abc import Iterator
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from bench.harness import free_port

from penstock.mail.verp import TokenKeys, find_token, read_token
from penstock.mail.verp_keys import first_key, keys_text
from penstock.settings.token_keys import load_token_keys

TENANTS = """\
[tenant."*".feedback]
bounce_domain = "b.shop.example"
unsubscribe_domain = "b.shop.example"
feedback_id = "shopmail"
"""
BOUNCE = "From: MAILER-DAEMON@a.example\r\nSubject: failed\r\n\r\nNo such user here\r\n"


class Sink:
    """Takes all mail and notes what it says of itself."""

    def __init__(self) -> None:
        self.came: list[tuple[str, list[str], bytes]] = []
        self.port = free_port()
        self.controller = Controller(self, hostname="127.0.0.1", port=self.port)
        self.controller.start()

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.came.append((envelope.mail_from, envelope.rcpt_tos, envelope.content))
        return "250 2.0.0 OK"


@pytest.fixture
def sink() -> Iterator[Sink]:
    sink = Sink()
    yield sink
    sink.controller.stop()


def received(daemon: Any, role: str, result: str) -> float:
    return sum(
        float(line.rpartition(" ")[2])
        for line in daemon.get("/metrics")[1].splitlines()
        if line.startswith("penstock_feedback_received_total{")
        and f'role="{role}"' in line
        and f'result="{result}"' in line
    )


def put_keys(home: pathlib.Path, keys: TokenKeys) -> None:
    path = home / "feedback.keys"
    path.write_text(keys_text(keys))
    os.chmod(path, 0o600)


def token_of(home: pathlib.Path, sender: str) -> str:
    found = find_token(sender)
    assert found is not None
    keys = load_token_keys(str(home / "feedback.keys"))
    read_token(keys, found.token, time.time(), 1)
    return found.token


def test_out_with_a_token_and_back_again(daemon: Any, sink: Sink) -> None:
    home = daemon.home
    put_keys(home, first_key(b"k" * 32, "2026-01-01"))
    (daemon.policies / "tenants.toml").write_text(TENANTS)
    port = free_port()
    daemon.write(
        f"""\
[[smtp]]
listen = "127.0.0.1:{port}"
role = "feedback"
[feedback]
keys = "{home}/feedback.keys"
[[route]]
domains = ["*"]
next_hop = "127.0.0.1:{sink.port}"
""",
        'delivery = "live"',
    )
    daemon.start()
    bulk = "X-Penstock-Class: bulk\r\nSubject: news\r\n\r\nnews\r\n"
    daemon.send("ann@a.example", "bob@a.example", text=bulk)
    daemon.until(lambda: len(sink.came) == 2, "delivered")
    assert [people for _, people, _ in sorted(sink.came, key=lambda one: one[1])] == [
        ["ann@a.example"],
        ["bob@a.example"],
    ]
    first = token_of(home, sink.came[0][0])
    assert first != token_of(home, sink.came[1][0])
    assert b"List-Unsubscribe: <mailto:u-" in sink.came[0][2]
    assert b"Feedback-ID: ::bulk:shopmail\r\n" in sink.came[0][2]

    with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
        client.sendmail("", [sink.came[0][0]], BOUNCE)
        with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
            client.sendmail("", [f"b-{first[:-1]}{'01'[first[-1] == '0']}@b.shop.example"], BOUNCE)
        assert next(iter(refused.value.recipients.values()))[0] == 550
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            client.sendmail("", ["ann@a.example"], BOUNCE)
        client.sendmail("", ["postmaster@b.shop.example"], BOUNCE)
    daemon.until(lambda: received(daemon, "bounce", "accepted") == 1, "counted")
    assert received(daemon, "bounce", "forged") == 1
    assert received(daemon, "other", "elsewhere") == 1
    assert received(daemon, "postmaster", "forwarded") == 1
    lines = [
        line
        for path in sorted((home / "spool" / "events").rglob("*.ndjson"))
        for line in path.read_text().splitlines()
    ]
    assert any('"reported"' in line and first in line for line in lines)

    # a reload with another key in front: what is out stays good, what goes out has the new one
    put_keys(home, TokenKeys([*first_key(b"n" * 32, "2026-01-02").keys]))
    daemon.call("reload")
    daemon.send("eve@a.example", text=bulk)
    daemon.until(lambda: len(sink.came) == 3, "delivered")
    token_of(home, sink.came[2][0])
    daemon.stop()


def test_what_may_be_wrong_is_said_and_keeps_nobody_from_starting(daemon: Any) -> None:
    """No listener here takes the mail of the bounce domain: another machine's may."""
    put_keys(daemon.home, first_key(b"k" * 32, "2026-01-01"))
    (daemon.policies / "tenants.toml").write_text(TENANTS)
    daemon.write(f'[feedback]\nkeys = "{daemon.home}/feedback.keys"\n', 'delivery = "live"')
    daemon.start()
    assert daemon.call("reload")["warnings"]
