"""Listeners of role feedback, over real sockets: what they take, what they refuse, what is written.

The dialogues are with a real listener; only the disk behind the event log is the test's.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from penstock.events.records import Event
from penstock.intake.listener import ListenerConfig, serve
from penstock.intake.reception import Reception, ReceptionConfig
from penstock.intake.report_addresses import Ages, ReportAddresses
from penstock.mail.envelope import Envelope
from penstock.mail.verp import DAY_S, Key, TokenKeys, make_token

NOW = 1_790_000_000.0
KEYS = TokenKeys([Key("0", b"k" * 32)])
BOUNCE = make_token(KEYS, "b", 77, True, NOW)
UNSUBSCRIBE = make_token(KEYS, "u", 78, True, NOW)
COMPLAINT = make_token(KEYS, "c", 79, True, NOW)
REPORT = "Subject: Undelivered\r\n\r\nNo such user\r\n"


class MemoryLog:
    """An event log without a disk. ``room``: events that fit."""

    def __init__(self) -> None:
        self.dropped = 0
        self.room = 1000
        self.written: list[dict[str, Any]] = []
        self.durable = 0
        self.syncs = 0
        self.error: OSError | None = None

    def write(self, make: type[Event], **fields: Any) -> str:
        if len(self.written) >= self.room:
            self.dropped += 1
        else:
            self.written.append(fields)
        return f"e{len(self.written)}"

    def sync(self) -> None:
        self.syncs += 1
        if self.error is not None:
            raise self.error
        self.durable = len(self.written)


class Client:
    """One connection; ``ask`` gives the last line of the reply."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def reply(self) -> str:
        async with asyncio.timeout(10):
            while True:
                line = (await self.reader.readline()).decode().rstrip("\r\n")
                if line[3:4] != "-":
                    return line

    async def ask(self, text: str) -> str:
        self.writer.write(text.encode() + b"\r\n")
        return await self.reply()

    async def send(self, *recipients: str, content: str = REPORT, sender: str = "") -> list[str]:
        """One transaction; the replies to its recipients, then to the message."""
        assert (await self.ask(f"MAIL FROM:<{sender}>")).startswith("250")
        said = [await self.ask(f"RCPT TO:<{one}>") for one in recipients]
        if any(one.startswith("250") for one in said):
            assert (await self.ask("DATA")).startswith("354")
            said.append(await self.ask(content + "."))
        else:
            await self.ask("RSET")
        return said


class Door:
    """A listener of role feedback, with all that is behind it."""

    def __init__(self) -> None:
        self.log = MemoryLog()
        self.counted: list[tuple[str, str]] = []
        self.read: list[bytes] = []
        self.fields: dict[str, Any] = {"kind": "bounce"}
        self.forwarded: list[bytes] = []
        self.now = NOW
        self.port = 0
        self.reception: Reception
        self.clients: list[Client] = []

    def parse(self, content: bytes) -> dict[str, Any]:
        self.read.append(content)
        return self.fields

    def forward(self, envelope: Envelope, content: bytes) -> asyncio.Future[None]:
        self.forwarded.append(content)
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    async def connect(self) -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port))
        self.clients.append(client)
        assert (await client.reply()).startswith("220")
        await client.ask("EHLO mx.a.example")
        return client


@contextlib.asynccontextmanager
async def opened(sink: Any, observer: Any, **config: Any) -> AsyncIterator[Door]:
    door = Door()
    door.reception = Reception(
        ReceptionConfig(thread_bytes=config.pop("thread_bytes", 1 << 20)),
        ReportAddresses(
            KEYS, {"b.shop.example"}, {"fbl", "abuse"}, Ages(30, 60, 90), "mx.shop.example"
        ),
        door.log,
        door.parse,
        lambda role, result: door.counted.append((role, result)),
        lambda: door.now,
        door.forward if config.pop("people", True) else None,
    )
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    door.port = bound.getsockname()[1]
    values = {"hostname": "mx.shop.example", "relay_from": ()} | config
    listener = await serve(
        bound, ListenerConfig(**values), sink, observer, reception=door.reception
    )
    try:
        yield door
    finally:
        for client in door.clients:
            client.writer.close()
        await listener.close(1.0)
        door.reception.close()


