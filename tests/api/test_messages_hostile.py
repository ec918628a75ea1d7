"""Bodies that are meant to hurt: each gets a 4xx soon, and the daemon goes on."""

from __future__ import annotations

import json
import time

import pytest

SECONDS_MAX = 5.0
BASE = {"from": "a@shop.example", "to": "b@example.com", "subject": "x", "deliver_at": "+1h"}


def templated(text: str, variables: object = None, field: str = "text") -> bytes:
    body = {**BASE, "template": {field: text}, "variables": variables or {}}
    return json.dumps(body).encode()


def nested(depth: int) -> list[object]:
    return [nested(depth - 1)] if depth else []


HOSTILE = {
    "deep": b'{"variables":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
    "deep list": b"[" * 1_000_000,
    "no object": b"[]",
    "huge number": b'{"deliver_at": ' + b"9" * 100_000 + b"}",
    "huge exponent": b'{"deliver_at": 1e400}',
    "not a number": b'{"deliver_at": NaN}',
    "bad utf-8": b'{"subject": "\xff\xfe"}',
    "lone surrogate": b'{"from":"a@b.example","to":"b@example.com","subject":"\\ud800","text":"x"}',
    "many values": b'{"tags":{' + b",".join(b'"a%d":"b"' % n for n in range(600_000)) + b"}}",
    "many keys": json.dumps({**BASE, **{f"k{n}": 1 for n in range(20_000)}}).encode(),
    "long address": json.dumps({**BASE, "to": "a" * 900 + "@example.com"}).encode(),
    "quadratic address": json.dumps({**BASE, "to": '"' + "\\" * 900}).encode(),
    "many headers": json.dumps({**BASE, "headers": {f"X-{n}": "v" for n in range(101)}}).encode(),
    "long header": json.dumps({**BASE, "headers": {"X-A": "v" * 100_000}}).encode(),
    "range bomb": templated("{% for a in range(99999999) %}{% endfor %}"),
    "loop bomb": templated("{% for a in l %}{% for b in l %}{% for c in l %}x{% endfor %}"
                           "{% endfor %}{% endfor %}", {"l": list(range(1000))}),
    "power bomb": templated("{{ 9**9**9 }}"),
    "text bomb": templated("{{ 'a' * 9999999999 }}"),
    "escape bomb": templated("{% set x = '<' * 1000 %}" + "{% set x = x ~ x %}" * 30 + "{{ x }}",
                             field="html"),
    "recursion": templated("{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}"),
    "attribute": templated("{{ ''.__class__.__mro__[1].__subclasses__() }}"),
    "nesting": templated("{% if a %}" * 5000 + "{% endif %}" * 5000),
    "format": templated("{{ '%999999999d' | format(1) }}"),
    "bad base64": json.dumps({**BASE, "attachments": [{"content": "A" * 1_000_001}]}).encode(),
    "deep variables": json.dumps(
        {**BASE, "template": {"text": "x {{ a }}"}, "variables": {"a": nested(20)}}
    ).encode(),
    "raw of one line": json.dumps({**BASE, "subject": "", "raw": "x" * 3_000_000}).encode(),
    "raw of header": json.dumps({**BASE, "subject": "", "raw": "X: y\n" * 200_000}).encode(),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_body_gets_a_4xx_in_bounded_time(client, name):
    began = time.monotonic()
    answer = client.post(
        "/api/v1/messages", content=HOSTILE[name], headers={"Content-Type": "application/json"}
    )
    assert 400 <= answer.status_code < 500, answer.text[:500]
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(answer.content) < 100_000
    assert time.monotonic() - began < SECONDS_MAX


def test_a_bomb_for_a_thousand_recipients_is_bounded_as_a_whole(client, served):
    text = "{% for a in l %}{{ a }}{% endfor %}"
    body = {
        "from": "a@shop.example",
        "deliver_at": "+1h",
        "template": {"text": text},
        "variables": {"l": list(range(5000))},
        "recipients": [{"to": f"u{n}@example.com"} for n in range(1000)],
    }
    began = time.monotonic()
    answer = client.post("/api/v1/messages", json=body)
    assert answer.status_code == 202
    said = answer.json()
    assert said["invalid"] > 0
    assert said["accepted"] + said["invalid"] == 1000
    assert time.monotonic() - began < 30
    assert served.get("/readyz")[0] == 200
