"""Out with a signed return path, and back again: a bounce that a real Postfix sends later, a
complaint, one click. Each becomes an event, reaches the webhook, and stops the next message."""

import base64
import email
import email.message
import email.policy
import http.server
import os
import pathlib
import re
import secrets
import shutil
import smtplib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import standardwebhooks
from bench import postfix
from bench.daemon import Daemon
from bench.harness import ROOT, free_port, wait_until

from penstock.mail.verp_keys import first_key, keys_text

HOP = "127.0.0.2"
TENANTS = """\
[tenant.shop.feedback]
bounce_domain = "b.shop.example"
unsubscribe_url = "https://u.shop.example/u"
unsubscribe_domain = "b.shop.example"
feedback_id = "shopmail"
"""
MAIL = """\
From: News <news@shop.example>
To: {to}
Subject: News
X-Penstock-Campaign: spring
X-Penstock-Tag: issue=7
X-Penstock-Class: {class_}

The news.
"""
WAIT_S = 30.0


class Hook(http.server.ThreadingHTTPServer):
    """A receiver of webhooks, which believes none that is not signed."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _HookHandler)
        self.secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
        self.events: list[dict[str, Any]] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def told(self, type_: str, recipient: str) -> list[dict[str, Any]]:
        return [
            one for one in self.events if one["type"] == type_ and one.get("recipient") == recipient
        ]


class _HookHandler(http.server.BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        hook = standardwebhooks.Webhook(self.server.secret)
        self.server.events += hook.verify(body, {k.lower(): v for k, v in self.headers.items()})
        self.send_response(204)
        self.end_headers()

    def log_message(self, *said: object) -> None:
        return


@pytest.fixture
def hook() -> Iterator[Hook]:
    started = Hook()
    yield started
    started.shutdown()
    started.server_close()


class Place:
    """A Postfix that keeps the mail of ``alive.example``, takes that of ``dead.example`` and then
    finds nobody there, and knows where ``b.shop.example`` is."""

    def __init__(self, directory: pathlib.Path, feedback_port: int) -> None:
        directory.mkdir()
        inbox = directory / "mail"
        inbox.mkdir()
        nobody = 65534
        os.chown(inbox, nobody, nobody)
        self.maildir = inbox / "inbox"
        self.postfix = postfix.Postfix(
            directory,
            {
                "virtual_mailbox_domains": "alive.example, dead.example",
                "virtual_mailbox_base": str(inbox),
                "virtual_mailbox_maps": "inline:{ { @alive.example = inbox/ } }",
                "smtpd_reject_unlisted_recipient": "no",
                "virtual_uid_maps": f"static:{nobody}",
                "virtual_gid_maps": f"static:{nobody}",
                "transport_maps": (
                    f"inline:{{ {{ b.shop.example = smtp:[127.0.0.1]:{feedback_port} }} }}"
                ),
                "smtp_dns_support_level": "disabled",
            },
            host=HOP,
        )

    def mail_for(self, address: str) -> email.message.EmailMessage | None:
        for path in (self.maildir / "new").glob("*"):
            found = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
            if found["To"] == address:
                assert isinstance(found, email.message.EmailMessage)
                return found
        return None


@pytest.fixture
def started(
    directory: pathlib.Path, hook: Hook, daemon: Callable[..., Daemon], need: Callable[..., None]
) -> Iterator[tuple[Daemon, Place, int]]:
    need("postfix")
    feedback_port, page_port = free_port(), free_port()
    place = Place(directory / "place", feedback_port)
    policies = directory / "policies"
    shutil.copytree(ROOT / "policies", policies)
    (policies / "tenants.toml").write_text(TENANTS)
    keys, secret = directory / "feedback.keys", directory / "hook.whsec"
    keys.write_text(keys_text(first_key(secrets.token_bytes(32), "2026-01-01")))
    secret.write_text(hook.secret + "\n")
    for path in (keys, secret):
        path.chmod(0o600)
    with place.postfix:
        running = daemon(
            place.postfix.address,
            policies=policies,
            smtp='tenant = "shop"\n',
            routes=(
                f'[[smtp]]\nlisten = "127.0.0.1:{feedback_port}"\nrole = "feedback"\n'
                f'[feedback]\nkeys = "{keys}"\n'
                f'[unsubscribe]\nlisten = "127.0.0.1:{page_port}"\n'
                f'[[webhook]]\nname = "shop"\ntenant = "shop"\nallow_private = true\n'
                f'url = "http://127.0.0.1:{hook.server_port}/"\nsecret_file = "{secret}"\n'
                'batch_wait_s = "0.1s"\n'
            ),
        )
        yield running, place, page_port


def send(daemon: Daemon, to: str, class_: str = "bulk") -> tuple[int, str]:
    """The final reply."""
    with smtplib.SMTP("127.0.0.1", daemon.port, timeout=20) as client:
        client.ehlo()
        assert client.mail("app@shop.example")[0] == 250
        code, text = client.rcpt(to)
        if code != 250:
            return code, text.decode()
        code, text = client.data(MAIL.format(to=to, class_=class_))
        return code, text.decode()


def test_a_bounce_comes_later_and_the_next_message_is_refused(
    started: tuple[Daemon, Place, int], hook: Hook
) -> None:
    daemon, _, _ = started
    to = "gone@dead.example"
    code, text = send(daemon, to)
    assert code == 250
    message = text.split()[-1]
    wait_until(lambda: hook.told("bounced", to), WAIT_S, "the webhook hears of the bounce", 0.05)
    (delivered,), (bounced,) = hook.told("delivered", to), hook.told("bounced", to)
    assert delivered["message"] == bounced["message"] == message
    assert bounced["late"] is True
    assert (bounced["category"], bounced["suppress"]) == ("bad-mailbox", True)
    assert (bounced["campaign"], bounced["tags"]) == ("spring", {"issue": "7"})

    wait_until(lambda: send(daemon, to)[0] == 550, WAIT_S, "the next message is refused", 0.2)
    code, text = send(daemon, to, "transactional")
    assert code == 550
    assert "suppress" in text
    assert "bad-mailbox" in text
    wait_until(lambda: hook.told("suppressed", to), WAIT_S, "the webhook hears of that", 0.05)
    assert hook.told("suppressed", to)[0]["cause"] == bounced["id"]


def complaint(original: email.message.EmailMessage) -> str:
    """As a mailbox provider sends it (RFC 5965), without the recipient."""
    head = "".join(f"{name}: {value}\r\n" for name, value in original.items())
    head = head.replace("ann@alive.example", "redacted@alive.example")
    return (
        "From: fbl@alive.example\r\nTo: fbl@b.shop.example\r\nSubject: complaint\r\n"
        "MIME-Version: 1.0\r\n"
        'Content-Type: multipart/report; report-type=feedback-report; boundary="x"\r\n\r\n'
        "--x\r\nContent-Type: text/plain\r\n\r\nThis is an email abuse report.\r\n"
        "--x\r\nContent-Type: message/feedback-report\r\n\r\n"
        "Feedback-Type: abuse\r\nUser-Agent: Loop/1.0\r\nVersion: 1\r\n\r\n"
        f"--x\r\nContent-Type: message/rfc822\r\n\r\n{head}\r\nThe news.\r\n--x--\r\n"
    )


def test_a_complaint_without_the_recipients_name_stops_bulk_mail(
    started: tuple[Daemon, Place, int], hook: Hook
) -> None:
    daemon, place, _ = started
    to = "ann@alive.example"
    assert send(daemon, to)[0] == 250
    wait_until(lambda: place.mail_for(to) is not None, WAIT_S, "it is in the mailbox", 0.05)
    original = place.mail_for(to)
    assert original is not None
    with smtplib.SMTP(place.postfix.host, place.postfix.port, timeout=20) as client:
        client.sendmail("fbl@alive.example", ["fbl@b.shop.example"], complaint(original))
    wait_until(lambda: hook.told("complained", to), WAIT_S, "the webhook hears of it", 0.05)
    assert hook.told("complained", to)[0]["feedback_type"] == "abuse"
    wait_until(lambda: send(daemon, to)[0] == 550, WAIT_S, "bulk mail is refused", 0.2)
    assert "complain" in send(daemon, to)[1]
    assert send(daemon, to, "transactional")[0] == 250


def test_one_click_stops_bulk_mail_and_no_other(
    started: tuple[Daemon, Place, int], hook: Hook
) -> None:
    daemon, place, page_port = started
    to = "bob@alive.example"
    assert send(daemon, to)[0] == 250
    wait_until(lambda: place.mail_for(to) is not None, WAIT_S, "it is in the mailbox", 0.05)
    original = place.mail_for(to)
    assert original is not None
    assert original["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    link = re.search(r"<https://u\.shop\.example(/u/[^>]+)>", original["List-Unsubscribe"])
    assert link is not None
    url = f"http://127.0.0.1:{page_port}{link[1]}"
    assert "<form" in httpx.get(url).text
    assert not hook.told("unsubscribed", to), "a scanner that follows the link changes nothing"
    for _ in range(2):
        assert httpx.post(url, data={"List-Unsubscribe": "One-Click"}).status_code == 200
    wait_until(lambda: hook.told("unsubscribed", to), WAIT_S, "the webhook hears of it", 0.05)
    assert hook.told("unsubscribed", to)[0]["via"] == "one-click"
    wait_until(lambda: send(daemon, to)[0] == 550, WAIT_S, "bulk mail is refused", 0.2)
    assert send(daemon, to, "transactional")[0] == 250
