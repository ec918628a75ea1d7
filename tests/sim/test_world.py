"""The sandbox as a whole: its names, its process, and an injector against it."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.relay.ports import LookupFailure
from penstock.sim.inject import Injection, InjectionFailed, Mail, inject
from penstock.sim.names import Names
from penstock.sim.providers import YAHOO
from penstock.sim.resolver import SandboxResolver
from penstock.sim.world import WorldConfig, running_world

ENGINE = Path(__file__).parents[2] / "engine"


def mails(count: int, domain: str, first: str = "user"):
    for number in range(count):
        yield Mail(
            "news@example.com",
            (f"{first}{number}@{domain}",),
            f"<{number}@example.com>",
            b"Message-ID: <%d@example.com>\r\nSubject: x\r\n\r\n..hello\r\n" % number,
        )


async def test_every_domain_is_somewhere():
    async with running_world(WorldConfig(latency=0)) as world:
        names = Names.from_json(json.loads(json.dumps(world.names.as_json())))
        assert names == world.names
        assert names.mx("GMAIL.com.")[:2] == (
            "gmail-smtp-in.l.google.com",
            "alt1.gmail-smtp-in.l.google.com",
        )
        assert names.mx("outlook.com") == ("outlook-com.olc.protection.outlook.com",)
        assert names.mx("yandex.ru") == ("mx.yandex.ru",)
        assert names.mx("shop.example") == ("mx.shop.example",)
        assert names.mx("nowhere.invalid") == ()
        assert names.address("mxs.mail.ru") == ("127.0.0.1", world.providers["mail.ru"].port)
        assert names.address("mx.shop.example") == ("127.0.0.1", world.providers["generic"].port)
        assert len({provider.port for provider in world.providers.values()}) == 6


async def test_the_resolver_answers_as_the_relay_asks():
    async with running_world(WorldConfig(tls=False)) as world:
        resolver = SandboxResolver(world.names)
        answer = await resolver.mx("gmail.com")
        assert answer.records[0] == (10, "gmail-smtp-in.l.google.com")
        assert [preference for preference, _ in answer.records] == [10, 20, 30]
        found = await resolver.addresses("gmail-smtp-in.l.google.com")
        assert found.addresses == ("127.0.0.1",)
        port = world.providers["gmail"].port
        assert resolver.port("alt2.gmail-smtp-in.l.google.com") == port
        hosts = resolver.hosts("gmail.com")
        assert [(host.preference, host.port) for host in hosts] == [(n, port) for n in (10, 20, 30)]
        assert resolver.hosts("x.invalid") == ()
        for missing in (await resolver.mx("x.invalid"), await resolver.addresses("mx.x.invalid")):
            assert isinstance(missing, LookupFailure)
            assert missing.kind == "nxdomain"
            assert missing.reply.code == 550


async def test_profiles_can_be_changed_by_name():
    changes = {"gmail": {"rate_per_s": 5.0}, "*": {"size_max": 7}}
    async with running_world(WorldConfig(changes=changes)) as world:
        gmail = world.providers["gmail"].behaviour.profile
        yahoo = world.providers["yahoo"].behaviour.profile
        assert (gmail.rate_per_s, gmail.size_max) == (5.0, 7)
        assert (yahoo.rate_per_s, yahoo.size_max) == (YAHOO.rate_per_s, 7)


async def test_the_injector_remembers_every_promise():
    taken = []
    config = WorldConfig(patient=True)
    async with running_world(config, on_message=taken.append) as world:
        port = world.providers["generic"].port
        result = await inject("127.0.0.1", port, mails(200, "example.net"), sessions=7)
        assert len(result.acknowledged) == 200
        assert len(set(result.acknowledged.values())) == 200
        assert result.recipients == {"example.net": 200}
        assert not result.refusals
        assert not result.unsure
        assert {message.recipients[0] for message in taken} == {
            f"user{n}@example.net" for n in range(200)
        }
        assert taken[0].content.endswith(b"\r\n\r\n..hello\r\n")
        assert world.stats()["generic"]["connections"] == 7


async def test_the_injector_counts_refusals_and_goes_on():
    async with running_world(WorldConfig(patient=True)) as world:
        port = world.providers["gmail"].port
        result = Injection()
        await inject("127.0.0.1", port, mails(3, "gmail.com", "unknown"), injection=result)
        await inject("127.0.0.1", port, mails(3, "gmail.com", "spam"), injection=result)
        await inject("127.0.0.1", port, mails(3, "gmail.com"), injection=result)
        assert len(result.acknowledged) == 3
        assert sum(count for reply, count in result.refusals.items() if "5.1.1" in reply) == 3
        assert sum(count for reply, count in result.refusals.items() if "unsolicited" in reply) == 3


async def test_the_injector_connects_again_when_a_connection_is_used_up():
    changes = {"*": {"messages_per_connection": 5}}
    async with running_world(WorldConfig(patient=True, changes=changes)) as world:
        port = world.providers["yahoo"].port
        result = await inject("127.0.0.1", port, mails(30, "yahoo.com"), sessions=1)
        assert len(result.acknowledged) == 30
        assert sum(result.refusals.values()) == 5  # the sixth of each connection gets 421
        assert not result.unsure


async def test_the_injector_gives_up_on_what_is_never_taken():
    changes = {"*": {"rate_per_s": 1e-9}}
    async with running_world(WorldConfig(patient=True, changes=changes)) as world:
        port = world.providers["yahoo"].port
        result = await inject("127.0.0.1", port, mails(3, "yahoo.com"), sessions=1)
        assert len(result.acknowledged) == 1
        assert sum(result.refusals.values()) == 22


async def test_a_promise_that_was_not_heard_is_unsure():
    async with running_world(WorldConfig(patient=True)) as world:
        port = world.providers["generic"].port
        result = await inject("127.0.0.1", port, mails(3, "example.net", "drop"), sessions=1)
        assert result.unsure == ["<0@example.com>", "<1@example.com>", "<2@example.com>"]


async def test_no_server_and_a_full_server_are_told_apart():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(ExceptionGroup) as caught:
            await inject("127.0.0.1", free.getsockname()[1], mails(1, "x.example"), sessions=1)
        assert caught.group_contains(ConnectionRefusedError)
    changes = {"*": {"connections_max": 1}}
    async with running_world(WorldConfig(patient=True, changes=changes)) as world:
        port = world.providers["generic"].port
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        with pytest.raises(ExceptionGroup) as caught:
            await inject("127.0.0.1", port, mails(1, "x.example"), sessions=1)
        assert caught.group_contains(InjectionFailed, match="the server answered: 421")
        writer.close()
        await writer.wait_closed()


async def test_dsn_is_declined_where_it_is_offered():
    commands = []

    async def serve(reader, writer):
        writer.write(b"220 hi\r\n")
        while line := await reader.readline():
            commands.append(line)
            if line.startswith(b"EHLO"):
                writer.write(b"250-me\r\n250-PIPELINING\r\n250 DSN\r\n")
            elif line.startswith(b"DATA"):
                writer.write(b"354 go\r\n")
                await reader.readuntil(b"\r\n.\r\n")
                writer.write(b"250 2.6.0 Ok: queued as 7x9\r\n")
            else:
                writer.write(b"250 ok\r\n")
            if line.startswith(b"QUIT"):
                break
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        result = await inject("127.0.0.1", port, mails(1, "example.net"), sessions=1)
    assert result.acknowledged == {"<0@example.com>": "7x9"}
    assert b"RCPT TO:<user0@example.net> NOTIFY=NEVER\r\n" in commands


def test_the_world_as_a_process(tmp_path):
    journal = tmp_path / "journal"
    command = [sys.executable, "-m", "penstock.sim", "--patient", "--journal", str(journal)]
    process = subprocess.Popen(
        command,
        cwd=ENGINE,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        try:
            names = Names.from_json(json.loads(process.stdout.readline()))
            host, port = names.address("mx.example.net")
            asyncio.run(_inject_two(host, port))
            process.stdin.write("what?\nstats\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["generic"]["accepted"] == 2
            process.stdin.close()
            assert process.wait(10) == 0
        finally:
            process.kill()
    lines = sorted(journal.read_text().splitlines())
    assert lines == [
        f"generic\tnews@example.com\t<{n}@example.com>\tuser{n}@example.net" for n in range(2)
    ]


async def _inject_two(host: str, port: int) -> None:
    result = await inject(host, port, mails(2, "example.net"), sessions=1)
    assert len(result.acknowledged) == 2
