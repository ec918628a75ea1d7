"""When the conversation breaks: nothing is lost, nothing is reported twice."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.mail.outcome import Kind
from penstock.relay.peer import Peer

GROUP = "C: MAIL *\nC: RCPT *\nC: DATA\n"
CONTENT = "C: Subject: x\nC:\nC: hello\nC: .\n"
OK = "S: 250 ok\nS: 250 ok\nS: 354 go\n"
FIRST = GROUP + OK + CONTENT


def mid(fake, stage, *transactions, **options):
    """A talk whose first transaction has come to ``stage``."""
    talk = fake.Talk(*transactions, **options)
    return talk.script({"MAIL": GROUP, "FINAL": FIRST}[stage])


def ended(talk):
    assert talk.exchange.closed
    assert talk.wire.dropped
    assert talk.wire.rests == 1
    assert talk.exchange.deadline == float("inf")
    talk.feed.check()
    return talk.feed.told


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("421 4.3.2 bye", ["deferred mail 421"] * 2),
        ("250 ok\r\n421 4.3.2 bye", ["deferred rcpt 421"] * 2),
        ("250 ok\r\n550 no\r\n421 4.3.2 bye", ["bounced rcpt 550", "deferred rcpt 421"]),
        ("250 ok\r\n550 no\r\n250 ok\r\n421 bye", ["bounced rcpt 550", "deferred data 421"]),
        ("550 no\r\n421 bye", ["bounced mail 550"] * 2),
    ],
)
def test_421_defers_the_transaction_that_it_answers(fake, said, told):
    talk = fake.Talk(fake.tx("a", 2))
    talk.exchange.replies(talk.parser.feed(said.encode() + b"\r\n"))
    assert ended(talk) == told


def test_421_to_the_final_dot_puts_the_one_ahead_back(fake):
    talk = mid(fake, "MAIL", fake.tx("a"), fake.tx("b", 2)).script(
        OK + CONTENT + GROUP.replace("C: DATA", "C: RCPT *\nC: DATA") + "S: 421 4.7.0 slow down\n"
    )
    assert ended(talk) == ["deferred final 421", "requeued mail 421", "requeued mail 421"]


def test_421_after_the_final_reply_belongs_to_the_next(fake):
    talk = mid(fake, "MAIL", fake.tx("a"), fake.tx("b")).script(OK + CONTENT + GROUP)
    talk.script("S: 250 ok\nS: 421 4.7.28 rate")
    assert ended(talk) == ["delivered final 250", "deferred mail 421"]


TWO = "C: MAIL *\nC: RCPT *\nC: RCPT *\nC: DATA\n"
ONE_TOO_MANY = "S: 200 hm\nS: 250 so\nS: 250 ok\nS: 550 no such user\n"


@pytest.mark.parametrize("between", ["C: RSET\n", ""])
def test_a_refusal_of_a_recipient_in_the_place_of_the_reply_to_data_bounces_nobody(fake, between):
    """The host answered MAIL twice; the 550 is the second recipient's. Its 354 shows it."""
    talk = fake.Talk(fake.tx("a", 2)).script(TWO + ONE_TOO_MANY + between + "S: 354 go")
    assert ended(talk) == ["deferred data 451", "deferred data 451"]
    assert "out of step" in str(talk.feed.outcomes[0].reply)


def refused(fake):
    """DATA is refused for one that was accepted, beside one that was not."""
    talk = fake.Talk(fake.tx("a", 2))
    return talk.script(TWO + "S: 250 ok\nS: 550 no\nS: 250 ok\nS: 554 spam\nC: RSET")


def test_a_refusal_of_data_counts_when_the_reset_was_answered(fake):
    talk = refused(fake)
    assert talk.feed.told == []
    talk.script("S: 250 ok")
    assert talk.feed.told == ["bounced rcpt 550", "bounced data 554"]
    assert not talk.exchange.closed


