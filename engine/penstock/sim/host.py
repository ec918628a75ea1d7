"""The machine that the engine lives on: it boots, is killed, loses power, is told to stop.

Everything that a worker takes from its surroundings is handed to the production
:class:`~penstock.worker.engine.Engine` from here; its code runs unchanged.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import random
import socket
from collections.abc import Callable
from typing import Any, cast

from penstock.control import Channel
from penstock.limits.governor import Governor
from penstock.policy.policies import Policies
from penstock.relay.ports import Resolver
from penstock.settings.models import Settings
from penstock.sim.drive import Drive
from penstock.sim.ledger import Ledger
from penstock.sim.loop import Process, SimLoop
from penstock.worker.engine import Engine
from penstock.worker.greeting import Greeting
from penstock.worker.machine import Machine
from penstock_queue import QueueError
from penstock_queue.simdisk import SimDirect

_REBOOT_S = (0.05, 2.0)
_CALL_S = 0.0005
_STOP_DEADLINE_S = 5.0


class _Supervisor:
    """What a worker has of its supervisor: the governor of the limits."""

    def __init__(self, governor: Governor) -> None:
        self._governor = governor

    async def call(self, method: str, params: Any = None) -> Any:
        await asyncio.sleep(_CALL_S)
        if method == "pacing.tally":
            return None
        return self._governor.handle(0, method.removeprefix("limits."), params)


class _Jobs:
    def __init__(self, host: Host) -> None:
        self._host = host

    def put(self, job: Callable[[], None]) -> None:
        self._host.order(job)

    def join(self) -> None:
        return  # whoever stops has awaited what it ordered


class Host:
    """``disk_s(rng)``: how long a blocking job takes. ``at_cut``: what a cut amid a job is,
    ``"kill"`` or ``"power"``. ``ready(engine)`` is called when the engine serves."""

    def __init__(
        self,
        loop: SimLoop,
        drive: Drive,
        ledger: Ledger,
        rng: random.Random,
        *,
        settings: Settings,
        policies: Policies,
        resolver: Resolver,
    ) -> None:
        self._loop, self.drive, self._ledger, self._rng = loop, drive, ledger, rng
        self._settings, self._policies, self._resolver = settings, policies, resolver
        self._world = contextvars.copy_context()
        self._token = socket.socket()
        self._governor = Governor(loop.time)
        self._process: Process | None = None
        self._number = 0
        self._stays_down = False
        self.engine: Engine | None = None
        self.gone = asyncio.Event()  # set while no process of the engine lives
        self.at_cut = "kill"
        self.disk_s: Callable[[random.Random], float] = lambda rng: 0.001
        self.deaths: dict[str, int] = {}
        self.watch: Callable[[Engine], None] = lambda engine: None
        loop.job = self.order

    def boot(self) -> None:
        if self._process is not None or self._stays_down:
            return
        self.gone.clear()
        self._number += 1
        self._process = Process(self._number)
        self._process.context.run(self._loop.create_task, self._live(self._process))

    async def _live(self, process: Process) -> None:
        machine = Machine(
            disk=self.drive,
            now=self._ledger.wall,
            steady=self._loop.time,
            rng=random.Random(self._rng.getrandbits(64)),
            jobs=lambda name: _Jobs(self),
            direct=lambda loop: SimDirect(self.drive, self.order, loop.call_soon),
            resolver=self._resolver,
            write=len,
            suppressing=False,
        )
        greeting = Greeting("", 0, 1, [0], [os.dup(self._token.fileno())])
        channel = cast(Channel, _Supervisor(self._governor))
        try:
            engine = await Engine.recover(
                self._settings, self._policies, greeting, channel, machine, lambda: None
            )
        except (OSError, QueueError) as error:
            self._ledger.log(f"engine: no start: {error}")
            self._loop.call_soon(self.die, "kill", context=self._world)
            return
        self._ledger.born(process.number, engine.recovered()["maybe_doubled"])
        await engine.start()
        self.engine = engine

    # its end

    def die(self, how: str) -> None:
        """``"kill"``: the process is gone. ``"power"``: so is what was not synced."""
        process = self._process
        if process is None:
            return
        self.deaths[how] = self.deaths.get(how, 0) + 1
        self._ledger.died(process.number, how, self.drive.synced_from)
        self._process, self.engine = None, None
        self.gone.set()
        self._loop.network.hang_up(process)
        if how == "power":
            self.drive.crash(self._rng)
        else:
            self.drive.leave_to_the_dead()
            self.drive.kill()
        self._loop.kill(process)
        self._governor.worker_gone(0)
        self._loop.call_later(self._rng.uniform(*_REBOOT_S), self.boot, context=self._world)

    def stop(self) -> None:
        """As SIGTERM would."""
        process, engine = self._process, self.engine
        if process is not None and engine is not None:
            self._ledger.log("engine: told to stop")
            process.context.copy().run(self._loop.create_task, self._stop(engine, process))

    async def _stop(self, engine: Engine, process: Process) -> None:
        self.engine = None
        await engine.stop(_STOP_DEADLINE_S)
        if process is self._process:
            self._loop.call_soon(self.die, "stop", context=self._world)

    def shut(self) -> None:
        """It never boots again."""
        self._stays_down = True
        self.die("kill")
        self._token.close()

    # blocking work

    def order(self, job: Callable[[], None]) -> None:
        process, began = self._process, self._ledger.event()
        context = contextvars.copy_context()
        delay_s = self.disk_s(self._rng)
        if process is not None:
            self._loop.call_later(
                delay_s, self._do, process, context, job, began, context=self._world
            )

    def _do(
        self,
        process: Process,
        context: contextvars.Context,
        job: Callable[[], None],
        began: int,
    ) -> None:
        if not process.alive:
            return
        if self.engine is not None:
            self.watch(self.engine)
        if not self.drive.run(lambda: context.run(job), began):
            self._ledger.log(f"the machine stops amid I/O ({self.at_cut})")
            self.die(self.at_cut)
