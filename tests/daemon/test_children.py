"""A worker's slot has one process at a time, whoever starts and stops it in whatever order."""

import asyncio

import pytest

from penstock.daemon.children import Child


class Slot(Child):
    """``runs`` are under way; each ends when the test says so."""

    def __init__(self) -> None:
        super().__init__(0, (), lambda child: lambda method, params: None, lambda child: None)
        self.runs: list[asyncio.Event] = []
        self.at_once = 0
        self.failure: OSError | None = None

    async def _run_once(self) -> int:
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        over = asyncio.Event()
        self.runs.append(over)
        self.at_once += 1
        await over.wait()
        self.at_once -= 1
        return 0


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture
async def slot():
    child = Slot()
    child.start()
    await turns()
    yield child
    stopping = asyncio.ensure_future(child.stop(1.0))
    await turns()
    for run in child.runs:
        run.set()
    await stopping


async def test_one_that_ends_still_is_waited_for_before_it_is_started_again(slot):
    """An upgrade that fails: who asked for the end is gone, and the worker has not ended yet."""
    asked = asyncio.ensure_future(slot.stop(5.0))
    await turns()
    asked.cancel()
    again = asyncio.ensure_future(slot.stop(5.0))
    await turns()
    assert not again.done(), "it is ending still"
    slot.runs[0].set()
    await again
    slot.start()
    await turns()
    assert (len(slot.runs), slot.at_once) == (2, 1)


async def test_it_is_not_started_while_it_runs(slot):
    with pytest.raises(AssertionError, match="has not returned"):
        slot.start()


async def test_one_that_died_is_not_started_again_once_told_to_stop(slot):
    slot.runs[0].set()
    await turns()
    await slot.stop(5.0)  # in the pause before the next run
    await turns()
    assert len(slot.runs) == 1


async def test_one_that_cannot_be_made_is_tried_again(slot, monkeypatch):
    monkeypatch.setattr("penstock.daemon.children.SERVED_PAUSE_MAX_S", 0.0)
    monkeypatch.setattr("penstock.daemon.children.RESTART_PAUSE_MAX_S", 0.0)
    slot.failure = OSError(24, "Too many open files")
    slot.runs[0].set()
    for _ in range(20):
        await turns()
    assert (len(slot.runs), slot.at_once) == (2, 1)
