"""Groups that the kernel writes without a thread, past the page cache; and what it may refuse."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import platform
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock_queue import CommitFailed, Committer, Queue, QueueConfig, RealDisk, SimDisk, check
from penstock_queue.committer import BLOCKED_TIMES, QueueThread, nothing
from penstock_queue.direct import BYTES_MAX, Aio, Kernel, KernelDirect
from penstock_queue.record import ALIGN, HEAD_BYTES, PAD, padding, split
from penstock_queue.scan import Damage, scan
from penstock_queue.segment import HEADER_BYTES, Header, file_name

NOW = 1_700_000_000.0
Put = Callable[..., int]


class Stubborn:
    """A kernel that says ``answers`` one after the other; where they end, it writes. An error
    number of a submission is above 0; a result is below, or a number of bytes."""

    def __init__(self, answers: list[int]) -> None:
        self._answers = answers
        self._result: int | None = None
        self.told, self._tell = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.submitted = 0

    def submit(self, descriptor: int, address: int, size: int, offset: int) -> None:
        self.submitted += 1
        answer = self._answers.pop(0) if self._answers else size
        if 0 < answer < ALIGN:
            raise OSError(answer, os.strerror(answer))
        if answer == size:
            done = os.pwrite(descriptor, (ctypes.c_char * size).from_address(address), offset)
            os.fsync(descriptor)
            assert done == size
        self._result = answer
        os.write(self._tell, b"!")

    def result(self) -> int | None:
        os.read(self.told, 8)
        return self._result

    def close(self) -> None:
        if self.told >= 0:
            os.close(self.told)
            os.close(self._tell)
        self.told = -1


def can_direct(directory: Path) -> str:
    """Why not, or nothing."""
    probe = directory / "probe"
    probe.write_bytes(b"")
    try:
        os.close(os.open(probe, os.O_WRONLY | os.O_DIRECT))
        Aio().close()
    except OSError as error:
        return str(error)
    finally:
        probe.unlink()
    return ""


@pytest.fixture(autouse=True)
def _able(tmp_path: Path) -> None:
    if why := can_direct(tmp_path):
        pytest.skip(f"no direct or asynchronous I/O here: {why}")


@asynccontextmanager
async def running(
    queue: Queue,
    kernel: Callable[[], Kernel] = Aio,
    before: Callable[[bool], bool] = nothing,
) -> AsyncIterator[Committer]:
    loop = asyncio.get_running_loop()
    direct = partial(KernelDirect, kernel=kernel)
    committer = Committer(queue, loop, None, QueueThread, before, direct)
    committer.start()
    yield committer
    await committer.stop()


async def groups(committer: Committer, queue: Queue, put: Put, count: int) -> None:
    """So many, of one message each."""
    for _ in range(count):
        put(queue)
        await committer.commit()


def opened(path: Path, **config: Any) -> Queue:
    return Queue.open(str(path / "q"), QueueConfig(**config), disk=RealDisk(), now=NOW)


def parts(path: Path, number: int = 1) -> list[Any]:
    """What a segment holds."""
    file = RealDisk().open(str(path / "q" / file_name(number)))
    header = Header.decode(file.read(0, HEADER_BYTES), "")
    assert header is not None
    return list(scan(file, header.salt, HEADER_BYTES, file.size()))


async def test_groups_behind_the_first_need_no_thread(tmp_path: Path, put: Put) -> None:
    queue = opened(tmp_path, cache_bytes=0)
    async with running(queue) as committer:
        seqs = []
        for size in (0, 1, 3900, 4096, 70_000):
            seqs.append(put(queue, bytes(size)))
            await committer.commit()
        assert committer.directly == 4, "all but the one that makes the segment"
        found = queue.read(seqs)
        assert [len(one.body) for one in found if one] == [0, 1, 3900, 4096, 70_000]
        whole = (tmp_path / "q" / file_name(1)).stat().st_size
        assert whole > QueueConfig().segment_bytes // 16
    queue.close()
    items = parts(tmp_path)
    assert not any(isinstance(item, Damage) for item in items), "room is given back"
    assert all(item[2] % ALIGN == 0 for item in items if item[0] == PAD)
    assert check(str(tmp_path / "q"), RealDisk()).ok


async def test_room_made_ahead_is_no_torn_group(tmp_path: Path, put: Put) -> None:
    queue = opened(tmp_path)
    async with running(queue) as committer:
        for _ in range(3):
            put(queue, bytes(5000))
            await committer.commit()
        # as a killed process leaves it: nobody gave anything back
        (tmp_path / "then").mkdir()
        for name in os.listdir(tmp_path / "q"):
            (tmp_path / "then" / name).write_bytes((tmp_path / "q" / name).read_bytes())
    queue.close()
    tail = RealDisk().open(str(tmp_path / "then" / file_name(1)))
    report = check(str(tmp_path / "then"), RealDisk())
    assert report.ok
    assert not report.torn
    before = tail.size()
    again = Queue.open(str(tmp_path / "then"), QueueConfig(), disk=RealDisk(), now=NOW)
    assert len(list(again.seqs())) == 3
    assert not again.recovery.torn
    assert not again.recovery.quarantined
    assert tail.size() < before
    again.close()


async def test_a_full_segment_gives_its_room_back(tmp_path: Path, put: Put) -> None:
    queue = opened(tmp_path, segment_bytes=1 << 20)
    async with running(queue) as committer:
        for _ in range(160):
            put(queue, bytes(20_000))
            await committer.commit()
        assert committer.directly > 80
        assert queue.stats()["segments"] == 4
        for number in (1, 2, 3):
            assert not any(isinstance(item, Damage) for item in parts(tmp_path, number))
    queue.close()


async def test_a_write_that_fails_fails_its_group_and_no_other(tmp_path: Path, put: Put) -> None:
    kernel = Stubborn([-errno.EIO, ALIGN])
    queue = opened(tmp_path)
    async with running(queue, lambda: kernel) as committer:
        kept = [put(queue)]
        await committer.commit()
        for _ in ("an error", "4096 of 12288 bytes"):
            lost = put(queue, bytes(9000))
            with pytest.raises(CommitFailed, match="Input/output error"):
                await committer.commit()
            assert not queue.exists(lost)
            kept.append(put(queue))
            await committer.commit()
        assert kernel.submitted == 2, "a new segment each time, and its first group"
        assert committer.directly == 0
        kept.append(put(queue))
        await committer.commit()
        assert committer.directly == 1
    queue.close()
    again = opened(tmp_path)
    assert list(again.seqs()) == kept
    assert not again.recovery.torn
    assert not again.recovery.quarantined
    again.close()


@pytest.mark.parametrize("answer", [-errno.EINVAL, errno.EINVAL, errno.ENOSYS])
async def test_what_the_system_cannot_do_the_thread_does(
    tmp_path: Path, put: Put, answer: int
) -> None:
    kernel = Stubborn([answer])
    queue = opened(tmp_path)
    async with running(queue, lambda: kernel) as committer:
        await groups(committer, queue, put, 4)
        assert kernel.submitted == 1, "it is not asked again"
        assert committer.directly == 0
    assert queue.stats()["entries"] == 4
    queue.close()
    again = opened(tmp_path)
    assert len(list(again.seqs())) == 4
    again.close()


async def test_a_kernel_that_is_busy_is_asked_again(tmp_path: Path, put: Put) -> None:
    kernel = Stubborn([errno.EAGAIN])
    queue = opened(tmp_path)
    async with running(queue, lambda: kernel) as committer:
        await groups(committer, queue, put, 4)
        assert kernel.submitted == 3
        assert committer.directly == 2
    queue.close()


async def test_a_file_system_that_holds_up_the_loop_is_left_to_the_thread(
    tmp_path: Path, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock_queue.committer.BLOCKED_S", -1.0)
    queue = opened(tmp_path)
    async with running(queue) as committer:
        await groups(committer, queue, put, BLOCKED_TIMES + 5)
        assert committer.directly == BLOCKED_TIMES
        monkeypatch.setattr("penstock_queue.committer.BLOCKED_S", 1.0)
        monkeypatch.setattr(committer, "_direct_after", 0.0)
        put(queue)
        await committer.commit()
        assert committer.directly == BLOCKED_TIMES + 1, "later it is tried again"
    queue.close()


async def test_what_comes_before_a_group_may_have_to_wait(tmp_path: Path, put: Put) -> None:
    asked: list[bool] = []

    def before(patient: bool) -> bool:
        asked.append(patient)
        return patient

    queue = opened(tmp_path)
    async with running(queue, before=before) as committer:
        await groups(committer, queue, put, 3)
        assert asked == [True, False, True, False, True]
        assert committer.directly == 0
    queue.close()


async def test_what_comes_before_a_group_and_fails_fails_it(tmp_path: Path, put: Put) -> None:
    wrong: list[bool] = []

    def before(patient: bool) -> bool:
        if wrong:
            raise OSError(errno.EIO, "no")
        return True

    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    queue = opened(tmp_path)
    async with running(queue, before=before) as committer:
        put(queue)
        await committer.commit()
        wrong.append(True)
        put(queue)
        with pytest.raises(CommitFailed):
            await committer.commit()
        wrong.clear()
        assert committer.directly == 0
    queue.close()


async def test_a_bug_leaves_nobody_waiting_and_nothing_half_written(
    tmp_path: Path, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports: list[Any] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: reports.append(context["exception"]))
    queue = opened(tmp_path)
    async with running(queue) as committer:
        await groups(committer, queue, put, 2)
        with monkeypatch.context() as patch:
            patch.setattr("penstock_queue.record.padding", lambda end, salt: 1 // 0)
            put(queue)
            with pytest.raises(CommitFailed):
                await committer.commit()
        await groups(committer, queue, put, 2)
    assert [type(error) for error in reports] == [ZeroDivisionError]
    queue.close()
    again = opened(tmp_path)
    assert len(list(again.seqs())) == 4
    assert not again.recovery.torn
    assert not again.recovery.quarantined
    again.close()


async def test_a_bug_in_the_direct_way_is_reported_and_the_thread_writes(
    tmp_path: Path, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports: list[Any] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: reports.append(context["exception"]))
    monkeypatch.setattr(KernelDirect, "write", lambda *arguments: 1 // 0)
    queue = opened(tmp_path)
    async with running(queue) as committer:
        await groups(committer, queue, put, 4)
        assert committer.directly == 0
    assert [type(error) for error in reports] == [ZeroDivisionError]
    assert queue.stats()["entries"] == 4
    queue.close()


async def test_a_large_group_goes_by_the_thread(tmp_path: Path, put: Put) -> None:
    queue = opened(tmp_path)
    async with running(queue) as committer:
        for size in (1, BYTES_MAX + 1, BYTES_MAX - 8192):
            put(queue, bytes(size))
            await committer.commit()
        assert committer.directly == 1
    queue.close()


async def test_it_can_be_switched_off(tmp_path: Path, put: Put) -> None:
    queue = opened(tmp_path, direct_io=False)
    async with running(queue) as committer:
        await groups(committer, queue, put, 3)
        assert committer.directly == 0
    queue.close()


def _no_direct_open(patch: pytest.MonkeyPatch) -> None:
    real = os.open

    def refusing(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        if flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, "no O_DIRECT")
        return real(path, flags, *rest, **more)

    patch.setattr(os, "open", refusing)


def _unknown_machine(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(platform, "machine", lambda: "pdp11")


@pytest.mark.parametrize("lacks", [_no_direct_open, _unknown_machine])
async def test_where_there_is_no_such_thing_the_thread_writes(
    tmp_path: Path,
    put: Put,
    monkeypatch: pytest.MonkeyPatch,
    lacks: Callable[[pytest.MonkeyPatch], None],
) -> None:
    lacks(monkeypatch)
    queue = opened(tmp_path)
    async with running(queue) as committer:
        await groups(committer, queue, put, 3)
        assert committer.directly == 0
    assert queue.stats()["entries"] == 3
    queue.close()


async def test_a_system_whose_contexts_are_all_taken_is_asked_later(
    tmp_path: Path, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0

    def none_left() -> Kernel:
        nonlocal asked
        asked += 1
        raise OSError(errno.EAGAIN, "aio-max-nr")

    queue = opened(tmp_path)
    async with running(queue, none_left) as committer:
        await groups(committer, queue, put, 4)
        assert asked == 1
        monkeypatch.setattr(committer, "_direct_after", 0.0)
        put(queue)
        await committer.commit()
        assert asked == 2
        assert committer.directly == 0
    queue.close()


async def test_an_answer_that_cannot_be_had_fails_the_group(
    tmp_path: Path, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = Stubborn([])
    queue = opened(tmp_path)
    async with running(queue, lambda: kernel) as committer:
        put(queue)
        await committer.commit()
        with monkeypatch.context() as patch:

            def gone() -> int:
                os.read(kernel.told, 8)
                raise OSError(errno.EIO, "no answer")

            patch.setattr(kernel, "result", gone)
            put(queue)
            with pytest.raises(CommitFailed):
                await committer.commit()
        put(queue)
        await committer.commit()
    assert queue.stats()["entries"] == 2
    queue.close()


async def test_only_whole_blocks_are_written(tmp_path: Path) -> None:
    direct = KernelDirect(asyncio.get_running_loop())
    with pytest.raises(ValueError, match="not whole blocks"):
        direct.write(0, [b"x"], 0, lambda error: None)
    with pytest.raises(ValueError, match="not whole blocks"):
        direct.write(0, [bytes(ALIGN)], 1, lambda error: None)
    with pytest.raises(OSError, match="Bad file descriptor"):
        direct.write(99_999, [bytes(ALIGN)], 0, lambda error: None)
    direct.close()


@pytest.mark.parametrize("missing", [0, 1, HEAD_BYTES - 1, HEAD_BYTES, 100, ALIGN - 1])
def test_padding_leads_to_a_whole_block(missing: int) -> None:
    end = 3 * ALIGN - missing
    pad = padding(end, 7)
    assert (end + len(pad)) % ALIGN == 0
    assert len(pad) < ALIGN + HEAD_BYTES
    if missing:
        assert split(pad, 0, 7) == (PAD, bytes(len(pad) - HEAD_BYTES))
    else:
        assert pad == b""


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.tuples(st.sampled_from((0, 1, 900, 4096, 20_000)), st.integers(1, 4), st.booleans()),
        max_size=12,
    ),
    st.lists(st.sampled_from((0, 0, 0, -errno.EIO, errno.EAGAIN, ALIGN)), max_size=6),
)
def test_whatever_way_a_group_goes_it_is_there(
    tmp_path_factory: pytest.TempPathFactory,
    put: Put,
    groups: list[tuple[int, int, bool]],
    answers: list[int],
) -> None:
    path = tmp_path_factory.mktemp("property")
    kept: dict[int, int] = {}

    async def go() -> None:
        queue = opened(path, segment_bytes=400_000, cache_bytes=0)
        kernel = Stubborn([answer for answer in answers if answer])
        async with running(queue, lambda: kernel) as committer:
            for size, count, settle in groups:
                new = {put(queue, bytes(size)): size for _ in range(count)}
                if settle and kept:
                    queue.settle(seq := next(iter(kept)))
                    kept.pop(seq)
                try:
                    await committer.commit()
                except CommitFailed:
                    continue
                kept.update(new)
        queue.close()

    asyncio.run(go())
    again = opened(path, segment_bytes=400_000)
    found = again.read(list(kept))
    assert list(again.seqs()) == sorted(kept)
    assert [len(one.body) for one in found if one] == list(kept.values())
    assert not again.recovery.torn
    assert not again.recovery.quarantined
    again.close()


def test_a_disk_in_memory_makes_room_too(put: Put, commit: Any) -> None:
    disk = SimDisk()
    queue = Queue.open("q", QueueConfig(), disk=disk, now=NOW)
    put(queue)
    disk.capacity = 1 << 20
    assert commit(queue) is None, "no room ahead, but for the group"
    disk.capacity = None
    put(queue)
    assert commit(queue) is None
    name = f"q/{file_name(1)}"
    assert len(disk.names[name].view) > 8 << 20
    queue.close()
    assert len(disk.names[name].view) == 2 * ALIGN
