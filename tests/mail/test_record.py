"""What the queue keeps for us comes back as it was, also from writers of other times."""

from __future__ import annotations

from dataclasses import replace

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.mail.envelope import Envelope, Recipient
from penstock.mail.record import (
    BadRecord,
    Key,
    pack_envelope,
    pack_key,
    pack_recipient,
    unpack_envelope,
    unpack_key,
    unpack_recipient,
)

text = st.text(st.characters(codec="utf-8"), max_size=20)
envelopes = st.builds(
    Envelope,
    sender=text,
    recipients=st.just([]),
    received_at=st.floats(0, 1e11),
    ref=st.integers(0, 2**64 - 1),
    tenant=text,
    campaign=text,
    account=text,
    client=text,
    ret=text,
    envid=text,
    smtputf8=st.booleans(),
    eightbit=st.booleans(),
    expires_at=st.floats(0, 1e11),
    tags=st.dictionaries(text, text, max_size=3),
    dotted=st.booleans(),
    class_=text,
    pool=text,
    deliver_at=st.floats(0, 1e11),
    tls=st.sampled_from(["", "require", "relax"]),
    metadata=st.dictionaries(text, text, max_size=3),
)
recipients = st.builds(
    Recipient, address=text, notify=st.lists(text, max_size=3).map(tuple), orcpt=text
)


@given(envelopes)
def test_envelopes_come_back(envelope: Envelope) -> None:
    assert unpack_envelope(pack_envelope(envelope)) == envelope


@given(recipients)
def test_recipients_come_back(recipient: Recipient) -> None:
    assert unpack_recipient(pack_recipient(recipient)) == recipient


@given(text, text, text, text, text)
def test_keys_come_back(domain: str, tenant: str, campaign: str, class_: str, pool: str) -> None:
    key = Key(domain, tenant, campaign, class_, pool)
    assert unpack_key(pack_key(*key)) == key


@given(text, text, text)
def test_a_key_of_neither_class_nor_pool_is_written_as_ever(
    domain: str, tenant: str, campaign: str
) -> None:
    """Else the queue of before would hold other lanes than mail of today."""
    as_ever = msgpack.packb([domain, tenant, campaign])
    assert pack_key(domain, tenant, campaign) == pack_key(domain, tenant, campaign, "", "")
    assert pack_key(domain, tenant, campaign) == as_ever
    assert unpack_key(as_ever) == Key(domain, tenant, campaign, "", "")


@given(envelopes)
def test_a_record_grows_only_by_what_is_said(envelope: Envelope) -> None:
    plain = replace(envelope, class_="", pool="", deliver_at=0.0, tls="", metadata={})
    assert len(msgpack.unpackb(pack_envelope(plain))) == 13
    said = envelope.class_ or envelope.pool or envelope.deliver_at
    length = 18 if envelope.metadata else 17 if envelope.tls else 16 if said else 13
    assert len(msgpack.unpackb(pack_envelope(envelope))) == length


def test_key_fields_are_not_confused() -> None:
    parts = [
        ("a", "b", "c"),
        ("a", "b", "c", "d"),
        ("a", "b", "c", "", "d"),
        ("a", "b", "c", "d", "d"),
        ("ab", "", "c"),
        ("a", "bc", ""),
        ("a\0b", "c", ""),
        ("a", "b\0c", ""),
    ]
    assert len({pack_key(*part) for part in parts}) == len(parts)


def test_recipients_of_an_envelope_are_not_in_its_record() -> None:
    envelope = Envelope("a@b", [Recipient("c@d")], 1.0)
    assert unpack_envelope(pack_envelope(envelope)).recipients == []


def test_a_plain_recipient_is_small() -> None:
    assert len(pack_recipient(Recipient("a@example.com"))) == len("a@example.com") + 3


def test_fields_added_later_are_passed_over() -> None:
    envelope = Envelope("a@b", [], 1.0, tags={"k": "v"})
    envelope = replace(envelope, class_="bulk", pool="p", deliver_at=2.0, tls="relax")
    envelope = replace(envelope, metadata={"order": "7"})
    later = msgpack.packb([*msgpack.unpackb(pack_envelope(envelope)), "new", {"more": 1}])
    assert unpack_envelope(later) == envelope
    recipient = Recipient("a@b", ("NEVER",), "rfc822;a@b")
    later = msgpack.packb([*msgpack.unpackb(pack_recipient(recipient)), "new"])
    assert unpack_recipient(later) == recipient
    later = msgpack.packb([*msgpack.unpackb(pack_key("a", "b", "c", "d", "e", "f")), "new"])
    assert unpack_key(later) == ("a", "b", "c", "d", "e", "f")


def test_fields_missing_from_before_have_defaults() -> None:
    fields = msgpack.unpackb(pack_envelope(Envelope("a@b", [], 1.0, 7, tenant="t")))
    for count in range(5, len(fields)):
        assert unpack_envelope(msgpack.packb(fields[:count])) == Envelope(
            "a@b", [], 1.0, 7, tenant="t"
        )
    said = replace(Envelope("a@b", [], 1.0), class_="bulk", pool="p", deliver_at=2.0)
    fields = msgpack.unpackb(pack_envelope(said))
    assert unpack_envelope(msgpack.packb(fields[:15])) == replace(said, deliver_at=0.0)
    assert unpack_key(msgpack.packb(["a", "b", "c", "bulk"])) == Key("a", "b", "c", "bulk", "")
    assert unpack_key(pack_key("a", "b", "c", "", "", "relax")).tls == "relax"
    assert unpack_key(pack_key("a", "b", "c", "bulk")).tls == ""
    assert unpack_recipient(msgpack.packb([1, "a@b", ["NEVER"]])) == Recipient("a@b", ("NEVER",))


def test_defaults_are_not_shared() -> None:
    short = msgpack.packb([1, "a@b"])
    unpack_envelope(short).tags["k"] = "v"
    assert unpack_envelope(short).tags == {}


@pytest.mark.parametrize("bad", [b"", b"\xc1", b"\x01", msgpack.packb([1]), msgpack.packb("x")])
def test_no_records(bad: bytes) -> None:
    for unpack in (unpack_envelope, unpack_recipient, unpack_key):
        with pytest.raises(BadRecord, match="not a"):
            unpack(bad)


def test_another_version_is_refused_by_name() -> None:
    with pytest.raises(BadRecord, match="version 2"):
        unpack_envelope(msgpack.packb([2, "a@b"]))
    with pytest.raises(BadRecord, match="version 2"):
        unpack_recipient(msgpack.packb([2, "a@b"]))