def test_a_host_that_closes_after_its_refusal_of_data_meant_it(fake):
    talk = refused(fake)
    talk.exchange.lost()
    assert ended(talk) == ["bounced rcpt 550", "bounced data 554"]


@pytest.mark.parametrize(
    ("end", "told"),
    [
        (lambda talk: talk.exchange.timed_out(), "deferred data 451"),
        (lambda talk: talk.script("S: 421 bye"), "deferred data 421"),
        (lambda talk: talk.script("S: 500 what"), "deferred data 451"),
        (lambda talk: talk.script("S: nonsense"), "deferred data 451"),
        (lambda talk: talk.exchange.abandon(), "requeued data 451"),
    ],
)
def test_a_refusal_of_data_that_was_not_proven_bounces_nobody(fake, end, told):
    talk = refused(fake)
    end(talk)
    assert ended(talk) == [told, told]


def test_421_of_an_idle_server_blames_nobody(fake):
    talk = mid(fake, "FINAL", fake.tx("a")).script("S: 250 ok\nS: 421 4.4.2 idle too long")
    assert ended(talk) == ["delivered final 250"]


def test_421_idle_that_crosses_the_next_mail(fake):
    talk = mid(fake, "FINAL", fake.tx("a")).script("S: 250 ok")
    talk.feed.add(fake.tx("b"))
    talk.exchange.ask()
    talk.script(GROUP + "S: 421 4.4.2 idle too long")
    assert talk.feed.told == ["delivered final 250", "requeued mail 421"]


def test_421_to_a_reset_says_nothing_about_the_next(fake):
    talk = fake.Talk(fake.tx("a"), fake.tx("b")).script(
        GROUP + "S: 250 ok\nS: 550 no\nS: 503 no\nC: RSET\n" + GROUP + "S: 421 bye"
    )
    assert ended(talk) == ["bounced rcpt 550", "requeued mail 421"]


def test_421_instead_of_the_reply_to_a_lone_dot(fake):
    talk = fake.Talk(fake.tx("a"), fake.tx("b")).script(
        GROUP + "S: 250 ok\nS: 550 no\nS: 354 go\nC: .\n" + GROUP + "S: 421 bye"
    )
    assert ended(talk) == ["bounced rcpt 550", "requeued mail 421"]


def test_lost_before_the_dot_on_a_fresh_connection(fake):
    talk = mid(fake, "MAIL", fake.tx("a"))
    talk.exchange.lost()
    assert ended(talk) == ["deferred mail 451"]
    assert talk.feed.outcomes[0].reply.enhanced == "4.4.2"


def test_lost_before_the_dot_keeps_what_was_decided(fake):
    talk = fake.Talk(fake.tx("a", 2))
    talk.exchange.replies(talk.parser.feed(b"250 ok\r\n550 no\r\n"))
    talk.exchange.lost()
    assert ended(talk) == ["bounced rcpt 550", "deferred rcpt 451"]


def test_lost_before_the_dot_on_a_used_connection(fake):
    talk = mid(fake, "MAIL", fake.tx("a"), fake.tx("b")).script(OK + CONTENT + GROUP + "S: 250 ok")
    talk.exchange.lost()
    assert ended(talk) == ["delivered final 250", "requeued mail 451"]


def test_lost_after_the_dot(fake):
    talk = mid(fake, "MAIL", fake.tx("a"), fake.tx("b")).script(OK + CONTENT + GROUP)
    talk.exchange.lost()
    assert ended(talk) == ["deferred final 451", "requeued mail 451"]
    assert "after the final dot; may have been delivered" in talk.feed.outcomes[0].reply.text


def test_lost_while_idle(fake):
    talk = mid(fake, "FINAL", fake.tx("a")).script("S: 250 ok")
    talk.wire.rests = 0
    talk.exchange.lost()
    assert ended(talk) == ["delivered final 250"]


