"""When a worker's intake shuts: who came now would wait for too long."""

from __future__ import annotations

import asyncio

from penstock.mail.envelope import Envelope, Recipient
from penstock.worker.sink import GateConfig, IntakeSink

WAIT_MAX_S = 5.0


class FakeSpool:
    """Commits when the test says so."""

    full = False
    uncommitted_bytes = 0

    def __init__(self) -> None:
        self.commit()

    def append(
        self, envelope: Envelope, body: list[bytes], due: float = 0.0
    ) -> asyncio.Future[None]:
        self.due = due
        return self.group

    def commit(self) -> None:
        if hasattr(self, "group"):
            self.group.set_result(None)
        self.group: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Gate:
    def __init__(self) -> None:
        self.now = 100.0
        self.spool = FakeSpool()
        config = GateConfig(0, 0, 1 << 20, 3600.0, WAIT_MAX_S)
        self.waits: list[float] = []
        self.sink = IntakeSink(
            config,
            self.spool,  # type: ignore[arg-type]
            lambda: (1 << 40, 1 << 20),
            now=lambda: self.now,
            monotonic=lambda: self.now,
            observe=self.waits.append,
            accepted=lambda messages: None,
        )

    def submit(self) -> None:
        self.sink.submit(Envelope("a@a.example", [Recipient("b@b.example")], self.now), [b"x"])


async def test_a_commit_that_takes_too_long_shuts_it_until_it_is_done() -> None:
    gate = Gate()
    gate.submit()
    gate.now += WAIT_MAX_S
    gate.submit()
    assert gate.sink.reason() == ""
    gate.now += 0.5
    assert gate.sink.reason() == "late"
    reply = gate.sink.refusal()
    assert reply is not None
    assert (reply.code, str(reply)[:9]) == (421, "421 4.3.2")
    gate.spool.commit()
    await asyncio.sleep(0)
    assert gate.sink.reason() == ""
    assert gate.waits == [WAIT_MAX_S + 0.5, 0.5]


async def test_what_gathers_behind_a_slow_commit_counts_from_its_own_time() -> None:
    gate = Gate()
    gate.submit()
    first, gate.spool.group = gate.spool.group, asyncio.get_running_loop().create_future()
    gate.now += 4.0
    gate.submit()
    first.set_result(None)
    await asyncio.sleep(0)
    gate.now += 4.0
    assert gate.sink.reason() == ""
    gate.now += 2.0
    assert gate.sink.reason() == "late"


async def test_a_loop_that_is_late_shuts_it_until_it_is_in_time_for_a_second() -> None:
    gate = Gate()
    gate.sink.lag(WAIT_MAX_S)
    assert gate.sink.reason() == ""
    gate.sink.lag(WAIT_MAX_S + 0.1)
    assert gate.sink.reason() == "late"
    gate.now += 0.9
    assert gate.sink.reason() == "late"
    gate.now += 0.2
    assert gate.sink.reason() == ""
