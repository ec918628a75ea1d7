"""Transactions as dialogues, without a socket: what is said when, and what becomes of whom."""

from __future__ import annotations

import pytest

from penstock.relay.peer import Peer

STEPWISE = Peer(size=True)


def test_one_message_is_one_group_and_one_content(fake):
    talk = fake.Talk(fake.tx("a")).script("""
        C: MAIL FROM:<a@example.com> SIZE=21
        C: RCPT TO:<a1@example.net>
        C: DATA
        S: 250 2.1.0 ok
        S: 250 2.1.5 ok
        S: 354 go
        C: Subject: x
        C:
        C: hello
        C: .
        S: 250 2.0.0 queued as 1
    """)
    (outcome,) = talk.feed.outcomes
    assert talk.feed.told == ["delivered final 250"]
    assert (outcome.host, outcome.address) == ("mx.example", "192.0.2.1")
    assert outcome.reply.text == "queued as 1"
    assert talk.exchange.resting
    assert talk.wire.rests == 1
    assert talk.exchange.used == 1


def test_the_next_commands_ride_behind_the_content(fake):
    talk = fake.Talk(fake.tx("a"), fake.tx("b"), fake.tx("c")).script("""
        C: MAIL FROM:<a@*
        C: RCPT *
        C: DATA
        S: 250 ok
        S: 250 ok
        S: 354 go
        C: Subject: x
        C:
        C: hello
        C: .
        C: MAIL FROM:<b@*
        C: RCPT *
        C: DATA
        S: 250 first
        S: 250 ok
        S: 550 5.1.1 unknown
        S: 554 5.5.1 no valid recipients
        C: RSET
        C: MAIL FROM:<c@*
        C: RCPT *
        C: DATA
        S: 250 reset
        S: 250 ok
        S: 250 ok
        S: 354 go
        C: Subject: x
        C:
        C: hello
        C: .
        S: 451 4.7.1 later
    """)
    assert talk.feed.told == ["delivered final 250", "bounced rcpt 550", "deferred final 451"]
    talk.feed.check()


def test_without_prefetch_each_message_waits_for_the_last(fake):
    talk = fake.Talk(fake.tx("a"), fake.tx("b"), prefetch=False).script("""
        C: MAIL *
        C: RCPT *
        C: DATA
        S: 250 ok
        S: 250 ok
        S: 354 go
        C: Subject: x
        C:
        C: hello
        C: .
        S: 250 first
        C: MAIL FROM:<b@*
        C: RCPT *
        C: DATA
    """)
    assert len(talk.feed.reports) == 1


def test_stepwise_without_pipelining(fake):
    talk = fake.Talk(fake.tx("a", 2), fake.tx("b"), peer=STEPWISE).script("""
        C: MAIL *
        S: 250 ok
        C: RCPT TO:<a1@*
        S: 250 ok
        C: RCPT TO:<a2@*
        S: 450 4.2.1 busy
        C: DATA
        S: 354 go
        C: Subject: x
        C:
        C: hello
        C: .
        S: 250 ok
        C: MAIL FROM:<b@*
        S: 501 5.1.7 bad
    """)
    assert talk.feed.told == ["delivered final 250", "deferred rcpt 450", "bounced mail 501"]


def test_stepwise_all_recipients_refused_needs_a_reset(fake):
    talk = fake.Talk(fake.tx("a", 2), fake.tx("b"), peer=STEPWISE).script("""
        C: MAIL *
        S: 250 ok
        C: RCPT *
        S: 550 no
        C: RCPT *
        S: 450 no
        C: RSET
        S: 250 ok
        C: MAIL FROM:<b@*
        S: 250 ok
        C: RCPT *
        S: 250 ok
        C: DATA
        S: 451 4.3.0 no
        C: RSET
        S: 250 ok
    """)
    assert talk.feed.told == ["bounced rcpt 550", "deferred rcpt 450", "deferred data 451"]


def test_each_recipient_has_its_own_reply(fake):
    talk = fake.Talk(fake.tx("a", 5)).script("""
        C: MAIL *
        C: RCPT *
        C: RCPT *
        C: RCPT *
        C: RCPT *
        C: RCPT *
        C: DATA
        S: 250 ok
        S: 250 ok
        S: 550 5.1.1 unknown
        S: 251 will forward
        S: 452 4.2.2 full
        S: 552 5.2.2 full for good
        S: 354 go
        C: Subject: x
        C:
        C: hello
        C: .
        S: 550 5.7.1 spam
    """)
    assert talk.feed.told == [
        "bounced final 550",
        "bounced rcpt 550",
        "bounced final 550",
        "deferred rcpt 452",
        "bounced rcpt 552",
    ]


@pytest.mark.parametrize(
    ("replies", "kinds"),
    [
        (["250 ok", "552 too many"], ["delivered", "deferred"]),
        (["250 ok", "552 5.5.3 too many"], ["delivered", "deferred"]),
        (["552 no", "250 ok"], ["bounced", "delivered"]),
    ],
)
def test_552_after_an_accepted_recipient_means_too_many(fake, replies, kinds):
    talk = fake.Talk(fake.tx("a", 2)).script(f"""
        C: MAIL *
        C: RCPT *
        C: RCPT *
        C: DATA
        S: 250 ok
        S: {replies[0]}
        S: {replies[1]}
        S: 354 go
        C: Subject: x
        C:
        C: hello
        C: .
        S: 250 ok
    """)
    assert [outcome.kind.value for outcome in talk.feed.outcomes] == kinds


