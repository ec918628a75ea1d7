"""How a worker's log catches up with its queue after a crash, and how it describes mail."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from penstock.events.no_journal import NoJournal
from penstock.mail.envelope import SEQUENCE_BITS, Envelope, Recipient
from penstock.relay.spool import Shard, Spool
from penstock.sim.relay import Instantly, loaded
from penstock.worker import journals
from penstock.worker.journals import Sent, catch_up
from penstock_queue import Queue, QueueConfig, SimDisk

BASE = 3 << SEQUENCE_BITS


class Log(NoJournal):
    def __init__(self) -> None:
        self.last = -1
        self.told: list[tuple[int, list[str], int]] = []

    def last_accepted(self) -> int:
        return self.last

    def accepted(self, messages: Any) -> None:
        for envelope, size in messages:
            self.told.append((envelope.ref, [one.address for one in envelope.recipients], size))


@pytest.fixture
async def spool() -> Spool:
    queue = Queue.open("spool", QueueConfig(), disk=SimDisk(1), now=1.0)
    committer: Any = Instantly(queue)
    return Spool([Shard(3, queue, committer)], lambda refs, keys: None, lambda error: error)


async def put(spool: Spool, *people: str, client: str = "192.0.2.1") -> int:
    envelope = Envelope("a@x.example", [Recipient(one) for one in people], 1.0, client=client)
    envelope.ref, envelope.expires_at = spool.reserve(len(people), 1.0), 9e9
    await spool.append(envelope, [b"12345"])
    await asyncio.sleep(0)
    return envelope.ref


async def test_what_the_log_does_not_know_yet_is_told_by_message(spool) -> None:
    log = Log()
    log.last = await put(spool, "known@x.example", "too@x.example")
    first = await put(spool, "a@x.example", "b@x.example")
    await put(spool, "sender@x.example", client="")  # a report of our own
    second = await put(spool, "c@x.example")
    assert catch_up(log, spool) == 2
    assert [told[:2] for told in log.told] == [
        (first, ["a@x.example", "b@x.example"]),
        (second, ["c@x.example"]),
    ]
    assert all(5 <= size < 500 for _, _, size in log.told)


async def test_a_log_that_has_nothing_yet_is_told_all(spool) -> None:
    log = Log()
    first = await put(spool, "a@x.example")
    assert catch_up(log, spool) == 1
    assert log.told[0][0] == first


async def test_a_queue_that_filled_while_the_log_was_off_is_not_told(spool, monkeypatch) -> None:
    monkeypatch.setattr(journals, "_CAUGHT_UP_MAX", 1)
    log = Log()
    await put(spool, "a@x.example", "b@x.example")
    assert catch_up(log, spool) == 0
    assert log.told == []


async def test_a_log_of_another_queue_is_left_alone(spool) -> None:
    log = Log()
    log.last = (4 << SEQUENCE_BITS) + 1
    await put(spool, "a@x.example")
    assert catch_up(log, spool) == 0
    assert log.told == []


def test_mail_is_described_by_what_policy_makes_of_it() -> None:
    policies = loaded("", tenants='[tenant.shop]\nclass = "bulk"\n')
    now = [policies]
    sent = Sent(lambda: now[0])
    envelope = Envelope("", [], 0.0, tenant="shop")
    assert sent(envelope) == ("bulk", "default")
    assert sent(Envelope("", [], 0.0, class_="transactional")) == ("transactional", "default")
    now[0] = loaded("")
    assert sent(envelope) == ("triggered", "default")
