"""Lists from files: ours, those of other services, and what is wrong in them."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.suppression.columns import moment_of
from penstock.suppression.decide import SuppressionRules
from penstock.suppression.normalise import normal_address
from penstock.suppression.rows import LINE_BYTES_MAX, Form, Meaning, Row, read_rows

NOW = 1_800_000_000.0
SENDGRID_BOUNCES = """\
status,reason,email,created
5.1.1,"550 5.1.1 The account
does not exist",Ann@example.com,1500000000
5.0.0,"500 unknown, recipient",ben@example.com,2017-07-14T02:40:00Z
"""
MAILGUN_BOUNCES = "address,code,error,created_at\nann@example.com,550,No such user,{}\n".format(
    '"Fri, 14 Jul 2017 02:40:00 GMT"'
)
MAILGUN_UNSUBSCRIBES = "address,tags,created_at\nann@example.com,*,2017-07-14 02:40:00 UTC\n"


def rows(text: str | bytes, form: Form = "csv", **more: str) -> list[Row]:
    content = text.encode() if isinstance(text, str) else text
    meaning = Meaning(normal_address, SuppressionRules(), NOW, **more)
    return list(read_rows(io.BytesIO(content), form, meaning))


def taken(text: str, form: Form = "csv", **more: str) -> list[tuple[str, str, str, float]]:
    found = rows(text, form, **more)
    assert not any(row.problem for row in found), found
    entries = [entry for row in found for entry in row.entries]
    return [(one.address, one.scope, one.reason, one.since) for one in entries]


def wrong(text: str | bytes, form: Form = "csv") -> list[tuple[int, str]]:
    return [(row.line, row.problem) for row in rows(text, form) if row.problem]


def test_lists_of_other_services() -> None:
    ann = ("ann@example.com", "", "bounce", 1.5e9)
    assert taken(SENDGRID_BOUNCES) == [ann, ("ben@example.com", *ann[1:])]
    assert taken(MAILGUN_BOUNCES) == [ann]
    assert taken(MAILGUN_UNSUBSCRIBES) == [("ann@example.com", "bulk", "unsubscribe", 1.5e9)]
    assert taken("Email;Type\na@b.example;Spam Report\n") == [
        ("a@b.example", "triggered", "complaint", NOW),
        ("a@b.example", "bulk", "complaint", NOW),
    ]


def test_a_bare_list_and_what_the_command_says() -> None:
    assert taken("\ufeffa@b.example\r\nB@b.example\r\n", reason="unsubscribe") == [
        ("a@b.example", "bulk", "unsubscribe", NOW),
        ("b@b.example", "bulk", "unsubscribe", NOW),
    ]
    assert rows("a@b.example\n", tenant="shop", scope="")[0].entries[0].tenant == "shop"


def test_ndjson() -> None:
    text = '{"email": "A@b.example", "created": 1500000000, "tags": ["x"]}\n\n'
    assert taken(text, "ndjson") == [("a@b.example", "bulk", "unsubscribe", 1.5e9)]
    assert wrong('{"address": "a@b.example"}\n[]\n{"x": 1}\n{"a', "ndjson") == [
        (2, "no JSON object: Expected `object`, got `array`"),
        (3, "no address"),
        (4, "no JSON object: Input data was truncated"),
    ]


def test_bad_rows_have_a_line_and_a_reason_and_the_others_are_taken() -> None:
    text = (
        "address,tenant,scope,since\n"
        "good@b.example,shop,bulk,\n"
        "no address,shop,,\n"
        ",shop,,\n"
        "a@b.example,bad tenant,,\n"
        "a@b.example,shop,bilk,\n"
        "a@b.example,shop,,yesterday\n"
        "\n"
        "also@b.example,,list:news,2020-01-01\n"
    )
    assert [(line, problem.partition(":")[0]) for line, problem in wrong(text)] == [
        (3, "not an address"),
        (4, "no address"),
        (5, "tenant"),
        (6, "scope"),
        (7, "'yesterday' is no time"),
    ]
    good = [row.entries[0].address for row in rows(text) if row.entries]
    assert good == ["good@b.example", "also@b.example"]


def test_hostile_lines_cost_no_memory_and_hide_nothing() -> None:
    long = b"a" * (3 * LINE_BYTES_MAX) + b"@b.example"
    text = b"email\n" + long + b"\n\xff@b.example\nx\0@b.example\nok@b.example\n"
    assert wrong(text) == [
        (2, f"longer than {LINE_BYTES_MAX} bytes"),
        (3, "is not UTF-8"),
        (4, "has a NUL byte"),
    ]
    assert rows(text)[-1].entries[0].address == "ok@b.example"
    assert "column" in wrong("name,age\nann,7\n")[0][1]
    assert rows("") == [Row(1, (), wrong("")[0][1])]


@given(st.binary(max_size=300), st.sampled_from(["csv", "ndjson"]))
def test_no_bytes_make_trouble(content: bytes, form: Form) -> None:
    for row in rows(b"email,since,scope\n" * (form == "csv") + content, form):
        assert bool(row.problem) != bool(row.entries)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("", 0.0),
        ("0", 0.0),
        ("1500000000", 1.5e9),
        ("1500000000000", 1.5e9),
        ("2017-07-14T04:40:00+02:00", 1.5e9),
        ("2017-07-14 02:40:00", 1.5e9),
        ("2017/07/14 02:40:00", 1.5e9),
        ("Fri, 14 Jul 2017 02:40:00 -0000", 1.5e9),
    ],
)
def test_moments(text: str, moment: float) -> None:
    assert moment_of(text) == moment


@pytest.mark.parametrize("text", ["soon", "99999999999", "1600-01-01", "14.07.2017", "-1"])
def test_no_moments(text: str) -> None:
    with pytest.raises(ValueError):
        moment_of(text)
