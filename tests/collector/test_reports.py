"""What reports become: matched by token, by ids, by who is named; and what is never believed."""

from __future__ import annotations

from typing import Any

import pytest
from tests.collector.conftest import event

from penstock.collector.reports import Reports, Resolved
from penstock.events import records
from penstock.events.records import Accepted, Reported
from penstock.feedback.report import Finding, Original, Report, as_fields
from penstock.mail.envelope import id_text
from penstock.mail.verdict import Category, Fault
from penstock.mail.verp import Key, TokenKeys, make_token

NOW = 1_700_000_000.0
KEYS = TokenKeys([Key("0", b"k" * 32)])
OTHERS = TokenKeys([Key("0", b"x" * 32)])
AGES = {"b": 30, "c": 180, "u": 400}
REF = (3 << 48) + 1000
MESSAGE: Accepted = event(
    records.Accepted,
    message=id_text(REF),
    recipients=("Ann@gmail.test", "bob@mail.test", "cy@mail.test"),
    tenant="shop",
    campaign="spring",
    class_="bulk",
    tags={"order": "7"},
    pool="news",
    sender="news@shop.test",
)


def finding(recipient: str = "", category: Category = Category.BAD_MAILBOX, **more: Any) -> Finding:
    usual = {
        "status": "5.1.1",
        "reply_code": "550",
        "reply": "550 5.1.1 no such user",
        "action": "failed",
        "fault": Fault.RECIPIENT,
        "suppress": category is Category.BAD_MAILBOX,
    }
    return Finding(recipient=recipient, category=category, **{**usual, **more})


def reported(
    *findings: Finding,
    kind: str = "bounce",
    role: str = "bounce",
    token: str = "",
    **original: Any,
) -> Reported:
    report = Report(kind, findings, Original(**original), "mailer@mx.test")  # type: ignore[arg-type]
    at = "2023-11-14T22:13:20.000Z"
    return Reported(id="r1", at=at, role=role, token=token, found=as_fields(report))


def token(purpose: str = "b", ref: int = REF, *, exact: bool = False, keys: Any = KEYS) -> str:
    return make_token(keys, purpose, ref, exact, NOW - 86_400)


def resolve(one: Reported, keys: TokenKeys | None = KEYS) -> Resolved:
    def accepted(ref: int) -> Accepted | None:
        return MESSAGE if REF <= ref < REF + 3 else None

    reports = Reports(lambda: keys, AGES, accepted, lambda address: "provider", lambda: NOW)
    return reports.resolve(one)


def who(found: Resolved) -> list[tuple[str, str]]:
    return [(told.make.__name__, told.fields["recipient"]) for told in found.told]


def test_a_late_bounce_has_all_that_is_known_of_the_mail() -> None:
    (told,) = resolve(reported(finding("ann@GMAIL.test"), token=token())).told
    assert told.make is records.Bounced
    assert told.fields == {
        "message": id_text(REF),
        "recipient": "Ann@gmail.test",
        "tenant": "shop",
        "campaign": "spring",
        "class_": "bulk",
        "tags": {"order": "7"},
        "report": "r1",
        "sender": "news@shop.test",
        "pool": "news",
        "provider": "provider",
        "code": 550,
        "enhanced": "5.1.1",
        "reply": "550 5.1.1 no such user",
        "category": "bad-mailbox",
        "fault": "recipient",
        "rule": "",
        "suppress": True,
        "late": True,
    }


def test_an_exact_token_says_who_whatever_the_report_names() -> None:
    forwarded = reported(
        finding("x@else.test", Category.SYSTEM, action="delayed"),
        finding("y@else.test"),
        token=token(ref=REF + 1, exact=True),
    )
    found = resolve(forwarded)
    assert who(found) == [("Bounced", "bob@mail.test")]
    assert found.told[0].fields["category"] == "bad-mailbox"


def test_of_several_recipients_those_named_are_meant() -> None:
    found = resolve(reported(finding("CY@mail.test"), finding("bob@mail.test"), token=token()))
    assert who(found) == [("Bounced", "cy@mail.test"), ("Bounced", "bob@mail.test")]
    found = resolve(reported(finding("stranger@mail.test"), token=token()))
    assert (found.told, found.unmatched) == ((), "other-recipient")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (token(keys=OTHERS), "forged"),
        (make_token(KEYS, "b", REF, False, NOW - 40 * 86_400), "expired"),
        (token("u"), "other-purpose"),
        ("nonsense", "malformed"),
        (token(ref=77), "unknown-message"),
    ],
)
def test_a_token_that_is_no_good_ends_it_whatever_else_fits(text: str, reason: str) -> None:
    one = reported(finding("bob@mail.test"), token=text, reference=id_text(REF))
    assert resolve(one) == Resolved(unmatched=reason)


def test_without_a_token_ids_lead_to_the_message_and_the_address_must_be_named() -> None:
    for original in (
        {"reference": id_text(REF)},
        {"feedback_id": f"spring:{id_text(REF)}:bulk:shop"},
        {"message_id": f"<{id_text(REF)}.17@mta.shop.test>"},
    ):
        found = resolve(reported(finding("bob@mail.test"), **original))
        assert who(found) == [("Bounced", "bob@mail.test")], original
        found = resolve(reported(finding("x@mail.test"), **original))
        assert (found.told, found.unmatched) == ((), "other-recipient"), original
        found = resolve(reported(finding(""), **original))
        assert found.told == (), "nobody is suppressed on the word of a header alone"
    found = resolve(reported(finding("bob@mail.test"), message_id="<1234@outlook.test>"))
    assert (found.told, found.unmatched) == ((), "unknown-message")
    assert resolve(reported(finding("bob@mail.test"))).unmatched == "no-reference"