@pytest.mark.parametrize(
    ("stage", "told", "words"),
    [
        ("MAIL", "deferred mail 451", "awaiting the reply to MAIL"),
        ("FINAL", "deferred final 451", "may have been delivered"),
    ],
)
def test_timeout(fake, stage, told, words):
    talk = mid(fake, stage, fake.tx("a"))
    talk.exchange.timed_out()
    assert ended(talk) == [told]
    assert talk.feed.outcomes[0].reply.enhanced == "4.4.2"
    assert words in talk.feed.outcomes[0].reply.text


def test_timeout_while_writing(fake):
    talk = fake.Talk(fake.tx("a", body=(b"x" * 998 + b"\r\n",) * 100))
    talk.wire.writing = False
    talk.exchange.replies(talk.parser.feed(b"250 ok\r\n250 ok\r\n354 go\r\n"))
    talk.exchange.timed_out()
    assert ended(talk) == ["deferred data 451"]
    talk.exchange.write_more()


def test_timeout_while_resting_is_nothing(fake):
    talk = fake.Talk()
    talk.exchange.timed_out()
    assert not talk.exchange.closed


@pytest.mark.parametrize(
    ("stage", "told"), [("MAIL", "requeued mail 451"), ("FINAL", "deferred final 451")]
)
def test_abandoned(fake, stage, told):
    talk = mid(fake, stage, fake.tx("a"))
    talk.exchange.abandon()
    talk.exchange.abandon()
    talk.exchange.lost()
    talk.exchange.timed_out()
    assert ended(talk) == [told]
    talk.exchange.ask()
    assert len(talk.feed.taken) == 1


@pytest.mark.parametrize(
    "said", [b"what?\r\n", b"x" * 5000, b"250-\r\n" * 300, b"334 hm\r\n", b"\x00\xff\r\n"]
)
@pytest.mark.parametrize("stage", ["MAIL", "FINAL"])
def test_garbage(fake, stage, said):
    talk = mid(fake, stage, fake.tx("a"), prefetch=False)
    talk.exchange.replies(talk.parser.feed(said))
    ended(talk)
    (outcome,) = talk.feed.outcomes
    assert outcome.kind is Kind.DEFERRED
    assert (outcome.reply.code, outcome.reply.enhanced) == (451, "4.5.0")


def test_garbage_while_idle(fake):
    talk = fake.Talk()
    talk.wire.rests = 0
    talk.exchange.replies(talk.parser.feed(b"hello?\r\n"))
    assert ended(talk) == []


@pytest.mark.parametrize("early", ["250 ok", "550 no", "354 again"])
def test_an_answer_to_what_was_not_sent_yet(fake, early):
    """A second reply together with the 354 cannot be about content that is not sent."""
    talk = mid(fake, "MAIL", fake.tx("a"))
    talk.exchange.replies(talk.parser.feed(f"250 a\r\n250 b\r\n354 go\r\n{early}\r\n".encode()))
    assert ended(talk) == ["deferred data 451"]
    assert talk.wire.sent == b""


def test_an_answer_before_the_content_has_left(fake):
    talk = mid(fake, "FINAL", fake.tx("a"))
    talk.wire.waiting_bytes = 9000
    talk.exchange.replies(talk.parser.feed(b"250 ok\r\n"))
    assert ended(talk) == ["deferred final 451"]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (b"552 5.3.4 enough\r\n", "bounced data 552"),
        (b"452 4.3.1 full\r\n", "deferred data 452"),
        (b"421 bye\r\n", "deferred data 421"),
        (b"250 thanks\r\n", "deferred data 451"),
    ],
)
def test_an_answer_in_the_middle_of_content(fake, said, told):
    talk = fake.Talk(fake.tx("a", body=(b"x" * 998 + b"\r\n",) * 100))
    talk.wire.writing = False
    talk.exchange.replies(talk.parser.feed(b"250 ok\r\n250 ok\r\n354 go\r\n"))
    talk.exchange.replies(talk.parser.feed(said))
    assert ended(talk) == [told]


@pytest.mark.parametrize("said", ["250 ok\n", "251 ok\n"])
def test_data_wants_354_or_a_refusal(fake, said):
    talk = mid(fake, "MAIL", fake.tx("a")).script(f"S: 250 ok\nS: 250 ok\nS: {said}")
    assert ended(talk) == ["deferred data 451"]


