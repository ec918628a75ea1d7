"""A process that dies at any moment has told of everything that its queue has settled."""

import asyncio

import msgspec
from tests.events.journals import Clock, Jobs, journal, read_all

from penstock.events.reading import LogReader
from penstock.events.records import Delivered
from penstock_queue import Committer, NewEntry, Queue, QueueConfig, QueueError, SimDisk
from penstock_queue.simdisk import PowerCut

MESSAGES = 5


class Life:
    """Takes messages in, then delivers one after the other. ``taken``: the queue's numbers of them,
    once they are on disk; ``since``: the disk's I/O calls until then."""

    def __init__(self, disk, *, careful):
        self.disk, self.careful = disk, careful
        self.taken, self.since = [], 0

    async def run(self):
        log = journal("log", Clock(), self.disk)
        queue = Queue.open("spool", QueueConfig(), disk=self.disk, now=1.0)
        hook = {"before_write": log.flush} if self.careful else {}
        committer = Committer(queue, asyncio.get_running_loop(), None, Jobs, **hook)
        committer.start()
        taken = [queue.reserve(1, 1.0) for _ in range(MESSAGES)]
        for seq in taken:
            queue.append(seq, b"envelope", [b"body"], [NewEntry(b"key", 0.0, 9e9, b"r")])
        await committer.commit()
        self.taken, self.since = taken, self.disk.calls
        for seq in taken:
            log.write(Delivered, message=str(seq), recipient="r@example.com")
            queue.settle(seq)
            await committer.commit()
        await committer.stop()
        log.close()
        queue.close()

    def settled_and_told(self):
        """By the disk that it left."""
        self.disk.kill()
        lines, _ = read_all(LogReader("log", self.disk))
        told = [int(msgspec.json.decode(line, type=Delivered).message) for line in lines]
        queue = Queue.open("spool", QueueConfig(), disk=self.disk, now=1.0)
        left = set(queue.seqs())
        queue.close()
        return set(self.taken) - left, told


def deaths(*, careful):
    """One life for each I/O call at which it can die after everything was taken in."""
    whole = Life(SimDisk(1), careful=careful)
    asyncio.run(whole.run())
    assert whole.settled_and_told() == (set(whole.taken), whole.taken)
    for call in range(whole.since + 1, whole.disk.calls):
        life = Life(SimDisk(1), careful=careful)
        life.disk.cut_at = call
        try:
            asyncio.run(life.run())
        except (PowerCut, QueueError):
            yield life.settled_and_told()


def test_every_settlement_that_a_dying_process_has_written_is_told_of():
    counts = []
    for settled, told in deaths(careful=True):
        assert settled <= set(told)
        assert len(told) == len(set(told))
        counts.append(len(settled))
    assert set(counts) == set(range(MESSAGES + 1))


def test_without_the_order_of_writing_the_same_finds_some_untold():
    assert any(not settled <= set(told) for settled, told in deaths(careful=False))