def test_a_token_in_the_headers_of_the_original_is_as_good_as_one_in_the_address() -> None:
    exact = token(ref=REF + 2, exact=True)
    one = reported(
        finding("", Category.COMPLAINT, feedback_type="abuse"),
        kind="complaint",
        role="complaint",
        return_path=f"b-{exact}@bounce.shop.test",
    )
    assert who(resolve(one)) == [("Complained", "cy@mail.test")]
    forged = one.found["original"] | {
        "return_path": f"b-{token(keys=OTHERS, exact=True)}@bounce.shop.test"
    }
    fields = {**one.found, "original": forged}
    again = Reported(id="r2", at=one.at, role="complaint", found=fields)
    assert resolve(again).unmatched == "no-reference"


@pytest.mark.parametrize(
    "original",
    [
        {"reference": token("c", REF + 2, exact=True)},
        {"list_unsubscribe": f"<https://news.test/u/{token('u', REF + 2, exact=True).upper()}>"},
        {"list_unsubscribe": f"<mailto:u-{token('u', REF + 2, exact=True)}@n.test?subject=x>"},
        {"return_path": f"prvs=4711abcdef=b-{token('b', REF + 2, exact=True)}@n.test"},
    ],
)
def test_wherever_our_token_stands_in_the_original_it_is_found(original) -> None:
    one = reported(kind="complaint", role="complaint", **original)
    assert who(resolve(one)) == [("Complained", "cy@mail.test")]


def test_a_token_is_good_as_long_as_its_purpose_says() -> None:
    def of(purpose: str, days: int) -> Reported:
        made = make_token(KEYS, purpose, REF, True, NOW - days * 86_400)
        return reported(kind="complaint", role="complaint", token=made)

    assert resolve(of("c", 179)).unmatched == ""
    assert resolve(of("c", 182)).unmatched == "expired"
    assert resolve(of("b", 32)).unmatched == "expired"


def test_a_redacted_complaint_is_about_whom_the_token_names() -> None:
    exact = token("c", REF + 1, exact=True)
    complaint = reported(kind="complaint", role="complaint", token=exact)
    found = resolve(complaint)
    assert who(found) == [("Complained", "bob@mail.test")]
    assert found.told[0].fields["feedback_type"] == "abuse"
    assert found.told[0].fields["reporter"] == "mailer@mx.test"
    whole = reported(kind="complaint", role="complaint", token=token("c"))
    assert resolve(whole).unmatched == "other-recipient", "one of three, and nobody knows which"


@pytest.mark.parametrize(
    ("one", "events", "ignored"),
    [
        (finding("bob@mail.test", action="delayed"), [], 1),
        (finding("bob@mail.test", action="relayed"), [], 1),
        (finding("bob@mail.test", Category.DELIVERED, action=""), [], 1),
        (finding("bob@mail.test", Category.MAILBOX_FULL), ["Bounced"], 0),
    ],
)
def test_only_what_failed_is_an_outcome(one: Finding, events: list[str], ignored: int) -> None:
    found = resolve(reported(one, token=token()))
    assert [name for name, _ in who(found)] == events
    assert (found.ignored, found.unmatched) == (ignored, "")


@pytest.mark.parametrize(
    ("feedback_type", "events"),
    [
        ("abuse", ["Complained"]),
        ("Fraud", ["Complained"]),
        ("opt-out", ["Unsubscribed"]),
        ("not-spam", []),
        ("auth-failure", []),
    ],
)
def test_complaints_by_their_type(feedback_type: str, events: list[str]) -> None:
    one = finding("bob@mail.test", Category.COMPLAINT, feedback_type=feedback_type)
    found = resolve(reported(one, kind="complaint", role="complaint", token=token("c")))
    assert [name for name, _ in who(found)] == events


def test_mail_to_an_unsubscribe_address_needs_its_token() -> None:
    exact = token("u", REF, exact=True)
    asked = reported(kind="other", role="unsubscribe", token=exact)
    (told,) = resolve(asked).told
    assert told.make is records.Unsubscribed
    assert (told.fields["recipient"], told.fields["via"]) == ("Ann@gmail.test", "mailto")
    records.Unsubscribed(id="x", at="y", **told.fields)
    named = finding("bob@mail.test")
    blind = reported(named, kind="other", role="unsubscribe", reference=id_text(REF))
    assert resolve(blind).unmatched == "no-reference"
    bounced = reported(finding("Ann@gmail.test"), role="unsubscribe", token=exact)
    assert resolve(bounced).told == ()


def test_automatic_replies_and_what_is_no_report() -> None:
    exact = token(exact=True)
    reply = reported(finding("", Category.AUTO_REPLY), kind="auto-reply", token=exact)
    assert who(resolve(reply)) == [("AutoReplied", "Ann@gmail.test")]
    assert resolve(reported(kind="other", token=exact)).unmatched == "not-a-report"
    assert resolve(Reported(id="r", at="t", role="bounce")).unmatched == "unreadable"
    assert resolve(reported(finding(), token=exact), keys=None).unmatched == "unknown-key"


def test_every_told_event_can_be_made() -> None:
    for kind, role, purpose in (
        ("bounce", "bounce", "b"),
        ("complaint", "complaint", "c"),
        ("auto-reply", "bounce", "b"),
        ("other", "unsubscribe", "u"),
    ):
        one = reported(
            finding("bob@mail.test", reply_code="²"), kind=kind, role=role, token=token(purpose)
        )
        for told in resolve(one).told:
            assert told.make(id="x", at="y", **told.fields).report == "r1"
