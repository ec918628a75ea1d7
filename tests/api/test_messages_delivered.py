"""What is sent over HTTP arrives as it was meant."""

from __future__ import annotations

import base64
import email
import email.utils
import os
from email.header import decode_header, make_header

import pytest
from tests.api.inbox import client_of, delivering

TEXTS = {
    "russian": "Съешь же ещё этих мягких французских булок",
    "chinese": "我能吞下玻璃而不伤身体",
    "emoji": "👩‍👩‍👧‍👦 fam 🎉",
    "long": "x" * 998,
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    home = tmp_path_factory.mktemp("delivered")
    with delivering(home) as (daemon, inbox), client_of(daemon) as client:
        yield client, inbox


def name_in(content, field):
    """By the standard library's decoder of words: its newer parser keeps the space between two
    that belong together (RFC 2047 6.2)."""
    raw = email.message_from_bytes(content)[field]
    return email.utils.parseaddr(str(make_header(decode_header(raw))))[0]


@pytest.mark.parametrize("name", TEXTS)
def test_texts_of_all_kinds_read_back(world, name):
    client, inbox = world
    text = TEXTS[name]
    subject = f"{name}: {text[:60]}"
    answer = client.post(
        "/api/v1/messages",
        json={
            "from": {"email": "a@bücher.example", "name": text[:60]},
            "to": [{"email": "ann@example.com", "name": text[:60]}],
            "cc": "bob@example.com",
            "bcc": "eve@example.com",
            "reply_to": "answers@shop.example",
            "subject": subject,
            "text": text,
            "html": f"<p>{text}</p>",
            "amp": f"<!doctype html><html amp4email>{text}</html>",
            "headers": {"X-Own": text[:60]},
        },
    )
    assert answer.status_code == 202, answer.text
    id_ = answer.json()["id"]
    envelope, message, content = inbox.wait(subject)[0]
    assert content.isascii()
    assert max(map(len, content.split(b"\r\n"))) <= 998
    assert sorted(envelope.rcpt_tos) == ["ann@example.com", "bob@example.com", "eve@example.com"]
    assert envelope.mail_from.endswith("xn--bcher-kva.example")
    assert name_in(content, "From") == text[:60]
    assert name_in(content, "To") == text[:60]
    assert message["Cc"] == "bob@example.com"
    assert message["Bcc"] is None
    assert message["Reply-To"] == "answers@shop.example"
    assert message["X-Own"] == text[:60]
    assert message["Message-ID"] == f"<{id_}@mta.example>"
    assert b"with HTTP id " in content
    parts = [part.get_content_type() for part in message.iter_parts()]
    assert parts == ["text/plain", "text/x-amp-html", "text/html"]
    assert message.get_body(("plain",)).get_content().rstrip("\r\n") == text
    assert message.get_body(("html",)).get_content().rstrip("\r\n") == f"<p>{text}</p>"


def test_attachments_of_twenty_mebibytes_arrive(world):
    client, inbox = world
    data = os.urandom(20 << 20)
    answer = client.post(
        "/api/v1/messages",
        json={
            "from": "a@shop.example",
            "to": "ann@example.com",
            "subject": "large",
            "html": '<img src="cid:logo">',
            "attachments": [
                {"content": base64.b64encode(data).decode(), "filename": "отчёт 报告.bin"},
                {
                    "content": base64.b64encode(b"png").decode(),
                    "filename": "logo.png",
                    "content_id": "logo",
                    "inline": True,
                },
            ],
        },
    )
    assert answer.status_code == 202, answer.text
    _, message, _ = inbox.wait("large")[0]
    files = {part.get_filename(): part for part in message.walk() if part.get_filename()}
    assert files["отчёт 报告.bin"].get_content() == data
    assert files["logo.png"]["Content-ID"] == "<logo>"
    assert files["logo.png"].get_content_disposition() == "inline"


def test_each_recipient_gets_what_is_meant_for_it(world):
    client, inbox = world
    answer = client.post(
        "/api/v1/messages",
        json={
            "from": "a@shop.example",
            "sender": "bounces@shop.example",
            "subject": "templated",
            "template": {"html": "<p>{{ name }} {{ shop }}</p>", "headers": {"X-N": "{{ n }}"}},
            "variables": {"shop": "<Shop>"},
            "recipients": [
                {
                    "to": {"email": f"u{number}@example.com", "name": f"U {number}"},
                    "variables": {"name": f"名 {number}", "n": number},
                    "metadata": {"n": str(number)},
                }
                for number in range(20)
            ],
        },
    )
    assert answer.status_code == 202, answer.text
    ids = {one["recipient"]: one["id"] for one in answer.json()["recipients"]}
    for envelope, message, _ in inbox.wait("templated", 20):
        address = envelope.rcpt_tos[0]
        number = address[1:].partition("@")[0]
        assert envelope.mail_from == "bounces@shop.example"
        assert message["To"].addresses[0].addr_spec == address
        assert message["X-N"] == number
        assert message.get_content().strip() == f"<p>名 {number} &lt;Shop&gt;</p>"
        assert message["Message-ID"] == f"<{ids[address]}@mta.example>"


def test_a_raw_message_goes_as_it_is(world):
    client, inbox = world
    raw = "From: a@shop.example\nSubject: raw\nX-Penstock-Campaign: spring\n\n.a dot\n..two\n"
    answer = client.post(
        "/api/v1/messages", json={"from": "b@shop.example", "to": "ann@example.com", "raw": raw}
    )
    assert answer.status_code == 202
    envelope, message, content = inbox.wait("raw")[0]
    assert envelope.mail_from == "b@shop.example"
    assert content.endswith(b"\r\n\r\n.a dot\r\n..two\r\n")
    assert "X-Penstock-Campaign" not in message
    found = client.get(f"/api/v1/messages/{answer.json()['id']}").json()
    assert found["campaign"] == "spring"
