"""The way to the governor: one batch on its way at a time, what comes meanwhile goes with the next.

So cost per question falls as questions come faster, and the governor sees everything of one worker
in the order in which it happened. What needs no answer (tokens and seats returned) is added up by
key until the next batch. When the governor cannot be reached every question fails at once with
:class:`Unreachable`, and from then on one question is let through from time to time to find out.
When it is there again, or has forgotten us meanwhile (its epoch differs), it is told first which
seats are held.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

_T = TypeVar("_T")


class Unreachable(Exception):
    """The governor did not answer."""


@dataclass(frozen=True, slots=True)
class LinkConfig:
    """``probe_s``: while unreachable, how often to try; ``call_timeout_s``: no answer by then is
    the same as no governor."""

    batch_max: int = 256
    probe_s: float = 1.0
    call_timeout_s: float = 2.0


@dataclass(slots=True)
class _Question:
    method: str
    params: Any
    answer: asyncio.Future[Any]
    settle: Callable[[Any], Any]
    undo: Callable[[Any], None]


class Link:
    """``call(method, params)`` carries one batch and may raise ``ConnectionError``; ``held()`` is
    every seat held, as ``[[key, n], ...]``; ``lost()`` and ``found()`` tell of changes."""

    def __init__(
        self,
        call: Callable[[str, Any], Awaitable[Any]],
        clock: Callable[[], float],
        config: LinkConfig,
        held: Callable[[], list[list[Any]]],
        lost: Callable[[], None],
        found: Callable[[], None],
    ) -> None:
        self._call = call
        self._clock = clock
        self._config = config
        self._held = held
        self._on_lost = lost
        self._on_found = found
        self._questions: list[_Question] = []
        self._notes: dict[str, dict[str, int]] = {
            "give_back": {},
            "disconnect": {},
            "spend": {},
        }
        self._runner: asyncio.Task[None] | None = None
        self._epoch: int | None = None
        self._restate = False
        self._down = False
        self._probe_at = 0.0
        self.batches = 0
        self.carried = 0
        self.failures = 0

    def open(self) -> bool:
        """Whether a question may be asked: the governor answers, or it is time to try again."""
        return not self._down or (self._runner is None and self._clock() >= self._probe_at)

    async def ask(
        self,
        method: str,
        params: Any,
        settle: Callable[[Any], _T],
        undo: Callable[[_T], None],
    ) -> _T:
        """Asks; raises :class:`Unreachable`. ``settle`` turns the answer into a grant and takes it
        into account, in the moment in which it arrives, so that what is told to the governor next
        counts it; ``undo(grant)`` gives it back where the caller was cancelled meanwhile."""
        answer: asyncio.Future[_T] = asyncio.get_running_loop().create_future()
        self._questions.append(_Question(method, params, answer, settle, undo))
        self._run()
        try:
            return await answer
        except asyncio.CancelledError:
            if answer.done() and not answer.cancelled() and answer.exception() is None:
                undo(answer.result())
            raise

    def note(self, method: str, key: str, n: int) -> None:
        """``give_back``, ``disconnect`` or ``spend``, sent with the next batch; dropped while
        unreachable."""
        if self._down:
            return
        notes = self._notes[method]
        notes[key] = notes.get(key, 0) + n
        self._run()

    def retry(self) -> None:
        """The transport is connected anew: state the seats held, now rather than with the next
        question."""
        self._restate = True
        self._probe_at = 0.0
        self._run()

    @property
    def down(self) -> bool:
        return self._down

    @property
    def waiting(self) -> int:
        return len(self._questions)

    async def close(self) -> None:
        """Drops what was not sent; questions fail with :class:`Unreachable`."""
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.gather(self._runner, return_exceptions=True)
            self._runner = None  # where it had not begun, nothing of it has run
        if self._questions:
            self._lose([], {})

    def _run(self) -> None:
        if self._runner is None:
            self._runner = asyncio.get_running_loop().create_task(self._drain())

    def _pending(self) -> bool:
        return bool(self._questions) or self._restate or any(self._notes.values())

    async def _drain(self) -> None:
        batch: list[_Question] = []
        spent: dict[str, int] = {}
        try:
            while self._pending():
                batch = self._questions[: self._config.batch_max]
                del self._questions[: self._config.batch_max]
                spent = self._notes["spend"]
                notes = self._take_notes()
                self.batches += 1
                self.carried += len(batch) + len(notes)
                wire = notes + [[each.method, each.params] for each in batch]
                async with asyncio.timeout(self._config.call_timeout_s):
                    epoch, results = await self._call("batch", wire)
                self._up(epoch)
                for question, result in zip(batch, results[len(notes) :], strict=True):
                    grant = question.settle(result)
                    if question.answer.done():
                        question.undo(grant)
                    else:
                        question.answer.set_result(grant)
        except (ConnectionError, TimeoutError):
            self._lose(batch, spent)
        except BaseException:
            self._lose(batch, spent)
            raise
        finally:
            self._runner = None

    def _take_notes(self) -> list[list[Any]]:
        """What to tell before the questions; a statement of all seats covers those returned."""
        notes: list[list[Any]] = []
        if self._restate:
            self._restate = False
            self._notes["disconnect"] = {}
            notes.append(["restate", self._held()])
        for method, counts in self._notes.items():
            if counts:
                notes.append([method, [[key, n] for key, n in counts.items()]])
                self._notes[method] = {}
        return notes

    def _up(self, epoch: int) -> None:
        if self._epoch is not None and epoch != self._epoch and not self._down:
            self._restate = True
        self._epoch = epoch
        if self._down:
            self._down = False
            self._on_found()

    def _lose(self, batch: list[_Question], spent: dict[str, int]) -> None:
        """``spent`` is charged later, twice rather than not at all."""
        self.failures += 1
        self._restate = True  # with the next question
        for key, n in self._notes["spend"].items():
            spent[key] = spent.get(key, 0) + n
        self._notes = {"give_back": {}, "disconnect": {}, "spend": spent}
        self._probe_at = self._clock() + self._config.probe_s
        if not self._down:
            self._down = True
            self._on_lost()
        failed, self._questions = batch + self._questions, []
        for question in failed:
            if not question.answer.done():
                question.answer.set_exception(Unreachable())