async def test_a_bounce_is_on_disk_before_it_is_acknowledged(sink: Any, observer: Any) -> None:
    async with opened(sink, observer) as door:
        client = await door.connect()
        said = await client.send(f"b-{BOUNCE}@b.shop.example")
        assert said == ["250 2.1.5 Ok", "250 2.0.0 Taken, thank you"]
        assert door.log.written == [
            {"role": "bounce", "token": BOUNCE, "client": "127.0.0.1", "found": {"kind": "bounce"}}
        ]
        assert door.log.durable == 1
        assert door.read == [REPORT.encode()]
        assert door.counted == [("bounce", "accepted")]
        assert sink.messages == []  # nothing goes anywhere
        assert observer.of("accept") == []


@pytest.mark.parametrize("sender", ["", "mailer-daemon@a.example", "prvs=1=x@a.example"])
async def test_from_anybody(sink: Any, observer: Any, sender: str) -> None:
    async with opened(sink, observer) as door:
        client = await door.connect()
        said = await client.send(f"B-{BOUNCE.upper()}@B.Shop.Example", sender=sender)
        assert said[-1].startswith("250 2.0.0")
        assert door.log.written[0]["token"] == BOUNCE


@pytest.mark.parametrize(
    ("address", "reply", "counted"),
    [
        ("ann@a.example", "550 5.7.1", ("other", "elsewhere")),
        (f"b-{BOUNCE}@a.example", "550 5.7.1", ("other", "elsewhere")),
        ("ann@b.shop.example", "550 5.1.1", ("other", "unknown")),
        ("b-nothing@b.shop.example", "550 5.1.1", ("bounce", "malformed")),
        (f"b-{BOUNCE[:-1]}0@b.shop.example", "550 5.1.1", ("bounce", "forged")),
        (f"b-z{BOUNCE[1:]}@b.shop.example", "550 5.1.1", ("bounce", "unknown-key")),
        (f"u-{BOUNCE}@b.shop.example", "550 5.1.1", ("unsubscribe", "forged")),
        (f"c-{UNSUBSCRIBE}@b.shop.example", "550 5.1.1", ("complaint", "forged")),
    ],
)
async def test_everything_else_is_refused_and_counted(
    sink: Any, observer: Any, address: str, reply: str, counted: tuple[str, str]
) -> None:
    assert BOUNCE[-1] != "0"
    async with opened(sink, observer) as door:
        client = await door.connect()
        assert (await client.send(address))[0].startswith(reply)
        assert door.counted == [counted]
        assert door.log.written == []


async def test_a_token_is_good_for_its_time(sink: Any, observer: Any) -> None:
    async with opened(sink, observer) as door:
        client = await door.connect()
        door.now = NOW + 31 * DAY_S
        said = await client.send(f"b-{BOUNCE}@b.shop.example", f"u-{UNSUBSCRIBE}@b.shop.example")
        assert [one[:9] for one in said] == ["550 5.1.1", "250 2.1.5", "250 2.0.0"]
        assert door.counted == [("bounce", "expired"), ("unsubscribe", "accepted")]


async def test_one_that_ran_out_before_the_message_came_is_refused(
    sink: Any, observer: Any
) -> None:
    async with opened(sink, observer) as door:
        client = await door.connect()
        await client.ask("MAIL FROM:<>")
        await client.ask(f"RCPT TO:<b-{BOUNCE}@b.shop.example>")
        await client.ask("DATA")
        door.now = NOW + 31 * DAY_S
        assert (await client.ask(REPORT + ".")).startswith("550 5.1.1")
        assert door.counted == [("bounce", "expired")]
        assert door.log.written == []


async def test_complaints_come_with_and_without_a_token(sink: Any, observer: Any) -> None:
    async with opened(sink, observer) as door:
        door.fields = {"kind": "complaint"}
        client = await door.connect()
        await client.send(f"c-{COMPLAINT}@b.shop.example", "FBL@b.shop.example")
        assert [(one["role"], one["token"]) for one in door.log.written] == [
            ("complaint", COMPLAINT),
            ("complaint", ""),
        ]


async def test_unsubscribing_by_mail_takes_no_reading_but_no_answers_of_machines(
    sink: Any, observer: Any
) -> None:
    async with opened(sink, observer) as door:
        client = await door.connect()
        address = f"u-{UNSUBSCRIBE}@b.shop.example"
        away = "Subject: away\r\nAuto-Submitted: auto-replied\r\n\r\nI am away\r\n"
        assert (await client.send(address, content=away))[-1].startswith("250")
        assert door.log.written == []
        said = await client.send(
            address, content="Subject: unsubscribe\r\n\r\n", sender="a@b.example"
        )
        assert said[-1].startswith("250")
        assert door.log.written == [
            {"role": "unsubscribe", "token": UNSUBSCRIBE, "client": "127.0.0.1", "found": {}}
        ]
        assert door.read == []
        assert door.counted == [("unsubscribe", "automatic"), ("unsubscribe", "accepted")]


