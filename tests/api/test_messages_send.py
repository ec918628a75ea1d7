"""``POST /api/v1/messages`` on a real daemon: what is accepted, what is wrong and what is said."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest

SIMPLE: dict[str, Any] = {
    "from": "Shop <orders@shop.example>",
    "to": "ann@example.com",
    "subject": "Your order",
    "text": "It is on its way.",
    "deliver_at": "+1h",
}


def send(client: httpx.Client, **changed: Any) -> httpx.Response:
    return client.post("/api/v1/messages", json={**SIMPLE, **changed})


def errors_of(answer: httpx.Response) -> dict[str, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return {one["field"]: one["message"] for one in answer.json()["errors"]}


def test_a_message_is_accepted_with_an_id_and_a_word_on_each_recipient(client):
    answer = send(client, to=["Ann <ann@example.com>", "nobody"], cc={"email": "bob@example.org"})
    assert answer.status_code == 202
    said = answer.json()
    assert said == {
        "id": said["id"],
        "accepted": 2,
        "suppressed": 0,
        "invalid": 1,
        "refused": 0,
        "recipients": [
            {"recipient": "Ann <ann@example.com>", "status": "accepted", "id": said["id"]},
            {
                "recipient": "nobody",
                "status": "invalid",
                "reason": "'nobody' is no address: malformed address; write it as user@example.com",
            },
            {"recipient": "bob@example.org", "status": "accepted", "id": said["id"]},
        ],
    }


def test_where_nobody_gets_it_nothing_is_accepted(client):
    answer = send(client, to=["nobody", "a@"])
    assert answer.status_code == 422
    problem = answer.json()
    assert problem["type"] == "/docs/problems#no-recipient"
    assert problem["detail"] == "Nobody gets it: 0 suppressed, 2 invalid."
    assert [one["status"] for one in problem["recipients"]] == ["invalid", "invalid"]


def test_each_of_many_recipients_gets_a_message_of_its_own(client):
    recipients = [
        {"to": f"u{n}@example.com", "variables": {"name": f"Reader {n}"}} for n in range(100)
    ]
    del recipients[7]["variables"]
    answer = client.post(
        "/api/v1/messages",
        json={
            "from": "news@shop.example",
            "template": {"subject": "For {{ name }}", "html": "<p>{{ name }}</p>"},
            "recipients": recipients,
            "deliver_at": "+1h",
        },
    )
    assert answer.status_code == 202
    said = answer.json()
    assert (said["accepted"], said["invalid"]) == (99, 1)
    assert len({one["id"] for one in said["recipients"] if one["status"] == "accepted"}) == 99
    assert said["recipients"][7]["reason"] == (
        "template.subject: line 1: there is no variable 'name'; give it, or write name|default('')"
    )


@pytest.mark.parametrize(
    ("changed", "field", "message"),
    [
        ({"pool": "defalt"}, "pool", '"defalt" is no pool; did you mean default?'),
        ({"class": "news"}, "class", '"news" is none of transactional, triggered, bulk'),
        ({"tenant": "a b"}, "tenant", '"a b" is not 1 to 64 of A-Z a-z 0-9 . _ -'),
        ({"campaign": "ä"}, "campaign", '"\\xe4" is not 1 to 64 of A-Z a-z 0-9 . _ -'),
        ({"tags": {"a b": "c"}}, "tags", 'the name "a b" is not 1 to 64 of A-Z a-z 0-9 . _ -'),
        ({"tags": {"a": "c" * 300}}, "tags.a", "longer than 256 characters"),
        ({"metadata": {"a": "c" * 600}}, "metadata.a", "longer than 512 characters"),
        ({"deliver_at": "+60d"}, "deliver_at", '"+60d" is more than 31d ahead'),
        (
            {"deliver_at": "tomorrow"},
            "deliver_at",
            (
                '"tomorrow" is no time; give RFC 3339 with its zone, an RFC 5322 date, '
                'Unix seconds, or "+90m", "+2d"'
            ),
        ),
        ({"expires_at": 1000000000}, "expires_at", '"1000000000" has passed'),
        (
            {"expires_at": "+1m"},
            "expires_at",
            "not later than deliver_at: it would never be sent",
        ),
        (
            {"from": "nobody"},
            "from",
            "'nobody' is no address: malformed address; write it as user@example.com",
        ),
        (
            {"attachments": [{"content": "not base64!", "filename": "a"}]},
            "attachments[0].content",
            "no base64 (RFC 4648 section 4): Only base64 data is allowed",
        ),
        ({"subjct": "x"}, "subjct", 'there is no such field here; did you mean "subject"?'),
        ({"raw": "Subject: x\n\nx"}, "", "raw is a whole message: leave out subject, text"),
        ({"variables": {"a": 1}}, "", "variables are for a template, and none is given"),
        ({"to": []}, "", "nobody gets it: give to, cc, bcc or recipients"),
        (
            {"template": {"text": "{{ name"}, "text": None},
            "template.text",
            "line 1: unexpected end of template, expected 'end of print statement'.",
        ),
        (
            {"template": {"text": "a\nb {{ name }}"}},
            "template.text",
            "line 2: there is no variable 'name'; give it, or write name|default('')",
        ),
    ],
)
def test_what_is_wrong_is_said_of_the_field(client, changed, field, message):
    answer = send(client, **changed)
    assert answer.status_code == 422, answer.text
    found = errors_of(answer)
    assert found == {field: message}


FIELDS = [
    *("from", "to", "cc", "reply_to", "subject", "sender", "tenant", "campaign", "class", "pool"),
    *("deliver_at", "expires_at"),
]


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\u2028", "\x00"])
def test_no_field_can_end_a_line_of_the_header(client, field, end):
    value = f"a@shop.example{end}Bcc: evil@example.com"
    answer = send(client, **{field: value})
    if field in ("to", "cc") and answer.status_code == 202:  # the others get it
        assert answer.json()["invalid"] == 1
        return
    assert answer.status_code == 422, answer.text


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\x00"])
@pytest.mark.parametrize(
    "changed",
    [
        lambda value: {"headers": {"X-Own": value}},
        lambda value: {"headers": {f"X-Own{value}": "a"}},
        lambda value: {"from": {"email": "a@shop.example", "name": value}},
        lambda value: {"attachments": [{"content": "YQ==", "filename": value}]},
        lambda value: {"attachments": [{"content": "YQ==", "content_id": value}]},
        lambda value: {"attachments": [{"content": "YQ==", "content_type": value}]},
    ],
)
def test_nor_can_a_field_within_a_field(client, changed, end):
    answer = send(client, **changed(f"x{end}Bcc: evil@example.com"))
    assert answer.status_code == 422, answer.text
    assert answer.json()["type"] == "/docs/problems#invalid"


@pytest.mark.parametrize("name", ["Bcc", "From", "Received", "X-Penstock-Pool", "DKIM-Signature"])
def test_fields_that_are_the_engines_cannot_be_given_as_headers(client, name):
    answer = send(client, headers={name: "x@example.com"})
    assert answer.status_code == 422
    assert f"headers.{name}" in errors_of(answer)


def test_raw_messages_come_as_text_or_in_base64(client):
    whole = "From: a@shop.example\nSubject: raw\n\n.dot\nПривет\n"
    base = {"from": "a@shop.example", "to": "ann@example.com", "deliver_at": "+1h"}
    assert client.post("/api/v1/messages", json={**base, "raw": whole}).status_code == 202
    coded = base64.b64encode(whole.encode()).decode()
    answer = client.post("/api/v1/messages", json={**base, "raw": coded, "raw_encoding": "base64"})
    assert answer.status_code == 202
    answer = client.post(
        "/api/v1/messages", json={**base, "raw": coded[:-3], "raw_encoding": "base64"}
    )
    assert list(errors_of(answer)) == ["raw"]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("", "empty; a whole RFC 5322 message is expected"),
        ("Subject: x\n\n\0", "Message contains NUL"),
        ("Subject: x\n\n" + "y" * 2000, "Message has a line over the length limit"),
        (
            "X-Penstock-Pool: nowhere\nSubject: x\n\nx",
            'X-Penstock-Pool: "nowhere" is no pool; pools: default',
        ),
        ("Received: x\n" * 60 + "\nx", "Too many hops: mail loop"),
    ],
)
def test_raw_messages_are_checked_as_over_smtp(client, raw, message):
    answer = client.post(
        "/api/v1/messages", json={"from": "a@shop.example", "to": "b@example.com", "raw": raw}
    )
    assert answer.status_code == 422
    assert errors_of(answer) == {"raw": message}


def test_a_message_may_be_the_body_itself(client):
    answer = client.post(
        "/api/v1/messages",
        params=[("from", "a@shop.example"), ("to", "b@example.com"), ("to", "c@example.com"),
                ("tag", "kind=order"), ("metadata", "order=7"), ("deliver_at", "+1h")],
        content=b"Subject: whole\r\n\r\nhello\r\n",
        headers={"Content-Type": "message/rfc822"},
    )  # fmt: skip
    assert answer.status_code == 202
    said = answer.json()
    assert said["accepted"] == 2
    found = client.get(f"/api/v1/messages/{said['id']}").json()
    assert found["tags"] == {"kind": "order"}
    assert found["metadata"] == {"order": "7"}
    assert found["sender"] == "a@shop.example"


def test_its_parameters_are_checked(client):
    answer = client.post(
        "/api/v1/messages?frm=a@shop.example&to=b@example.com",
        content=b"Subject: whole\r\n\r\nhello\r\n",
        headers={"Content-Type": "message/rfc822"},
    )
    assert answer.status_code == 422
    assert errors_of(answer) == {"query frm": 'no such parameter; did you mean "from"?'}


def test_another_kind_of_body_is_refused(client):
    answer = client.post("/api/v1/messages", data={"from": "a@shop.example"})
    assert answer.status_code == 415
    assert answer.json()["detail"] == (
        'The Content-Type has to be "application/json" or "message/rfc822", '
        'not "application/x-www-form-urlencoded".'
    )


def test_durability_may_be_memory(client):
    assert send(client, durability="memory").status_code == 202
    answer = send(client, durability="disk")
    assert list(errors_of(answer)) == ["durability"]


def test_a_thousand_recipients_and_no_more(client):
    recipients = [{"to": f"u{n}@example.com"} for n in range(1001)]
    base = {"from": "a@shop.example", "subject": "x", "text": "y", "deliver_at": "+1h"}
    answer = client.post("/api/v1/messages", json={**base, "recipients": recipients})
    assert answer.status_code == 422
    assert list(errors_of(answer)) == ["recipients"]
    answer = client.post("/api/v1/messages", json={**base, "recipients": recipients[:1000]})
    assert answer.status_code == 202
    assert answer.json()["accepted"] == 1000


def test_what_is_no_json_is_said_to_be_none(client):
    answer = client.post(
        "/api/v1/messages", content=b'{"from": ', headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 400
    assert json.loads(answer.content)["type"] == "/docs/problems#bad-json"