def test_nobody_accepted_but_354_gets_a_lone_dot(fake):
    talk = fake.Talk(fake.tx("a", 2), fake.tx("b")).script("""
        C: MAIL FROM:<a@*
        C: RCPT *
        C: RCPT *
        C: DATA
        S: 250 ok
        S: 550 5.1.1 no
        S: 450 4.1.1 no
        S: 354 go
        C: .
        C: MAIL FROM:<b@*
        C: RCPT *
        C: DATA
    """)
    assert talk.feed.told == ["bounced rcpt 550", "deferred rcpt 450"]
    talk.script("""
        S: 250 an empty message, how nice
        S: 250 ok
        S: 250 ok
        S: 354 go
        C: Subject: x
        C:
        C: hello
        C: .
        S: 250 ok
    """)
    assert talk.feed.told[2:] == ["delivered final 250"]
    assert talk.exchange.used == 2


@pytest.mark.parametrize(
    ("reply", "told"),
    [("550 5.7.1 go away", "bounced mail 550"), ("450 4.7.1 slow", "deferred mail 450")],
)
def test_mail_refused_is_about_everybody(fake, reply, told):
    talk = fake.Talk(fake.tx("a", 2)).script(f"""
        C: MAIL *
        C: RCPT *
        C: RCPT *
        C: DATA
        S: {reply}
        S: 503 5.5.1 no MAIL
        S: 503 5.5.1 no MAIL
        S: 503 5.5.1 no MAIL
    """)
    assert talk.feed.told == [told, told]


def test_mail_refused_and_the_rest_accepted_sends_nothing(fake):
    talk = fake.Talk(fake.tx("a")).script("""
        C: MAIL *
        C: RCPT *
        C: DATA
        S: 550 5.7.1 go away
        S: 250 ok
        S: 354 go
        C: .
        S: 554 no
    """)
    assert talk.feed.told == ["bounced mail 550"]
    assert not talk.exchange.closed


def test_data_refused_is_about_the_accepted(fake):
    talk = fake.Talk(fake.tx("a", 2), fake.tx("b")).script("""
        C: MAIL *
        C: RCPT *
        C: RCPT *
        C: DATA
        S: 250 ok
        S: 250 ok
        S: 550 5.1.1 no
        S: 451 4.3.2 not now
        C: RSET
        S: 250 ok
        C: MAIL FROM:<b@*
        C: RCPT *
        C: DATA
    """)
    assert talk.feed.told == ["deferred data 451", "bounced rcpt 550"]


def test_what_the_peer_cannot_take_is_refused_without_a_byte(fake):
    peer = Peer(pipelining=True, size=True, size_max=100)
    talk = fake.Talk(fake.tx("a", 2, size=101), fake.tx("ж"), fake.tx("b"), peer=peer).script("""
        C: MAIL FROM:<b@* SIZE=21
        C: RCPT *
        C: DATA
    """)
    assert talk.feed.told == ["bounced mail 552", "bounced mail 552", "bounced mail 553"]
    assert talk.feed.outcomes[0].reply.enhanced == "5.3.4"
    assert talk.feed.outcomes[2].reply.enhanced == "5.6.7"


def test_no_recipients_is_no_transaction(fake):
    talk = fake.Talk(fake.tx("a", 0))
    assert talk.feed.reports == [(talk.feed.taken[0], [])]
    assert talk.wire.sent == b""


def test_messages_per_connection(fake):
    talk = fake.Talk(*(fake.tx(name) for name in "abc"), messages_per_connection=2).script("""
        C: MAIL FROM:<a@*
        C: RCPT *
        C: DATA
        S: 250 ok
        S: 250 ok
        S: 354 go
        C: Subject: x
        C:
        C: hello
        C: .
        C: MAIL FROM:<b@*
        C: RCPT *
        C: DATA
        S: 250 ok
        S: 250 ok
        S: 250 ok
        S: 354 go
        C: Subject: x
        C:
        C: hello
        C: .
        S: 250 ok
    """)
    assert talk.exchange.full
    assert talk.exchange.resting
    assert talk.wire.rests == 1
    assert len(talk.feed.waiting) == 1


def test_large_content_follows_the_room_in_the_wire(fake):
    line = b"x" * 998 + b"\r\n"
    big = fake.tx("a", body=(line * 300,))
    talk = fake.Talk(big, fake.tx("b"))
    talk.wire.sent = b""
    talk.wire.writing = False
    talk.exchange.replies(talk.parser.feed(b"250 ok\r\n250 ok\r\n354 go\r\n"))
    assert talk.wire.sent == b""
    assert len(talk.feed.taken) == 1  # nothing is taken ahead before its turn
    deadline = talk.exchange.deadline
    talk.now += 10
    talk.wire.writing = True
    talk.exchange.write_more()
    assert talk.exchange.deadline > deadline
    content, end, group = talk.wire.sent.partition(b"\r\n.\r\n")
    assert content + b"\r\n" == line * 300
    assert end
    assert group.startswith(b"MAIL FROM:<b@")
    talk.wire.sent = b""
    talk.exchange.write_more()  # room again, but all is written
    talk.script("S: 250 ok")
    assert talk.feed.told == ["delivered final 250"]


def test_deadlines_are_those_of_the_awaited_reply(fake):
    talk = fake.Talk(
        fake.tx("a"), command_timeout_s=5, data_timeout_s=7, final_timeout_s=11, prefetch=False
    )
    assert talk.exchange.deadline == 1005
    talk.now = 1001
    talk.wire.sent = b""
    talk.exchange.replies(talk.parser.feed(b"250 ok\r\n250 ok\r\n"))
    assert talk.exchange.deadline == 1006
    talk.exchange.replies(talk.parser.feed(b"354 go\r\n"))
    assert talk.exchange.deadline == 1012
    talk.exchange.replies(talk.parser.feed(b"250 ok\r\n"))
    assert talk.exchange.deadline == float("inf")
