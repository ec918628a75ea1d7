"""A sink as a consumer: what it publishes, when its place moves, what an outage does."""

from __future__ import annotations

import asyncio
import builtins
import string
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.events.metrics import Registry
from penstock.events.reading import Position
from penstock.events.records import AnyEvent, Delivered, Reported
from penstock.sinks.config import SinkConfig
from penstock.sinks.kafka import KafkaPublisher, producer_options
from penstock.sinks.ports import Message, SinkError
from penstock.sinks.sink import Sink, make_publisher
from penstock.sinks.subject import subject_of

AT = "2026-11-28T12:00:00.000Z"
DEAD = "127.0.0.1:1"


class Broker:
    def __init__(self) -> None:
        self.taken: list[Message] = []
        self.down = False

    async def publish(self, messages: Sequence[Message]) -> None:
        if self.down:
            raise SinkError("down")
        self.taken += messages

    async def close(self) -> None:
        pass


def config(path: Path, **more: Any) -> SinkConfig:
    values = {"name": "bus", "kind": "nats", "servers": (DEAD,), "directory": str(path / "sinks")}
    return SinkConfig(**{**values, **more})


def event(number: int, tenant: str = "shop") -> tuple[bytes, AnyEvent]:
    made = Delivered(id=f"e{number}", at=AT, tenant=tenant, message="m1", recipient="a@b.example")
    return msgspec.json.encode(made), made


@pytest.fixture
def open_sink(tmp_path: Path) -> Iterator[Callable[..., tuple[Sink, Broker]]]:
    opened: list[Sink] = []

    def open_sink(**more: Any) -> tuple[Sink, Broker]:
        broker = Broker()
        opened.append(Sink(config(tmp_path, **more), Registry(), broker))
        opened[-1].checkpoint()
        return opened[-1], broker

    yield open_sink
    for sink in opened:
        sink.close()


def test_events_are_published_and_the_place_is_kept(open_sink: Any) -> None:
    sink, broker = open_sink()
    sink.take("00", [event(1), event(2, "")], Position(1, 100))
    assert [(m.id, m.subject, m.key) for m in broker.taken] == [
        ("e1", "mail.shop.delivered", "m1"),
        ("e2", "mail.none.delivered", "m1"),
    ]
    assert broker.taken[0].line == event(1)[0]
    assert sink.flush() == {"00": Position(1, 100)}
    again, _ = open_sink()
    assert again.checkpoint() == {"00": Position(1, 100)}


def test_while_the_broker_is_down_the_place_stays(open_sink: Any) -> None:
    sink, broker = open_sink()
    broker.down = True
    with pytest.raises(SinkError):
        sink.take("00", [event(1)], Position(1, 100))
    assert sink.flush() == {}
    broker.down = False
    assert sink.checkpoint() == {}
    sink.take("00", [event(1)], Position(1, 100))
    assert [m.id for m in broker.taken] == ["e1"]


def test_only_what_is_wanted_and_nothing_internal(open_sink: Any) -> None:
    sink, broker = open_sink(tenant="shop", types=frozenset({"delivered", "reported"}))
    internal = Reported(id="r", at=AT, role="bounce")
    sink.take("00", [(b"{}", internal), event(1, "other"), event(2)], Position(1, 9))
    assert [m.id for m in broker.taken] == ["e2"]


@given(st.text(max_size=40))
def test_a_tenant_is_one_part_of_a_subject(tenant: str) -> None:
    subject = subject_of("mail.{tenant}.{type}", tenant, "bounced")
    assert subject.count(".") == 2
    assert set(subject) <= set(string.ascii_letters + string.digits + "._-")
    assert ".." not in subject


@pytest.mark.parametrize("kind", ["nats", "kafka"])
def test_a_missing_library_is_said_with_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any, **more: Any) -> Any:
        if name.split(".")[0] in ("nats", "aiokafka"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.delitem(__import__("sys").modules, f"penstock.sinks.{kind}", raising=False)
    with pytest.raises(SinkError, match=rf"pip install 'penstock\[{kind}\]'"):
        make_publisher(config(tmp_path, kind=kind))


@pytest.mark.parametrize("kind", ["nats", "kafka"])
async def test_nobody_there_is_an_error_each_time(tmp_path: Path, kind: str) -> None:
    servers = (f"nats://{DEAD}",) if kind == "nats" else (DEAD,)
    publisher = make_publisher(config(tmp_path, kind=kind, servers=servers, timeout_s=0.5))
    message = Message("e1", "mail.shop.delivered", "m1", b"{}")
    async with asyncio.timeout(20):
        for _ in range(2):
            with pytest.raises(SinkError):
                await publisher.publish([message])
    await publisher.close()


def test_the_kafka_producer_is_idempotent_and_waits_for_all(tmp_path: Path) -> None:
    options = producer_options(config(tmp_path, kind="kafka"))
    assert options["acks"] == "all"
    assert options["enable_idempotence"] is True
    assert options["security_protocol"] == "PLAINTEXT"
    (tmp_path / "password").write_text("secret\n")
    options = producer_options(
        config(tmp_path, kind="kafka", user="u", tls=True, password_file=str(tmp_path / "password"))
    )
    assert options["security_protocol"] == "SASL_SSL"
    assert options["sasl_plain_password"] == "secret"


async def test_kafka_messages_carry_key_and_id(tmp_path: Path) -> None:
    """With the client's own class in place of a broker: what is handed to it."""
    sent: list[tuple[Any, ...]] = []

    class Producer:
        async def send(self, topic: str, value: bytes, **more: Any) -> Any:
            sent.append((topic, value, more))
            future = asyncio.get_running_loop().create_future()
            future.set_result(None)
            return future

        async def stop(self) -> None:
            pass

    publisher = KafkaPublisher(config(tmp_path, kind="kafka"))
    publisher._producer = Producer()
    await publisher.publish([Message("e1", "t", "m1", b"{}"), Message("e2", "t", "", b"{}")])
    assert sent == [
        ("t", b"{}", {"key": b"m1", "headers": [("event-id", b"e1")]}),
        ("t", b"{}", {"key": None, "headers": [("event-id", b"e2")]}),
    ]
