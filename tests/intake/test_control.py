"""What a message says of itself in X-Penstock fields: obeyed, or refused by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.intake.accept import Origin, prepare
from penstock.intake.control import ControlRules, Permit
from penstock.intake.moment import FORMS
from penstock.mail.envelope import Envelope
from penstock.smtp.reply import Reply

Run = Callable[..., Any]
NOW = 1_700_000_000.0
DAY_S = 86400.0
RULES = ControlRules(lambda: ("default", "receipts", "news-1"))


def given_fields(
    *fields: str, permit: Permit | None = None, trusted: bool = True, **envelope: Any
) -> tuple[Envelope, list[bytes] | Reply]:
    """The envelope of a message with these fields, and its body or the refusal."""
    made = Envelope("a@b", [], NOW, ref=5, **envelope)
    content = "".join(f"{field}\r\n" for field in fields) + "Subject: x\r\n\r\nhello\r\n"
    origin = Origin("x", "192.0.2.1", trusted=trusted, permit=permit or Permit())
    return made, prepare(
        made, content.encode(), origin, hostname="mx.example", now=NOW, rules=RULES
    )


def obeyed(*fields: str, **more: Any) -> Envelope:
    envelope, body = given_fields(*fields, **more)
    assert isinstance(body, list), body
    assert b"enstock-" not in b"".join(body).lower()
    return envelope


def refused(*fields: str, **more: Any) -> str:
    _, refusal = given_fields(*fields, **more)
    assert isinstance(refusal, Reply)
    assert all(len(line) <= 512 for line in refusal.wire().splitlines(keepends=True))
    text = str(refusal)
    assert text.isascii()
    assert text.isprintable()
    return text


ALL = """
    S: 220 ...
    C: EHLO shop.example
    S: 250-...
    S: 250-...
    S: 250-...
    S: 250-...
    S: 250-...
    S: 250-...
    S: 250-...
    S: 250-...
    S: 250 HELP
    C: MAIL FROM:<a@b.example>
    S: 250 ...
    C: RCPT TO:<c@d.example>
    S: 250 ...
    C: DATA
    S: 354 ...
    C: X-Penstock-Tenant: acme
    C: Subject: x
    C: X-Penstock-Campaign: spring.24
    C: X-Penstock-Class: bulk
    C: X-Penstock-Pool: news-1
    C: X-Penstock-Tag: order=4711, kind=first
    C: x-penstock-tag: shop=Caf\u00e9 Nord
    C: X-Penstock-Deliver-At: +90m
    C: X-Penstock-Expires: Thu, 16 Nov 2023 00:00:00 +0000
    C: From: a@b.example
    C:
    C: X-Penstock-Pool: in the body
    C: .
    S: 250 2.6.0 Message queued as ...
    """


async def test_all_of_them_in_a_dialogue(connect: Run, converse: Run, sink: Any) -> None:
    line = connect(pools=RULES.pools)
    await converse(line, ALL.replace("\\u00e9", "\u00e9"))
    envelope, body = sink.messages[0]
    assert (envelope.tenant, envelope.campaign) == ("acme", "spring.24")
    assert (envelope.class_, envelope.pool) == ("bulk", "news-1")
    assert envelope.tags == {"order": "4711", "kind": "first", "shop": "Caf\u00e9 Nord"}
    assert envelope.deliver_at == NOW + 90 * 60
    assert envelope.expires_at == 1_700_092_800.0
    head, _, rest = body.partition(b"\r\n\r\n")
    assert b"enstock-" not in head.lower()
    assert rest == b"X-Penstock-Pool: in the body\r\n"


BAD = """
    S: 220 ...
    C: EHLO shop.example
    S: 250-...
    S: 250-...
    S: 250-...
    S: 250-...
    S: 250-...
    S: 250-...
    S: 250-...
    S: 250-...
    S: 250 HELP
    C: MAIL FROM:<a@b.example>
    S: 250 ...
    C: RCPT TO:<c@d.example>
    S: 250 ...
    C: DATA
    S: 354 ...
    C: X-Penstock-Campagin: spring
    C: X-Penstock-Class: bluk
    C:
    C: .
    S: 550 5.6.0 X-Penstock-Campagin: no such field; did you mean X-Penstock-Campaign? (and ...
    C: MAIL FROM:<a@b.example>
    S: 250 ...
    C: RCPT TO:<c@d.example>
    S: 250 ...
    C: DATA
    S: 354 ...
    C: X-Penstock-Campaign: spring
    C:
    C: .
    S: 250 2.6.0 Message queued as ...
    """


async def test_a_bad_one_costs_its_message_and_not_the_session(
    connect: Run, converse: Run, sink: Any
) -> None:
    await converse(connect(), BAD)
    assert [envelope.campaign for envelope, _ in sink.messages] == ["spring"]


@pytest.mark.parametrize(
    ("field", "told"),
    [
        ("Tenant: a b", 'Tenant: "a b" is not 1 to 64 of A-Z a-z 0-9 . _ -'),
        ("Campaign:", 'Campaign: "" is not 1 to 64 of A-Z a-z 0-9 . _ -'),
        ("Class: Bulk", 'Class: "Bulk" is none of transactional, triggered, bulk'),
        ("Pool: a/b", 'Pool: "a/b" is not 1 to 64 of A-Z a-z 0-9 . _ -'),
        ("Pool: reciepts", 'Pool: "reciepts" is no pool; did you mean receipts?'),
        ("Pool: zzz", 'Pool: "zzz" is no pool; pools: default, news-1, receipts'),
        ("Tag: a", 'Tag: "a" is not name=value, the name 1 to 64 of A-Z a-z 0-9 . _ -'),
        ("Tag: a b=c", 'Tag: "a b=c" is not name=value, the name 1 to 64 of A-Z a-z 0-9 . _ -'),
        ("Tag: =c", 'Tag: "=c" is not name=value, the name 1 to 64 of A-Z a-z 0-9 . _ -'),
        ("Tag: a=1, a=2", "Tag: a is given two values"),
        ("Tag: ,", "Tag: no tag; 1 to 16 expected, as name=value, name=value"),
        ("Tag: a=" + "x" * 257, "Tag: the value of a is longer than 256 characters"),
        ("Deliver-At: tomorrow", f'Deliver-At: "tomorrow" is no time; give {FORMS}'),
        ("Deliver-At: +32d", 'Deliver-At: "+32d" is more than 31d ahead'),
        (
            "Expires: 2023-01-01T00:00:00Z",
            'Expires: "2023-01-01T00:00:00Z" has passed',
        ),
        ("Expires: +0s", 'Expires: "+0s" has passed'),
        ("Delivery: x", "Delivery: no such field; did you mean X-Penstock-Deliver-At?"),
        ("Deliver_At: x", "Deliver_at: no such field; did you mean X-Penstock-Deliver-At?"),
        (": x", ": no such field; X-Penstock-Tenant, X-Penstock-Campaign, X-Penstock-Class"),
    ],
)
def test_a_bad_value_is_refused_with_what_is_allowed(field: str, told: str) -> None:
    assert refused(f"X-Penstock-{field}").startswith(f"550 5.6.0 X-Penstock-{told}")


def test_several_bad_ones_are_counted() -> None:
    fields = ["X-Penstock-Class: x", "X-Penstock-Pool: y", "X-Penstock-Q: z"]
    assert refused(*fields[:2]).endswith("(and 1 more bad X-Penstock field)")
    assert refused(*fields).endswith("(and 2 more bad X-Penstock fields)")
    assert "X-Penstock-Class:" in refused(*fields)


def test_an_unknown_one_of_a_stranger_is_taken_out_and_that_is_all() -> None:
    envelope = obeyed("X-Penstock-Pool: news-1", "X-Penstock-Q: x", trusted=False)
    assert (envelope.pool, envelope.class_, envelope.tags) == ("", "", {})


def test_the_reference_of_an_engine_before_us_is_taken_out_and_refused_by_nobody() -> None:
    assert obeyed("X-Penstock-Ref: 0c1d2e", "X-Penstock-Class: bulk").class_ == "bulk"


def test_the_pools_are_those_of_the_moment(sink: Any) -> None:
    pools = ["one"]
    rules = ControlRules(lambda: pools)
    origin = Origin("x", "192.0.2.1", trusted=True)
    content = b"X-Penstock-Pool: two\r\n\r\n"

    def offered() -> list[bytes] | Reply:
        return prepare(Envelope("", [], NOW), content, origin, hostname="h", now=NOW, rules=rules)

    assert isinstance(offered(), Reply)
    pools.append("two")
    assert isinstance(offered(), list)


def test_without_pools_none_can_be_named() -> None:
    origin = Origin("x", "192.0.2.1", trusted=True)
    content = b"X-Penstock-Pool: default\r\n\r\n"
    told = prepare(Envelope("", [], NOW), content, origin, hostname="h", now=NOW)
    assert str(told) == '550 5.6.0 X-Penstock-Pool: "default" is no pool; pools: none'


def test_many_pools_are_not_all_told() -> None:
    rules = ControlRules(lambda: [f"p{number:02}" for number in range(50)])
    told = prepare(
        Envelope("", [], NOW), b"X-Penstock-Pool: zzz\r\n\r\n",
        Origin("x", "y", trusted=True), hostname="h", now=NOW, rules=rules,
    )  # fmt: skip
    assert str(told).endswith("pools: p00, p01, p02, p03, p04, p05, p06, p07 and 42 more")


# -- times ----------------------------------------------------------------------------------------


def test_a_time_to_be_sent_at_that_has_passed_is_now() -> None:
    assert obeyed("X-Penstock-Deliver-At: 2020-01-01T00:00:00Z").deliver_at == 0.0


def test_it_may_not_expire_before_it_is_sent() -> None:
    told = refused("X-Penstock-Expires: +1h", "X-Penstock-Deliver-At: +2h")
    assert told == (
        "550 5.6.0 X-Penstock-Expires: not later than X-Penstock-Deliver-At: it would never be sent"
    )
    fine = obeyed("X-Penstock-Expires: +2h", "X-Penstock-Deliver-At: +1h")
    assert (fine.deliver_at, fine.expires_at) == (NOW + 3600, NOW + 7200)


# -- tags -----------------------------------------------------------------------------------------


def test_tags_may_come_in_parts_and_are_counted_together() -> None:
    most = [f"X-Penstock-Tag: t{n}=a, u{n}=b=c ," for n in range(8)]
    tags = obeyed(*most).tags
    assert len(tags) == 16
    assert (tags["t0"], tags["u7"]) == ("a", "b=c")
    assert "17 tags; 1 to 16 expected" in refused(*most, "X-Penstock-Tag: v=")
    assert obeyed(*most, "X-Penstock-Tag: t0=a").tags == tags


def test_tags_that_were_not_all_kept_are_refused_and_not_sent_in_part() -> None:
    pairs = ",".join(f"a={'x' * 250}" for _ in range(40))
    assert "X-Penstock-Tag: longer than 8192 bytes" in refused(f"X-Penstock-Tag: {pairs}")
    parts = [f"X-Penstock-Tag: a={'x' * 250}"] * 40
    assert "X-Penstock-Tag: longer than 8192 bytes" in refused(*parts)


labels = st.text("abcXYZ019._-", min_size=1, max_size=64)
printed = st.characters(codec="utf-8", exclude_categories=("C", "Z"), exclude_characters=",")
values = st.text(printed, max_size=256)


@given(st.dictionaries(labels, values, min_size=1, max_size=16))
def test_any_tags_within_the_bounds_come_through(tags: dict[str, str]) -> None:
    fields = [f"X-Penstock-Tag: {name}={value}" for name, value in tags.items()]
    assert obeyed(*fields).tags == tags


names = st.sampled_from(
    ["Tenant", "Campaign", "Class", "Pool", "Tag", "Deliver-At", "Expires", "Clas", "", "Q" * 900]
)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=120)


@given(st.lists(st.tuples(names, texts), min_size=1, max_size=5))
def test_whatever_is_said_is_obeyed_or_refused_in_one_clean_line(
    said: list[tuple[str, str]],
) -> None:
    fields = [f"X-Penstock-{name}: {text}" for name, text in said]
    _, answer = given_fields(*fields)
    if isinstance(answer, Reply):
        told = refused(*fields)
        assert told.startswith("550 5.6.0 X-Penstock-")
    else:
        obeyed(*fields)


# -- what an account may say ----------------------------------------------------------------------


def test_an_account_may_be_held_to_some_pools_and_classes() -> None:
    permit = Permit(pools=("receipts", "default"), classes=("transactional",))
    fine = obeyed("X-Penstock-Pool: receipts", "X-Penstock-Class: transactional", permit=permit)
    assert (fine.pool, fine.class_) == ("receipts", "transactional")
    assert refused("X-Penstock-Pool: news-1", permit=permit) == (
        '550 5.7.1 X-Penstock-Pool: "news-1" is not for this account, only receipts, default'
    )
    assert refused("X-Penstock-Class: bulk", permit=permit) == (
        '550 5.7.1 X-Penstock-Class: "bulk" is not for this account, only transactional'
    )


def test_fields_override_the_defaults_but_for_the_tenant_of_an_account() -> None:
    mine = {"campaign": "c", "class_": "bulk", "pool": "default", "account": "ann"}
    said = ["X-Penstock-Campaign: d", "X-Penstock-Class: triggered", "X-Penstock-Pool: receipts"]
    envelope = obeyed(*said, tenant="acme", **mine)
    assert (envelope.tenant, envelope.campaign) == ("acme", "d")
    assert (envelope.class_, envelope.pool) == ("triggered", "receipts")
    assert refused("X-Penstock-Tenant: other", tenant="acme", **mine) == (
        "550 5.7.1 X-Penstock-Tenant: this account sends for acme only"
    )
    assert obeyed("X-Penstock-Tenant: other", tenant="", **mine).tenant == "other"
