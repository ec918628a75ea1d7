"""From a call to the queue, with a queue that has its moods."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from penstock.api.idempotency import Answer, Call, Claim, Once
from penstock.api.idempotency_store import PARTIAL, Store, StoreConfig
from penstock.api.injection import Given, Injector, Order, Piece, Unfit, nobody, summary
from penstock.api.problem import Problem
from penstock.intake.ports import NoObserver, Refused
from penstock.mail.envelope import Envelope
from penstock.smtp.reply import Reply

DISK = Reply.of(452, "4.3.1 Insufficient system storage, try again later")
MEMORY = Reply.of(421, "4.3.2 Too much mail waits for the disk here, try again later")
BASE = 3 << 48


class Queue:
    """``full_after``: so many messages have room; ``fails``: the commit does."""

    def __init__(self, full_after: int = 1 << 30, fails: bool = False) -> None:
        self.full_after, self.fails = full_after, fails
        self.closed: Reply | None = None
        self.busy = 0
        self.next = BASE
        self.taken: list[Envelope] = []

    def refusal(self) -> Reply | None:
        return self.closed

    def reserve(self, recipients: int) -> int:
        first = self.next
        self.next += recipients
        return first

    def submit(self, envelope: Envelope, body: list[bytes]) -> asyncio.Future[None]:
        if self.busy:
            self.busy -= 1
            raise Refused(MEMORY)
        if len(self.taken) >= self.full_after:
            raise Refused(DISK)
        self.taken.append(envelope)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        if self.fails:
            loop.call_later(0.001, future.set_exception, Refused(DISK))
        else:
            loop.call_later(0.001, future.set_result, None)
        return future


def compose(envelope: Envelope) -> list[bytes]:
    if "unfit" in envelope.recipients[0].address:
        raise Unfit("no such variable")
    return [b"Subject: x\r\n\r\n", envelope.id.encode()]


def answer(rows) -> Answer:
    problem = nobody(rows)
    if problem is not None:
        raise problem
    return Answer(202, msgspec.json.encode(summary(rows)))


def order(*people: str, **more) -> Order:
    pieces = [Piece([Given(one, one)], compose) for one in people]
    return Order(Envelope("a@shop.example", [], 0.0), pieces, answer, **more)


def people(count: int) -> list[str]:
    return [f"u{number}@example.com" for number in range(count)]


def run(queue: Queue, wanted: Order, claim: Claim | None = None) -> dict[str, object]:
    async def inject() -> Answer:
        return await Injector(queue, None, NoObserver()).run(wanted, claim or Claim())

    said: dict[str, object] = msgspec.json.decode(asyncio.run(inject()).content)
    return said


def test_each_of_many_gets_a_ref_of_its_own():
    queue = Queue()
    said = run(queue, order(*people(500)))
    assert said["accepted"] == 500
    assert [one.ref for one in queue.taken] == list(range(BASE, BASE + 500))


def test_a_closed_intake_takes_nothing():
    queue = Queue()
    queue.closed = DISK
    with pytest.raises(Problem) as caught:
        run(queue, order("a@example.com"))
    assert caught.value.status == 507
    assert caught.value.headers == {"Retry-After": "60"}
    queue.closed = MEMORY
    with pytest.raises(Problem) as caught:
        run(queue, order("a@example.com"))
    assert (caught.value.status, caught.value.slug) == (503, "unavailable")
    assert "Retry-After" in caught.value.headers


def test_a_call_goes_on_when_there_is_room_again():
    queue = Queue()
    queue.busy = 3
    assert run(queue, order(*people(5)))["accepted"] == 5


def test_without_a_key_what_had_no_room_is_said_to_be_refused():
    said = run(Queue(full_after=3), order(*people(5)))
    assert (said["accepted"], said["refused"]) == (3, 2)
    assert said["recipients"][4] == {
        "recipient": "u4@example.com",
        "status": "refused",
        "reason": "The disk has no room for more mail",
    }


def test_where_nothing_had_room_it_is_a_507():
    for queue in (Queue(full_after=0), Queue(fails=True)):
        with pytest.raises(Problem) as caught:
            run(queue, order(*people(5)))
        assert caught.value.status == 507


def test_what_cannot_be_made_concerns_nobody_else():
    said = run(Queue(), order("a@example.com", "unfit@example.com", "b@example.com"))
    assert [one["status"] for one in said["recipients"]] == ["accepted", "invalid", "accepted"]


def test_with_memory_nobody_waits_for_the_disk():
    queue = Queue(fails=True)
    assert run(queue, order("a@example.com", memory=True))["accepted"] == 1
    assert run(queue, order(*people(3), memory=True))["accepted"] == 3


def test_with_a_key_the_rest_is_done_by_a_repetition(tmp_path):
    async def both() -> None:
        store = Store(str(tmp_path / "calls"), StoreConfig(), lambda: 1000.0)
        once = Once(store, lambda: 1000.0, 1.0)
        queue = Queue(full_after=3)
        injector = Injector(queue, None, NoObserver())
        wanted = order(*people(5))
        call = Call("key", "header", b"digest")

        async def work(claim: Claim) -> Answer:
            return await injector.run(wanted, claim)

        with pytest.raises(Problem) as caught:
            await once.run(call, work)
        assert caught.value.status == 507
        assert caught.value.detail == (
            "There was room for 3 of 5 messages; repeat the request with the same "
            "Idempotency-Key, and only the others are sent."
        )
        ((_, record),) = [(0, store.find(key)) for key in keys(store)]
        assert record is not None
        assert record.state == PARTIAL
        assert record.refs == (BASE, BASE + 1, BASE + 2, 0, 0)
        queue.full_after = 1 << 30
        said = msgspec.json.decode((await once.run(call, work)).content)
        assert said["accepted"] == 5
        assert [one.recipients[0].address for one in queue.taken] == people(5)
        assert len({one["id"] for one in said["recipients"]}) == 5
        store.close()

    asyncio.run(both())


def keys(store: Store) -> list[bytes]:
    with store._environment.begin(store._records) as reading:
        return [bytes(key) for key in reading.cursor().iternext(values=False)]
