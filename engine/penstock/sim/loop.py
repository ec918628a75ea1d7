"""One event loop for a whole simulated world: its engine, its peers, its clients.

Nothing in it touches the machine: time is virtual, connections are pairs of buffers
(:mod:`penstock.sim.network`), what would run in a thread runs at once and takes virtual time. A
*process* is told by the context that its callbacks carry, so it can be killed as a process is:
between two of its steps, with nothing of it ever running again.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from penstock.sim.clock import Deadlock, VirtualClock

if TYPE_CHECKING:
    from penstock.sim.network import Network

_TASKS_MAX = 200
_TURNS_MAX = 20_000  # of the loop without any time going by
# told by garbage collection, which has no fixed time
_LAST_WORDS = ("was never retrieved", "but it is pending!")


class Restless(RuntimeError):
    """Callbacks call each other without end and without waiting."""


class Process:
    """Whatever runs in ``context``, and what it started, until :meth:`SimLoop.kill`."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.alive = True
        self.context = contextvars.copy_context()
        self.context.run(_PROCESS.set, self)
        self.tasks: list[asyncio.Task[Any]] = []


_PROCESS: contextvars.ContextVar[Process | None] = contextvars.ContextVar("process", default=None)


def current_process() -> Process | None:
    """Whose code is running; ``None``: the world's own."""
    return _PROCESS.get()


def owner(context: contextvars.Context) -> Process | None:
    """Whose code runs in ``context``."""
    return context.get(_PROCESS)


class _Selector:
    """Nothing ever becomes ready by itself, so time jumps to the next timer."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._turns = 0

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise Deadlock("all tasks wait and no timer is left")
        self._turns += 1
        if timeout > 0:
            self._turns = 0
            self._clock.advance(timeout)
        elif self._turns > _TURNS_MAX:
            raise Restless(f"time stands still at {self._clock.now:.4f}: somebody never waits")
        return []


class SimLoop(asyncio.BaseEventLoop):
    """``network`` and ``job`` (runs a blocking job, some time later) are set by whoever builds the
    world. ``errors``: what the code reported to its loop."""

    network: Network

    def __init__(self, clock: VirtualClock | None = None) -> None:
        super().__init__()
        self.clock = clock or VirtualClock(1000.0)
        self._selector = _Selector(self.clock)
        self.errors: list[str] = []
        self.last_error: BaseException | None = None
        self.job: Callable[[Callable[[], None]], object] = self.call_soon
        self.set_task_factory(_task)
        self.set_exception_handler(_note)

    def time(self) -> float:
        return self.clock.now

    def _process_events(self, event_list: list[Any]) -> None:
        return

    def _write_to_self(self) -> None:
        return  # nobody but this thread ever adds a callback

    # what the engine asks of its loop

    async def create_connection(  # type: ignore[override]
        self, factory: Any, *args: Any, **options: Any
    ) -> Any:
        host, port = args
        local = options.get("local_addr")
        return await self.network.connect(factory, (host, port), local[0] if local else "")

    async def create_server(  # type: ignore[override]
        self, factory: Any, *args: Any, **options: Any
    ) -> Any:
        bound: socket.socket = options["sock"]
        bound.close()  # only a token: the listener is the simulated network's
        return self.network.listen(factory)

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, function: Any, *args: Any
    ) -> Any:
        future: asyncio.Future[Any] = self.create_future()

        def run() -> None:
            try:
                result = function(*args)
            except Exception as error:
                if not future.done():
                    future.set_exception(error)
            else:
                if not future.done():
                    future.set_result(result)

        self.job(run)
        return future

    # processes

    def kill(self, process: Process) -> None:
        """It never runs again. Its coroutines are closed at once, so that garbage collection, which
        has no fixed time, finds nothing to run."""
        process.alive = False
        self._forget(process)
        process.context.copy().run(self._close_tasks, process)
        self._forget(process)

    def _forget(self, process: Process) -> None:
        handles = [*self._ready, *self._scheduled]  # type: ignore[attr-defined]
        for handle in cast("list[asyncio.Handle]", handles):
            context: contextvars.Context = handle._context  # type: ignore[attr-defined]
            if owner(context) is process:
                handle.cancel()

    def _close_tasks(self, process: Process) -> None:
        for task in process.tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            if not task.done():
                with contextlib.suppress(BaseException):
                    task.get_coro().close()
        process.tasks.clear()


def _task(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Task[Any]:
    process = current_process()
    task: asyncio.Task[Any] = asyncio.Task(coro, loop=loop, **options)
    if process is not None:
        if len(process.tasks) >= _TASKS_MAX:
            process.tasks = [one for one in process.tasks if not one.done()]
        process.tasks.append(task)
    return task


def _note(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What the engine's code reports to its loop is a finding, but for the last words of a process
    that was killed."""
    assert isinstance(loop, SimLoop)
    process = current_process()
    message = str(context.get("message"))
    if (process is None or process.alive) and not message.endswith(_LAST_WORDS):
        loop.errors.append(f"{message}: {context.get('exception')!r}")
        loop.last_error = context.get("exception")
