"""The queue: messages with their entries, durable, each entry settled on its own.

A message is appended once with all its entries; an entry is later settled for good or deferred.
All of it becomes durable in groups (``begin_commit``, ``Batch.run``, ``end_commit``); memory
holds the index, not the messages. One thread owns a queue; only ``read`` and ``Batch.run`` may
run elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from penstock_queue.batch import Batch
from penstock_queue.cache import Cache
from penstock_queue.chunk import ARMED, EXPIRED, MASK
from penstock_queue.commit import Commits
from penstock_queue.compact import Chore, Compactor
from penstock_queue.config import Loaded, NewEntry, QueueConfig
from penstock_queue.disk import Disk, Space
from penstock_queue.errors import CommitFailed, QueueFull
from penstock_queue.record import Again, Message, chunks_of
from penstock_queue.recovery import Recovery, recover
from penstock_queue.state import State

SEQ_MAX = (1 << 48) - 1
ATTEMPTS_MAX = (1 << 16) - 1
NOTE_BYTES_MAX = 4096


class Queue:
    """``full``: the disk had no room at the last commit; ``recovery``: what ``open`` found."""

    def __init__(self, state: State, recovery: Recovery, now: float) -> None:
        self.recovery = recovery
        self.config = state.config
        self.directory = state.directory
        self._state = state
        self._index = state.index
        self._keys = state.keys
        self._timers = state.timers
        self._cache = Cache(state.config.cache_bytes)
        self._commits = Commits(state, self._cache)
        self._compactor = Compactor(state, self._commits)
        self._now = now
        self._tick = state.index.ticks_passed(now)

    @classmethod
    def open(cls, directory: str, config: QueueConfig, *, disk: Disk, now: float) -> Queue:
        """Lock, replay and tidy the queue in ``directory``, made where it is missing.

        Blocking. Raises ``QueueLocked``, ``FormatTooNew`` (nothing touched) and ``OSError``."""
        state, recovery = recover(directory, config, disk, now)
        return cls(state, recovery, now)

    def close(self) -> None:
        """Give the lock back. What is not committed is lost, as by a crash."""
        self._compactor.close()
        self._commits.close()
        self._state.close()

    # Appending and settling

    def reserve(self, count: int, now: float) -> int:
        """The first of ``count`` consecutive sequence numbers that nobody ever had."""
        self._advance(now)
        state = self._state
        first = state.next_seq
        if first + count > SEQ_MAX:
            raise QueueFull("no sequence numbers are left")
        state.next_seq = first + count
        return first

    def append(
        self,
        seq: int,
        meta: bytes,
        body: Sequence[bytes],
        entries: Sequence[NewEntry],
        *,
        now: float | None = None,
    ) -> None:
        """Take a message; entry *i* gets number ``seq + i``. In the index at once, durable with the
        next commit. An entry that is due by ``now`` (by default the latest time the queue was told)
        is left to the caller: ``pop_due`` will not return it for its due time.

        Raises ``QueueFull``; nothing is changed then."""
        commits, index = self._commits, self._index
        if commits.full:
            raise QueueFull("the disk is full")
        if now is not None:
            self._advance(now)
        intern = self._keys.intern
        keys = [intern(entry[0]) for entry in entries]
        count = len(keys)
        if not count:
            raise ValueError("a message needs an entry")
        created = int(self._now)
        message = Message(seq, meta, chunks_of(body), created, entries, range(seq, seq + count))
        size = message.size
        if commits.uncommitted_bytes + size > self.config.uncommitted_bytes_max:
            raise QueueFull("too much waits for the disk")
        index.add_message(seq, created, count, size)
        number, present, held = seq, self._now, self._keys.hold
        for key, (_, due, expires, _) in zip(keys, entries, strict=True):
            tick = 0 if due <= present else index.tick(due)
            chunk = index.add_entry(number, seq, key, tick, expires)
            held(key)
            if tick:
                chunk.state[number & MASK] |= ARMED
                index.armed += 1
                self._timers.add(tick, number, self._tick)
            number += 1
        commits.append(message)
        self._cache.put(seq, meta, message.body, entries, size)

    def settle(self, seq: int) -> None:
        """Finished for good. Not alive: nothing happens."""
        found = self._index.find(seq)
        if found is not None:
            self._commits.settle(seq, *found)

    def defer(self, seq: int, due: float, attempts: int, note: bytes = b"") -> None:
        """Due again at ``due``, after ``attempts`` attempts. Not alive: nothing happens. Of
        ``note`` the first 4096 bytes are kept."""
        found = self._index.find(seq)
        if found is None:
            return
        chunk, row = found
        attempts = min(attempts, ATTEMPTS_MAX)
        chunk.attempts[row] = attempts
        self._commits.defer(Again(seq, due, attempts, note[:NOTE_BYTES_MAX]), chunk, row)
        self.wake_at(seq, due)

    def wake_at(self, seq: int, due: float) -> None:
        """Due at another time, until a restart. Anything beyond four years from the start of the
        process counts as four years."""
        found = self._index.find(seq)
        if found is None:
            return
        chunk, row = found
        tick = self._index.tick(due)
        if chunk.state[row] & ARMED and chunk.due[row] == tick:
            return
        chunk.due[row] = tick
        if not chunk.state[row] & ARMED:
            self._index.armed += 1
            chunk.state[row] |= ARMED
        self._timers.add(tick, seq, self._tick)

    def expire_at(self, seq: int, expires: float) -> None:
        """Expires at another time, 0 for never, until a restart. Not alive: nothing happens."""
        self._index.expire_at(seq, expires)

    def mark(self, seq: int) -> None:
        """In flight: a restart would report it. ``settle`` and ``defer`` unmark when written."""
        self._state.inflight.mark(seq)

    def forget_in_flight(self) -> None:
        """What ``recovery`` found in flight has been reported: no later start repeats it. Until
        this is called a process that dies while it starts takes no name along."""
        self._state.inflight.forget_found()

    def unmark(self, seq: int) -> None:
        self._state.inflight.unmark(seq)

    # Time

    def _advance(self, now: float) -> None:
        if now > self._now:
            self._now = now
            self._tick = self._index.ticks_passed(now)

    @property
    def now(self) -> float:
        """The latest time that it was told; a clock that is put back does not move it."""
        return self._now

    def pop_due(self, now: float, limit: int) -> list[int]:
        """Up to ``limit`` entries whose due time or expiry came, each once for that deadline.

        Fewer than ``limit`` does not mean that nothing is left: ask ``next_deadline``."""
        self._advance(now)
        index, out = self._index, list[int]()
        tick, second = index.ticks_passed(now), int(now)
        self._timers.pop(tick, limit, index.ready, index.armed_tick, out)
        expiring = index.expiries.next_second()
        if expiring is not None and expiring <= second:
            for seq in out:
                chunk, row = index.entry(seq)
                if 0 < chunk.expires[row] <= second:
                    chunk.state[row] |= EXPIRED
            index.pop_expired(second, limit, out)
        return out

    @property
    def handed_out(self) -> int:
        """Live entries that wait for no time: appended as due, or returned by ``pop_due``."""
        return self._index.live - self._index.armed

    def next_deadline(self) -> float | None:
        """When ``pop_due`` is worth calling next; may be early, never late."""
        tick = self._timers.next_tick()
        second = self._index.expiries.next_second()
        times = [] if tick is None else [self._index.time(tick)]
        if second is not None:
            times.append(float(second))
        return min(times, default=None)

    # Columns: each raises KeyError for an entry that is not alive

    def exists(self, seq: int) -> bool:
        return self._index.find(seq) is not None

    def key_id(self, seq: int) -> int:
        chunk, row = self._index.entry(seq)
        return chunk.key[row]

    def due(self, seq: int) -> float:
        """Seconds, rounded up to 1/16 s; long past for an entry that was due when appended."""
        chunk, row = self._index.entry(seq)
        return self._index.time(chunk.due[row])

    def expires(self, seq: int) -> float:
        """Seconds, rounded up to whole ones; 0 for never."""
        chunk, row = self._index.entry(seq)
        return float(chunk.expires[row])

    def attempts(self, seq: int) -> int:
        chunk, row = self._index.entry(seq)
        return chunk.attempts[row]

    def body(self, seq: int) -> int:
        """The number of the first entry of its message, alive or not."""
        chunk, row = self._index.entry(seq)
        return seq - chunk.delta[row]

    def created(self, seq: int) -> int:
        """Seconds, rounded down."""
        found = self._index.message(self.body(seq))
        if found is None:
            raise KeyError(seq)
        return found[0].created[found[1]]

    def size(self, seq: int) -> int:
        """Bytes of its message's record on disk, a little more than those of the body; 0 before
        the commit."""
        found = self._index.message(self.body(seq))
        if found is None:
            raise KeyError(seq)
        return found[0].size[found[1]]

    def key(self, key_id: int) -> bytes:
        return self._keys.key(key_id)

    def intern(self, key: bytes) -> int:
        return self._keys.intern(key)

    def seqs(self, after: int = 0) -> Iterator[int]:
        """Live entries above ``after``, in order."""
        return self._index.seqs(after)

    def seqs_of(self, wanted: Callable[[bytes], bool]) -> Iterator[int]:
        """Live entries whose key is ``wanted``; that is asked once a key and not once an entry."""
        key = self._keys.key
        return self._index.seqs_of(lambda number: _wanted(wanted, key, number))

    def seqs_of_key(self, key: bytes) -> Iterator[int]:
        """Live entries of one key, in order; quicker than :meth:`seqs_of`."""
        number = self._keys.find(key)
        return iter(()) if number is None else self._index.seqs_of_key(number)

    def armed(self) -> Iterator[tuple[int, int]]:
        """For each chunk of the index: entries that wait for a time, and of these those that were
        attempted before."""
        for number in list(self._index.chunks):
            chunk = self._index.chunks.get(number)
            if chunk is not None:
                yield chunk.count_armed()

    def key_counts(self) -> list[tuple[bytes, int]]:
        """Every key that has live entries, with how many."""
        return self._keys.counts()

    def key_counts_of(self, prefixes: tuple[bytes, ...]) -> list[tuple[bytes, int]]:
        """The same for keys that begin with one of ``prefixes``."""
        return self._keys.counts_of(prefixes)

    # Messages

    def cached(self, seq: int) -> Loaded | None:
        """The message of a live entry from memory; ``None`` where it must be ``read``."""
        found = self._index.find(seq)
        if found is None or found[0].attempts[found[1]]:
            return None
        delta = found[0].delta[found[1]]
        return self._cache.get(seq - delta, delta)

    def read(self, seqs: Sequence[int]) -> list[Loaded | None]:
        """Messages from disk, in the order asked, read in the order of the disk; ``None`` for what
        is not alive, not committed or damaged. Blocking; any thread. Raises ``OSError``."""
        return self._state.reader.read(seqs)

    def read_heads(self, seqs: Sequence[int]) -> list[Loaded | None]:
        """As ``read``, without the bodies: they are empty, and nothing of them is read."""
        return self._state.reader.read(seqs, bodies=False)

    # Committing and tidying

    @property
    def full(self) -> bool:
        return self._commits.full

    @property
    def uncommitted_bytes(self) -> int:
        return self._commits.uncommitted_bytes

    @property
    def pending(self) -> bool:
        """Something waits for a group of its own."""
        return bool(self._commits.pending)

    def begin_commit(self) -> Batch | None:
        """What waits, as a batch; ``None`` if nothing does or a batch is under way."""
        return self._commits.begin(self._now)

    def end_commit(self, batch: Batch) -> CommitFailed | None:
        """Apply what came of ``batch``; the error is returned, for the caller to hand on."""
        failed = self._commits.end(batch)
        self._compactor.committed(batch.number, failed is None)
        return failed

    def begin_chore(self, bytes_max: int = 1 << 20) -> Chore | None:
        """A bounded piece of deletion or compaction, to ``run`` in any thread; one at a time."""
        return self._compactor.begin(bytes_max)

    def end_chore(self, chore: Chore) -> int:
        """Apply it; what it copied waits for the next commit. Returns the bytes it read."""
        return self._compactor.end(chore)

    def compact_step(self, bytes_max: int = 1 << 20) -> bool:
        """One chore at once; ``False`` where there was nothing to do."""
        chore = self.begin_chore(bytes_max)
        if chore is None:
            return False
        chore.run()
        self.end_chore(chore)
        return True

    def free(self) -> Space:
        """Room on the disk below the queue."""
        return self._state.disk.free(self.directory)

    def stats(self) -> dict[str, float]:
        """Plain numbers; bytes and seconds say so in their names."""
        state, index = self._state, self._index
        segments = state.segments.values()
        return {
            "entries": index.live,
            "armed": index.armed,
            "bodies": index.bodies,
            "segments": len(state.segments),
            "disk_bytes": sum(segment.size for segment in segments),
            "live_bytes": sum(segment.live_bytes for segment in segments),
            "damaged_segments": sum(segment.damaged for segment in segments),
            "cache_bytes": self._cache.bytes,
            "cache_bytes_max": self.config.cache_bytes,
            "uncommitted_bytes": self._commits.uncommitted_bytes,
            "uncommitted_bytes_max": self.config.uncommitted_bytes_max,
            "keys": len(self._keys),
            "keys_max": self.config.keys_max,
            "timer_entries": self._timers.entries,
            "index_chunks": len(index.chunks),
            "inflight": len(state.inflight),
            "inflight_slots": self.config.inflight_slots,
            "inflight_overflows": state.inflight.overflows,
            "open_files": len(state.files),
            "groups": self._commits.succeeded,
            "failed_groups": self._commits.failed,
            "deferrals_unrecorded": self._commits.agains_dropped,
            "stuck_segments": sum(segment.stuck for segment in segments),
            "full": float(self._commits.full),
            "oldest_created": index.oldest_created(),
        }


def _wanted(wanted: Callable[[bytes], bool], key: Callable[[int], bytes], number: int) -> bool:
    try:
        return wanted(key(number))
    except KeyError:  # no entry has it any more
        return False
