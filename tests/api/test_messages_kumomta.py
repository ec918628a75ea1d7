"""Requests as programs write them for KumoMTA."""

from __future__ import annotations

import base64

import pytest
from tests.api.inbox import client_of, delivering

PATH = "/api/inject/v1"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    home = tmp_path_factory.mktemp("kumomta")
    with delivering(home) as (daemon, inbox), client_of(daemon) as client:
        yield client, inbox


def test_a_message_of_parts(world):
    client, inbox = world
    answer = client.post(
        PATH,
        json={
            "envelope_sender": "noreply@shop.example",
            "content": {
                "text_body": "This is the plain text part for {{ name }}, {{ email }}",
                "html_body": "<p>{{ name }} <b>{{ code }}</b> {{ shop }}</p>",
                "from": {"email": "info@shop.example", "name": "Shop"},
                "subject": "parts {{ code }}",
                "reply_to": {"email": "help@shop.example"},
                "headers": {"X-Code": "{{ code }}"},
                "attachments": [
                    {
                        "data": base64.b64encode(b"png").decode(),
                        "base64": True,
                        "content_type": "image/png",
                        "content_id": "logo",
                        "file_name": "logo.png",
                    },
                    {"data": "plain", "content_type": "text/plain", "file_name": "a.txt"},
                ],
            },
            "substitutions": {"shop": "S & S", "code": "none"},
            "recipients": [
                {"email": "ann@example.com", "name": "Ann", "substitutions": {"code": "A1"}},
                {"email": "bob@example.com", "name": "Bob", "substitutions": {"code": "B2"}},
                {"email": "nobody"},
            ],
        },
    )
    assert answer.status_code == 200
    assert answer.json() == {
        "success_count": 2,
        "fail_count": 1,
        "failed_recipients": ["nobody"],
        "errors": [
            (
                "nobody: invalid: 'nobody' is no address: malformed address; write it as "
                "user@example.com"
            )
        ],
    }
    envelope, message, _ = inbox.wait("parts A1")[0]
    assert envelope.mail_from == "noreply@shop.example"
    assert envelope.rcpt_tos == ["ann@example.com"]
    assert message["To"] == "Ann <ann@example.com>"
    assert message["From"] == "Shop <info@shop.example>"
    assert message["Reply-To"] == "help@shop.example"
    assert message["X-Code"] == "A1"
    html = message.get_body(("html",)).get_content().strip()
    assert html == "<p>Ann <b>A1</b> S &amp; S</p>"
    text = message.get_body(("plain",)).get_content().strip()
    assert text == "This is the plain text part for Ann, ann@example.com"
    files = {part.get_filename(): part for part in message.walk() if part.get_filename()}
    assert files["logo.png"].get_content() == b"png"
    assert files["a.txt"].get_content().strip() == "plain"
    assert inbox.wait("parts B2")[0][0].rcpt_tos == ["bob@example.com"]


@pytest.mark.parametrize(
    ("dialect", "subject"), [({}, "whole Ann"), ({"template_dialect": "Static"}, "whole {{name}}")]
)
def test_a_whole_message_as_text(world, dialect, subject):
    client, inbox = world
    answer = client.post(
        PATH,
        json={
            "envelope_sender": "noreply@shop.example",
            "recipients": [{"email": "ann@example.com", "name": "Ann"}],
            "content": "From: a@shop.example\nTo: {{email}}\nSubject: whole {{name}}\n\nHello\n",
            **dialect,
        },
    )
    assert answer.json()["success_count"] == 1
    assert inbox.wait(subject)[0][2].endswith(b"\r\n\r\nHello\r\n")


def test_a_variable_adds_no_field_to_the_header(world):
    client, inbox = world
    answer = client.post(
        PATH,
        json={
            "envelope_sender": "noreply@shop.example",
            "recipients": [{"email": "ann@example.com"}],
            "substitutions": {"said": "Ann\r\nBcc: eve@evil.example"},
            "content": "From: a@shop.example\nSubject: one line {{said}}\n\nHello {{said}}\n",
        },
    )
    assert answer.json()["success_count"] == 1
    head = inbox.wait("one line Ann Bcc: eve@evil.example")[0][2].partition(b"\r\n\r\n")[0]
    assert b"\nBcc:" not in head


def test_what_cannot_be_rendered_fails_for_its_recipient(world):
    client, _ = world
    answer = client.post(
        PATH,
        json={
            "envelope_sender": "noreply@shop.example",
            "recipients": [
                {"email": "ann@example.com", "substitutions": {"code": 1}},
                {"email": "bob@example.com"},
            ],
            "content": "Subject: x\n\n{{ code }}\n",
            "deferred_spool": True,
        },
    )
    said = answer.json()
    assert (said["success_count"], said["failed_recipients"]) == (1, ["bob@example.com"])
    assert said["errors"] == [
        (
            "bob@example.com: invalid: line 3: there is no variable 'code'; give it, or write "
            "code|default('')"
        )
    ]


def test_what_is_wrong_with_all_of_it_is_a_problem(world):
    client, _ = world
    answer = client.post(
        PATH,
        json={
            "envelope_sender": "noreply@shop.example",
            "recipients": [{"email": "ann@example.com"}],
            "content": "Subject: x\n\n{{ code\n",
        },
    )
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "content"
