"""What outgoing mail carries so that what comes back finds it, and that it is signed."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import dkim as dkimpy
import pytest

from penstock.mail.dkim import Signer
from penstock.mail.dkim_keys import keygen, load_key, record_text
from penstock.mail.dkim_ring import KeyRing
from penstock.mail.envelope import Envelope, Recipient
from penstock.mail.verp import Key, TokenKeys, find_token, read_token
from penstock.policy.load import load_policies
from penstock.policy.policies import Policies
from penstock.relay.build import Builder
from penstock.relay.lane import Batch, Ticket
from penstock.relay.ports import Transaction
from penstock.relay.spool import Stored
from penstock.relay.stamp import Stamp

NOW = 1_790_000_000.0
KEYS = TokenKeys([Key("0", b"k" * 32)])
REF = 7 << 48 | 1000
CONTENT = b"From: Shop <news@shop.example>\r\nTo: ann@a.example\r\nSubject: x\r\n\r\nbody\r\n"
ALL = """\
[tenant.shop.feedback]
bounce_domain = "b.shop.example"
unsubscribe_url = "https://u.shop.example/u/"
unsubscribe_domain = "b.shop.example"
feedback_id = "shopmail"
cfbl_domain = "fbl.mailer.example"
postmaster_msgtype = "shop-news"
"""


def policies_of(text: str) -> Policies:
    loaded = load_policies({"tenants.toml": text})
    assert isinstance(loaded, Policies), "\n".join(map(str, loaded))
    return loaded


def batch_of(
    content: bytes = CONTENT, people: int = 1, notify: tuple[str, ...] = (), **fields: Any
) -> Batch:
    values = {"tenant": "shop", "campaign": "spring", "class_": "bulk"} | fields
    sender = values.pop("sender", "app@shop.example")
    envelope = Envelope(sender, [], NOW, REF, **values)
    stored = [
        Stored(
            envelope, Recipient(f"p{n}@a.example", notify, f"rfc822;p{n}@a.example"), content, b""
        )
        for n in range(people)
    ]
    return Batch([REF + n for n in range(people)], stored)


@pytest.fixture(scope="module")
def ring() -> KeyRing:
    key = load_key(keygen("ed25519"))
    return KeyRing([Signer("shop.example", "s", key), Signer("mailer.example", "s", key)])


@pytest.fixture
def dns(ring: KeyRing) -> Callable[..., bytes]:
    text = record_text(ring.find("shop.example")[0].key).encode()
    return lambda name, timeout=5: text


def built(policy: str, batch: Batch, ring: KeyRing | None = None) -> tuple[Transaction, Ticket]:
    builder = Builder(ring or KeyRing(), lambda: NOW, Stamp(KEYS, policies_of(policy), lambda: NOW))
    ticket = Ticket(SimpleNamespace(), batch, 0.0)  # type: ignore[arg-type]
    return builder.build(batch, ticket), ticket


def message_of(tx: Transaction) -> Any:
    content = b"".join(tx.body)
    assert len(content) == tx.size
    assert content.endswith(CONTENT[-10:])
    return email.message_from_bytes(content, policy=email.policy.SMTP)


def token_in(text: str) -> Any:
    found = find_token(text)
    assert found is not None
    token = read_token(KEYS, found.token, NOW, 0)
    assert token.purpose == found.purpose
    return token


def test_one_recipient_has_tokens_of_its_own() -> None:
    tx, ticket = built(ALL, batch_of())
    assert tx.sender.endswith("@b.shop.example")
    assert token_in(tx.sender)[:3] == ("b", REF, True)
    assert tx.recipients == ("p0@a.example",)
    assert ticket.returns_to_us
    message = message_of(tx)
    assert read_token(KEYS, message["X-Penstock-Ref"], NOW, 0)[:3] == ("c", REF, True)
    assert message["Feedback-ID"] == "spring:shop:bulk:shopmail"
    assert message["X-Postmaster-Msgtype"] == "shop-news"
    cfbl, _, rest = message["CFBL-Address"].partition(";")
    assert token_in(cfbl)[:3] == ("c", REF, True)
    assert rest == " report=arf"
    https, mailto = (one.strip() for one in message["List-Unsubscribe"].split(","))
    assert https.startswith("<https://u.shop.example/u/")
    token = read_token(KEYS, https.removesuffix(">").rpartition("/")[2], NOW, 0)
    assert token[:3] == ("u", REF, True)
    assert mailto.startswith("<mailto:u-")
    assert mailto.endswith("@b.shop.example?subject=unsubscribe>")
    assert token_in(mailto) == token
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


def test_several_recipients_share_the_tokens_of_the_message() -> None:
    batch = batch_of(people=3, class_="triggered")
    later = Batch(batch.refs[1:], batch.stored[1:])
    tx, _ = built(ALL, later)
    assert token_in(tx.sender)[:3] == ("b", REF, False)
    message = message_of(tx)
    assert read_token(KEYS, message["X-Penstock-Ref"], NOW, 0)[:3] == ("c", REF, False)
    assert "List-Unsubscribe" not in message


@pytest.mark.parametrize("class_", ["transactional", "triggered", ""])
def test_only_bulk_names_a_way_out(class_: str) -> None:
    message = message_of(built(ALL, batch_of(class_=class_))[0])
    assert "List-Unsubscribe" not in message
    assert message["Feedback-ID"] == f"spring:shop:{class_ or 'triggered'}:shopmail"


def test_the_class_is_the_one_that_policy_decides() -> None:
    policy = '[tenant.shop]\nclass = "bulk"\n' + ALL
    message = message_of(built(policy, batch_of(class_=""))[0])
    assert "List-Unsubscribe" in message
    assert message["Feedback-ID"] == "spring:shop:bulk:shopmail"


def test_what_the_message_has_of_its_own_stays() -> None:
    own = (
        b"list-unsubscribe: <mailto:mine@shop.example>\r\nFEEDBACK-ID: a:b:c:mine1\r\n"
        b"CFBL-Address: me@shop.example\r\nx-postmaster-msgtype: mine\r\n"
    )
    message = message_of(built(ALL, batch_of(own + CONTENT))[0])
    for name, value in (
        ("List-Unsubscribe", "<mailto:mine@shop.example>"),
        ("Feedback-ID", "a:b:c:mine1"),
        ("CFBL-Address", "me@shop.example"),
        ("X-Postmaster-Msgtype", "mine"),
    ):
        assert message.get_all(name) == [value]
    assert "List-Unsubscribe-Post" not in message


def test_the_null_sender_stays_and_its_mail_is_left_alone(ring: KeyRing) -> None:
    tx, ticket = built(ALL, batch_of(sender=""))
    assert tx.sender == ""
    assert list(tx.body) == [CONTENT]
    assert not ticket.returns_to_us


def test_who_has_no_settings_gets_nothing() -> None:
    tx, ticket = built(ALL, batch_of(tenant="other"))
    assert (tx.sender, list(tx.body)) == ("app@shop.example", [CONTENT])
    assert not ticket.returns_to_us


def test_headers_without_a_bounce_domain_leave_the_sender_alone() -> None:
    policy = '[tenant."*".feedback]\nfeedback_id = "shopmail"\n'
    batch = batch_of(tenant="", notify=("SUCCESS",), ret="FULL")
    tx, ticket = built(policy, batch)
    assert tx.sender == "app@shop.example"
    assert tx.rcpt_options == ("NOTIFY=SUCCESS ORCPT=rfc822;p0@a.example",)
    assert tx.ret == "FULL"
    assert not ticket.returns_to_us
    assert message_of(tx)["Feedback-ID"] == "spring::bulk:shopmail"


def test_reports_that_come_to_us_are_not_asked_for_in_the_senders_words() -> None:
    """RFC 3461 5.2.7.3: what NOTIFY asks for is ours to tell, once the return path is ours."""
    tx, _ = built(ALL, batch_of(notify=("SUCCESS", "FAILURE"), ret="FULL", envid="QQ1"))
    assert tx.rcpt_options == ("ORCPT=rfc822;p0@a.example",)
    assert (tx.ret, tx.envid) == ("HDRS", "QQ1")


def _signed(content: bytes) -> list[tuple[str, list[str]]]:
    """Of each signature: its domain, and the fields that it covers."""
    found = []
    for value in email.message_from_bytes(content).get_all("DKIM-Signature", []):
        tags = {
            name.strip(): "".join(text.split())
            for name, _, text in (tag.partition("=") for tag in value.split(";"))
        }
        found.append((tags["d"], tags["h"].split(":")))
    return found


def _verifies(content: bytes, dns: Callable[..., bytes]) -> bool:
    try:
        return bool(dkimpy.DKIM(content).verify(0, dnsfunc=dns))
    except dkimpy.ValidationError:
        return False


def test_the_fields_are_signed_and_the_signature_holds(
    ring: KeyRing, dns: Callable[..., bytes]
) -> None:
    tx, _ = built(ALL, batch_of(), ring)
    content = b"".join(tx.body)
    message_of(tx)
    signed = _signed(content)
    assert [domain for domain, _ in signed] == ["shop.example", "mailer.example"]
    for number, (_, names) in enumerate(signed):
        assert dkimpy.DKIM(content).verify(number, dnsfunc=dns)
        assert names.count("list-unsubscribe") == 2  # and one over, so that none can be added
        assert names.count("list-unsubscribe-post") == 2
        assert {"feedback-id", "cfbl-address", "x-postmaster-msgtype"} <= set(names)
    for was, now in (
        (b"One-Click", b"Two-Click"),
        (b"shopmail", b"shopmale"),
        (b"report=arf", b"report=axf"),
        (b"https://u.shop", b"https://v.shop"),
        (b"body", b"bodi"),
    ):
        assert was in content
        assert not _verifies(content.replace(was, now), dns)


def test_a_complaint_address_below_the_author_needs_one_signature(
    ring: KeyRing, dns: Callable[..., bytes]
) -> None:
    policy = '[tenant.shop.feedback]\ncfbl_domain = "fbl.shop.example"\n'
    content = b"".join(built(policy, batch_of(), ring)[0].body)
    assert [domain for domain, _ in _signed(content)] == ["shop.example"]
    assert dkimpy.DKIM(content).verify(0, dnsfunc=dns)