async def test_the_postmaster_is_there_and_gets_what_people_write(sink: Any, observer: Any) -> None:
    async with opened(sink, observer) as door:
        client = await door.connect()
        for address in ("postmaster@b.shop.example", "Postmaster"):
            assert (await client.send(address))[-1].startswith("250")
        door.fields = {"kind": "other"}
        assert (await client.send("abuse@b.shop.example", content="Stop it.\r\n"))[-1][:3] == "250"
        assert door.forwarded == [REPORT.encode(), REPORT.encode(), b"Stop it.\r\n"]
        assert door.log.written == []
        assert door.counted == [
            ("postmaster", "forwarded"),
            ("postmaster", "forwarded"),
            ("complaint", "forwarded"),
        ]


async def test_without_a_postmaster_mail_for_one_is_taken_all_the_same(
    sink: Any, observer: Any
) -> None:
    async with opened(sink, observer, people=False) as door:
        door.fields = {"kind": "other"}
        client = await door.connect()
        assert (await client.send("postmaster@b.shop.example"))[-1].startswith("250")
        assert (await client.send("abuse@b.shop.example"))[-1].startswith("250")
        assert [one["role"] for one in door.log.written] == ["complaint"]


async def test_a_log_without_room_loses_nothing(sink: Any, observer: Any) -> None:
    async with opened(sink, observer) as door:
        client = await door.connect()
        address = f"b-{BOUNCE}@b.shop.example"
        door.log.room = 0
        assert (await client.send(address))[-1].startswith("452 4.3.1")
        door.log.room = 10
        door.log.error = OSError(28, "No space left on device")
        assert (await client.send(address))[-1].startswith("452 4.3.1")
        door.log.error = None
        assert (await client.send(address))[-1].startswith("250 2.0.0")
        assert door.log.durable == len(door.log.written)
        assert door.counted == [
            ("bounce", "refused"),
            ("bounce", "refused"),
            ("bounce", "accepted"),
        ]


async def test_a_reader_that_breaks_costs_no_report(sink: Any, observer: Any) -> None:
    async with opened(sink, observer) as door:
        client = await door.connect()
        door.fields = None  # type: ignore[assignment]
        said = await client.send("fbl@b.shop.example")
        assert said[-1].startswith("451 4.3.0")
        assert len(observer.errors) == 1


async def test_what_is_large_is_read_in_a_thread(sink: Any, observer: Any) -> None:
    async with opened(sink, observer, thread_bytes=100) as door:
        client = await door.connect()
        content = "Subject: x\r\n\r\n" + "y" * 70 + "\r\n" + "z" * 70 + "\r\n"
        assert (await client.send(f"b-{BOUNCE}@b.shop.example", content=content))[-1][:3] == "250"
        assert door.read == [content.encode()]


async def test_reports_that_come_together_share_a_sync(sink: Any, observer: Any) -> None:
    async with opened(sink, observer) as door:
        clients = [await door.connect() for _ in range(20)]
        said = await asyncio.gather(*(c.send(f"b-{BOUNCE}@b.shop.example") for c in clients))
        assert {one[-1] for one in said} == {"250 2.0.0 Taken, thank you"}
        assert door.log.durable == len(door.log.written) == 20
        assert door.log.syncs <= 20
        assert door.reception.pending == 0


async def test_it_never_relays_and_knows_no_passwords(sink: Any, observer: Any) -> None:
    async with opened(sink, observer, message_bytes_max=1000, recipients_max=2) as door:
        client = await door.connect()
        assert (await client.ask("AUTH PLAIN AGEAYg==")).startswith("502")
        assert (await client.send("ann@a.example"))[0].startswith("550 5.7.1")
        assert (await client.ask("MAIL FROM:<> SIZE=100000")).startswith("552")
        fbl = "fbl@b.shop.example"
        said = await client.send(fbl, fbl, fbl, content="x\r\n" * 500)
        assert [one[:3] for one in said] == ["250", "250", "452", "552"]
        assert door.log.written == []
