"""Each behaviour of a fake provider, over a real socket, in its own words."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from penstock.sim import session
from penstock.sim.certificate import server_context
from penstock.sim.providers import GENERIC, GMAIL, MAILRU, MICROSOFT, NAMED, YAHOO, YANDEX, Spread


async def test_a_whole_dialogue(provide, dial):
    provider = await provide()
    line = await dial(provider.port, greet=False)
    assert (await line.reply()) == "220 mx.example ESMTP"
    assert (await line.say("EHLO me")).split("\n") == [
        "250-mx.example",
        "250-SIZE 50000000",
        "250-8BITMIME",
        "250-SMTPUTF8",
        "250-PIPELINING",
        "250 ENHANCEDSTATUSCODES",
    ]
    assert await line.say("NOOP") == "250 2.0.0 Ok"
    assert (await line.deliver()).startswith("250 2.0.0 Ok: queued as ")
    assert await line.say("RSET") == "250 2.0.0 Ok"
    assert (await line.say("HELO me")) == "250 mx.example"
    assert await line.say("QUIT") == "221 2.0.0 mx.example closing connection"
    assert await line.ended()
    assert provider.stats() == {
        "connections": 1,
        "accepted": 1,
        "recipients": 1,
        "bytes": 18,
        "open": 0,
    }


async def test_mistakes_are_told(provide, dial):
    provider = await provide(size_max=1000, recipients_max=1)
    line = await dial(provider.port, greet=False)
    await line.reply()
    for command, reply in [
        ("MAIL FROM:<a@b.c>", "503 5.5.1"),
        ("EHLO me", "250"),
        ("BREW coffee", "502 5.5.2"),
        ("RCPT TO:<a@b.c>", "503 5.5.1"),
        ("DATA", "503 5.5.1"),
        ("MAIL FROM:a@b.c", "501 5.1.7"),
        ("MAIL FROM:<a@b.c> SIZE=1001", "552 5.3.4"),
        ("MAIL FROM:<a@b.c> BODY=8BITMIME SIZE=x", "250"),
        ("MAIL FROM:<a@b.c>", "503 5.5.1"),
        ("RCPT TO:<>", "501 5.1.3"),
        ("DATA", "503 5.5.1"),
        ("RCPT TO:<x@y.z>", "250"),
        ("RCPT TO:<x2@y.z>", "452 4.5.3"),
        ("STARTTLS", "502 5.5.1"),
    ]:
        assert (await line.say(command)).startswith(reply), command


async def test_a_line_without_end_is_cut_off(provide, dial):
    provider = await provide()
    line = await dial(provider.port)
    assert (await line.say("NOOP " + "x" * 3000)).startswith("250")
    line.writer.write(b"y" * 5000)
    assert (await line.reply()).startswith("500 5.5.6")
    assert await line.ended()


async def test_content_too_big_is_refused_at_the_dot(provide, dial):
    provider = await provide(size_max=100)
    line = await dial(provider.port)
    assert (await line.deliver(content="x" * 200 + "\r\n")).startswith("552 5.3.4")
    assert (await line.deliver(content="x" * 20 + "\r\n")).startswith("250")
    assert provider.stats()["too_big"] == 1


@pytest.mark.parametrize("cut", range(1, 22))
async def test_content_ends_where_it_ends_however_it_arrives(cut, provide, dial):
    taken = []
    provider = await provide(on_message=taken.append)
    line = await dial(provider.port)
    for command in ("MAIL FROM:<a@b.c>", "RCPT TO:<x@y.z>", "DATA"):
        await line.say(command)
    wire = b"..a\r\n.\rb\r\n.c\r\n.\r\nNOOP\r\n"
    line.writer.write(wire[:cut])
    await line.writer.drain()
    await asyncio.sleep(0)
    line.writer.write(wire[cut:])
    assert (await line.reply()).startswith("250 2.0.0 Ok: queued")
    assert (await line.reply()) == "250 2.0.0 Ok"
    assert [message.content for message in taken] == [b"..a\r\n.\rb\r\n.c\r\n"]
    assert provider.stats()["bytes"] == len(taken[0].content)


def test_content_ends_where_it_ends_byte_by_byte(session_without_socket):
    """The same without a network between, which may join what was sent apart."""
    one, sent, taken = session_without_socket
    for text in (b"EHLO x\r\nMAIL FROM:<a@b.c>\r\n", b"RCPT TO:<x@y.z>\r\nDATA\r\n"):
        for byte in text:
            one.data_received(bytes([byte]))
    for byte in b".\r\n":
        one.data_received(bytes([byte]))
    assert taken[-1].content == b""
    one.data_received(b"MAIL FROM:<a@b.c>\r\nRCPT TO:<x@y.z>\r\nDATA\r\n")
    for byte in b"x\r\n.\rb\n.\n\r\n..\r\n.\r\nQUIT\r\n":
        one.data_received(bytes([byte]))
    assert taken[-1].content == b"x\r\n.\rb\n.\n\r\n..\r\n"
    assert b"".join(sent).endswith(b"closing connection\r\n")
    assert sum(len(message.content) for message in taken) == one._behaviour.counts["bytes"]


@pytest.fixture
def session_without_socket():
    loop = asyncio.new_event_loop()
    sent, taken = [], []

    class Transport:
        def get_extra_info(self, name):
            return ("192.0.2.9", 1)

        def write(self, data):
            sent.append(data)

        def close(self):
            pass

    async def make():
        from penstock.sim.providers import patient
        from penstock.sim.server import Provider

        return Provider(patient(GENERIC), on_message=taken.append)

    provider = loop.run_until_complete(make())
    one = session.Session(provider)
    one.connection_made(Transport())
    yield one, sent, taken
    one.connection_lost(None)
    loop.close()


async def test_a_pipelined_group_is_answered_in_order(provide, dial):
    provider = await provide(latency=1.0, command_ms=Spread(1, 2), final_ms=Spread(2, 4))
    line = await dial(provider.port)
    line.writer.write(
        b"MAIL FROM:<a@b.c>\r\nRCPT TO:<x@y.z>\r\nRCPT TO:<unknown1@y.z>\r\nDATA\r\n"
        b"hello\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<x@y.z>\r\nDATA\r\nagain\r\n.\r\nQUIT\r\n"
    )
    codes = [(await line.reply())[:3] for _ in range(10)]
    assert codes == ["250", "250", "550", "354", "250", "250", "250", "354", "250", "221"]
    assert await line.ended()


async def test_latency_is_waited_for(provide, dial):
    provider = await provide(latency=1.0, command_ms=Spread(30, 31), final_ms=Spread(60, 61))
    loop = asyncio.get_running_loop()
    line = await dial(provider.port)
    start = loop.time()
    await line.say("NOOP")
    assert loop.time() - start >= 0.029
    start = loop.time()
    await line.deliver()
    assert loop.time() - start >= 3 * 0.029 + 0.059


async def test_what_arrives_during_a_delay_is_held_within_bounds(provide, dial, monkeypatch):
    monkeypatch.setattr(session, "HELD_BYTES_MAX", 100)
    provider = await provide(latency=1.0, command_ms=Spread(5, 6))
    line = await dial(provider.port)
    line.writer.write(b"NOOP\r\n")
    line.writer.write(b"NOOP\r\n" * 200)
    assert [await line.reply() for _ in range(201)] == ["250 2.0.0 Ok"] * 201


async def test_latency_sequences_repeat(provide):
    a = await provide(GMAIL)
    b = await provide(GMAIL)
    spread = Spread(1, 1000)
    a._latency = b._latency = 0.001
    draws = [[p.draw_s(rng, spread) for rng in [p.session_rng()] for _ in range(5)] for p in (a, b)]
    assert draws[0] == draws[1]
    assert len(set(draws[0])) == 5


async def test_a_connection_too_many_gets_421(provide, dial):
    provider = await provide(MICROSOFT, connections_max=2)
    first = await dial(provider.port)
    await dial(provider.port)
    third = await dial(provider.port, greet=False)
    reply = await third.reply()
    assert reply.startswith("421 4.3.2 The maximum number of concurrent connections has exceeded")
    assert await third.ended()
    await first.say("QUIT")
    assert await first.ended()
    await dial(provider.port)
    assert provider.stats()["refused_connections"] == 1


async def test_a_connection_used_up_gets_421(provide, dial):
    provider = await provide(YAHOO, messages_per_connection=2)
    line = await dial(provider.port)
    assert [(await line.deliver())[:3] for _ in range(3)] == ["250", "250", "421"]
    assert await line.ended()
    assert provider.stats()["connection_used_up"] == 1


async def test_a_rate_is_kept_with_its_burst(provide, dial):
    provider = await provide(GMAIL, rate_per_s=0.001, rate_burst=3)
    line = await dial(provider.port)
    replies = [await line.deliver() for _ in range(4)]
    assert [reply[:3] for reply in replies] == ["250", "250", "250", "421"]
    assert "unusual rate" in replies[3]
    assert provider.stats()["rate_limited"] == 1
    other = await dial(provider.port)
    assert (await other.deliver()).startswith("421")


async def test_a_rate_refusal_with_451_leaves_the_line_open(provide, dial):
    provider = await provide(MICROSOFT, rate_per_s=0.001, rate_burst=1)
    line = await dial(provider.port)
    assert (await line.deliver()).startswith("250")
    assert "4.7.650" in await line.deliver()
    assert await line.say("NOOP") == "250 2.0.0 Ok"


async def test_greylisting_takes_the_second_try_after_its_delay(provide, dial):
    provider = await provide(YANDEX, grey_delay_s=3600.0)
    line = await dial(provider.port)
    first = await line.deliver("grey1@yandex.ru")
    assert first.startswith("451 4.7.1 Sorry, the service is currently unavailable.")
    assert (await line.deliver("grey1@yandex.ru")).startswith("451")
    behaviour = provider.behaviour
    behaviour.profile = replace(behaviour.profile, grey_delay_s=0.0)  # it has passed
    assert (await line.deliver("grey1@yandex.ru")).startswith("250")
    assert (await line.deliver("grey2@yandex.ru")).startswith("451")
    assert provider.stats()["greylisted"] == 3


@pytest.mark.parametrize(
    ("profile", "to", "reply"),
    [
        (GMAIL, "unknown1@gmail.com", "550-5.1.1 The email account that you tried to reach does"),
        (YAHOO, "unknown1@yahoo.com", "552 1 Requested mail action aborted, mailbox not found"),
        (
            MAILRU,
            "unknown1@bk.ru",
            "550 Message was not accepted -- invalid mailbox.  Local mailbox",
        ),
        (YANDEX, "unknown1@ya.ru", "550 5.7.1 No such user!"),
        (GMAIL, "full1@gmail.com", "452-4.2.2 The recipient's inbox is out of storage space."),
        (YANDEX, "full1@ya.ru", "552 5.2.2 Mailbox size limit exceeded"),
        (MICROSOFT, "spam1@live.com", "550 5.7.1 Unfortunately, messages from [127.0.0.1] weren't"),
        (GENERIC, "busy1@example.net", "451 4.3.0 Temporary system problem, try again later"),
    ],
)
async def test_refusals_are_in_the_provider_s_words(profile, to, reply, provide, dial):
    provider = await provide(profile)
    line = await dial(provider.port)
    said = await line.deliver(to)
    assert said.startswith(reply)
    assert "{" not in said
    assert profile is not MAILRU or f" {to} " in said
    assert (await line.deliver("ann@example.net"))[:3] == "250"


async def test_one_unknown_among_many_does_not_refuse_the_others_at_the_dot(provide, dial):
    provider = await provide(YAHOO)
    line = await dial(provider.port)
    for command in ("MAIL FROM:<a@b.c>", "RCPT TO:<ann@yahoo.com>", "RCPT TO:<unknown@yahoo.com>"):
        assert (await line.say(command)).startswith("250")
    await line.say("DATA")
    line.writer.write(b".\r\n")
    assert (await line.reply()).startswith("250 ok dirdel")


async def test_the_line_may_be_cut_at_the_dot(provide, dial):
    provider = await provide()
    line = await dial(provider.port)
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await line.deliver("drop1@example.net")
    assert provider.stats()["dropped"] == 1


async def test_slow_takes_seconds_more(provide, dial, monkeypatch):
    monkeypatch.setattr(session, "SLOW_S", 0.08)
    provider = await provide()
    line = await dial(provider.port)
    start = asyncio.get_running_loop().time()
    assert (await line.deliver("slow@example.net")).startswith("250")
    assert asyncio.get_running_loop().time() - start >= 0.079


async def test_an_idle_connection_is_closed(provide, dial, monkeypatch):
    monkeypatch.setattr(session, "IDLE_S", 0.6)
    provider = await provide()
    line = await dial(provider.port)
    assert (await line.reply()).startswith("421 4.4.2")
    assert await line.ended()


async def test_shares_are_drawn_by_address_and_hold(provide):
    provider = await provide(MAILRU, unknown_share=0.1, full_share=0.05, grey_share=0.1)
    behaviour = provider.behaviour
    addresses = [f"user{n}@mail.ru" for n in range(4000)]
    again = []
    for address in addresses:
        again.append(behaviour.recipient("s@e.com", address, 0.0))
    counts = behaviour.counts
    unknown = sum(mood == "unknown" for _, mood in again)
    assert 320 < unknown < 480
    assert 140 < counts["full"] < 260
    assert 260 < counts["greylisted"] < 420
    assert again[:200] == [behaviour.recipient("s@e.com", one, 0.0) for one in addresses[:200]]


async def test_memory_of_greylisting_is_bounded(provide, monkeypatch):
    monkeypatch.setattr("penstock.sim.behaviour.GREY_PAIRS_MAX", 3)
    behaviour = (await provide()).behaviour
    for number in range(10):
        behaviour.recipient("s@e.com", f"grey{number}@example.net", 0.0)
    assert len(behaviour._grey) == 3


async def test_starttls(provide, dial):
    context = server_context(("mx.example",))
    provider = await provide(tls=context, starttls=True)
    line = await dial(provider.port)
    assert "STARTTLS" in await line.say("EHLO me")
    await line.starttls()
    assert (await line.say("MAIL FROM:<a@b.c>")).startswith("503")  # greet again first
    assert "STARTTLS" not in await line.say("EHLO me")
    assert (await line.say("STARTTLS")).startswith("502")
    assert (await line.deliver()).startswith("250 2.0.0")


async def test_what_follows_starttls_in_clear_is_thrown_away(provide, dial):
    provider = await provide(tls=server_context(("mx.example",)), starttls=True)
    line = await dial(provider.port)
    line.writer.write(b"STARTTLS\r\nNOOP\r\n")
    assert (await line.reply()).startswith("220")
    line.writer.write(b"this is no handshake\r\n" * 10)
    assert b"250" not in await line.reader.read()


def test_profiles_are_plausible():
    assert [profile.name for profile in NAMED] == [
        "gmail",
        "yahoo",
        "microsoft",
        "mail.ru",
        "yandex",
    ]
    for profile in NAMED:
        assert profile.mx
        assert profile.domains
        for name in ("accepted", "unknown_reply", "full_reply", "grey_reply", "spam_reply"):
            lines = getattr(profile, name).split("\n")
            code = lines[0][:3]
            assert code.isdigit()
            assert [line[:4] for line in lines] == [f"{code}-"] * (len(lines) - 1) + [f"{code} "]
