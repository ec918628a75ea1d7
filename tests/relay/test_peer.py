"""Commands say only what the server announced; what it cannot take is refused before it is sent."""

from __future__ import annotations

import pytest

from penstock.relay.peer import Peer
from penstock.smtp.reply import Reply

BARE = Peer()


def test_extensions():
    offered = {"pipelining": "", "size": "1000", "8bitmime": "", "smtputf8": "", "dsn": ""}
    assert Peer.of(offered) == Peer(True, True, 1000, True, True, True)
    assert Peer.of({}) == Peer()


@pytest.mark.parametrize("text", ["", "0", "lots", "-1", "9" * 30, "१"])
def test_size_without_a_usable_limit(text):
    peer = Peer.of({"size": text})
    assert (peer.size, peer.size_max) == (True, 0)


def test_everything_that_is_offered(fake):
    tx = fake.tx(
        recipients=2, eightbit=True, smtputf8=True, ret="HDRS", envid="Q+2B1",
        rcpt_options=("NOTIFY=NEVER", ""),
    )  # fmt: skip
    assert fake.peer.commands(tx) == (
        b"MAIL FROM:<a@example.com> SIZE=21 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=Q+2B1\r\n"
        b"RCPT TO:<a1@example.net> NOTIFY=NEVER\r\n"
        b"RCPT TO:<a2@example.net>\r\n"
        b"DATA\r\n"
    )


def test_nothing_that_is_not_offered(fake):
    tx = fake.tx(eightbit=True, ret="HDRS", envid="1", rcpt_options=("NOTIFY=NEVER",))
    assert BARE.commands(tx) == (
        b"MAIL FROM:<a@example.com>\r\nRCPT TO:<a1@example.net>\r\nDATA\r\n"
    )


def test_null_sender(fake):
    tx = fake.tx()
    tx.sender = ""
    assert BARE.commands(tx).startswith(b"MAIL FROM:<>\r\n")


def test_larger_than_the_limit(fake):
    tx = fake.tx(size=1001)
    refusal = Peer(size=True, size_max=1000).commands(tx)
    assert isinstance(refusal, Reply)
    assert (refusal.code, refusal.enhanced) == (552, "5.3.4")
    assert isinstance(Peer(size=True, size_max=1001).commands(tx), bytes)


@pytest.mark.parametrize("flag", [True, False])
def test_international_addresses_need_smtputf8(fake, flag):
    tx = fake.tx("ж", smtputf8=flag)
    refusal = Peer(eightbit=True).commands(tx)
    assert isinstance(refusal, Reply)
    assert (refusal.code, refusal.enhanced) == (553, "5.6.7")
    line = Peer(smtputf8=True).commands(tx).split(b"\r\n")[0].decode()
    assert line == "MAIL FROM:<ж@example.com> SMTPUTF8"


def test_international_header_alone_needs_smtputf8_too(fake):
    assert isinstance(BARE.commands(fake.tx(smtputf8=True)), Reply)


@pytest.mark.parametrize("bad", ["a>\r\nRSET\r\n@x", "a\n@x", "a\r@x"])
def test_an_address_cannot_bring_commands(fake, bad):
    tx = fake.tx()
    tx.recipients = (bad,)
    refusal = BARE.commands(tx)
    assert isinstance(refusal, Reply)
    assert refusal.code == 553