def test_who_was_refused_out_of_step_may_be_another(fake):
    """The dot of the one before is answered twice: from then on each reply is that to the command
    before, and the 550 of the second recipient comes in the place of the third's."""
    talk = fake.Talk(fake.tx("a", 4))
    said = b"250 twice\r\n250 mail\r\n250 first\r\n550 second\r\n250 third\r\n"
    talk.exchange.replies(talk.parser.feed(said))
    assert not talk.exchange.closed
    talk.exchange.replies(talk.parser.feed(b"250 fourth\r\n"))
    assert ended(talk) == ["deferred data 451"] * 4


def test_two_replies_to_one_command_stepwise(fake):
    talk = fake.Talk(fake.tx("a"), peer=Peer())
    talk.wire.sent = b""
    talk.exchange.replies(talk.parser.feed(b"250 ok\r\n250 ok\r\n"))
    assert ended(talk) == ["deferred rcpt 451"]


def test_a_feed_that_raises_keeps_the_promise_for_the_rest(fake):
    talk = mid(fake, "MAIL", fake.tx("a"), fake.tx("b")).script(OK + CONTENT + GROUP)
    done, calls = talk.feed.done, []

    def raises(tx, outcomes):
        calls.append(tx.sender)
        if tx.sender.startswith("a"):
            raise ZeroDivisionError
        done(tx, outcomes)

    talk.feed.done = raises
    with pytest.raises(ZeroDivisionError):
        talk.exchange.lost()
    assert calls == ["a@example.com", "b@example.com"]
    assert talk.wire.rests == 1


codes = st.sampled_from(
    ["250 ok", "250-a\r\n250 b", "354 go", "421 bye", "450 no", "550 no", "334 x", "junk", "220 hi"]
)
events = st.one_of(
    st.lists(codes, min_size=1, max_size=5).map(lambda texts: "\r\n".join(texts) + "\r\n"),
    st.sampled_from(["lost", "timeout", "room", "ask"]),
)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(events, max_size=12), st.booleans(), st.booleans(), st.integers(1, 3))
def test_whatever_happens_each_transaction_is_reported_once(
    fake, happenings, pipelining, prefetch, recipients
):
    big = (b"x" * 998 + b"\r\n",) * 100
    work = [fake.tx("a", recipients), fake.tx("b", recipients, body=big), fake.tx("c")]
    talk = fake.Talk(*work, peer=Peer(pipelining=pipelining), prefetch=prefetch)
    exchange = talk.exchange
    for happening in happenings:
        if happening == "lost":
            exchange.lost()
        elif happening == "timeout":
            exchange.timed_out()
        elif happening == "room":
            talk.wire.writing = not talk.wire.writing
            if talk.wire.writing:
                exchange.write_more()
        elif happening == "ask":
            if exchange.resting:
                exchange.ask()
        elif not exchange.closed:
            exchange.replies(talk.parser.feed(happening.encode()))
    open_now = len(talk.feed.taken) - len(talk.feed.reports)
    assert open_now <= 2
    exchange.abandon()
    assert exchange.closed
    talk.feed.check()
    for tx, outcomes in talk.feed.reports:
        if any(outcome.kind is Kind.DELIVERED for outcome in outcomes):
            assert tx.body[-1] in talk.wire.sent


def test_a_refusal_in_the_place_of_the_reply_to_rset_is_out_of_step(fake):
    """An answer too many has shifted all that follow: nothing on this connection can be trusted,
    and the transaction behind RSET was not begun."""
    talk = fake.Talk(fake.tx("a"), fake.tx("b")).script(
        GROUP + "S: 250 ok\nS: 550 no\nS: 503 no\nC: RSET\n" + GROUP + "S: 554 no recipients"
    )
    assert talk.feed.told == ["bounced rcpt 550", "requeued mail 451"]
    assert talk.exchange.closed
