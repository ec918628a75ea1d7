"""The supervisor: binds the sockets, keeps the workers, grants what they share, answers for all.

It does nothing on the path of a message. Whatever needs one voice for the whole daemon is here:
limits over all workers (the governor), ``/metrics``, the control socket, reload, and the orderly
end.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
import socket
import time
from typing import Any

import structlog
from sdnotify import SystemdNotifier

from penstock import __version__
from penstock.control import Channel, ControlError, Handler
from penstock.daemon.admin import Admin
from penstock.daemon.api import Management
from penstock.daemon.children import Child
from penstock.daemon.collecting import Collecting
from penstock.daemon.handover import (
    NEW_WORKERS,
    Predecessor,
    Successor,
    UpgradeFailed,
    take_over,
)
from penstock.daemon.operations import Operations
from penstock.daemon.pacing import Pacing
from penstock.daemon.sandbox import Sandbox
from penstock.daemon.shards import assign_shards
from penstock.daemon.sockets import ForWorkers
from penstock.daemon.told import operator_did
from penstock.daemon.unwatched import logged
from penstock.daemon.warmup import Warmups
from penstock.daemon.workers import ask_those_there
from penstock.events.configure import open_journal
from penstock.events.figures import EventFigures
from penstock.events.metrics import Registry
from penstock.intake.http import HttpConfig, HttpServer, make_app
from penstock.limits.governor import Governor
from penstock.policy.policies import Policies
from penstock.settings.models import Settings

log = structlog.get_logger("penstock.supervisor")
_BEAT_S = 1.0
_BEAT_LATE_S = 20.0


class Supervisor:
    """One daemon. ``listeners``, ``http``, ``control`` and the ``collector``'s are bound sockets,
    ``lock`` is the descriptor that holds the spool; ``workers`` is their number. With a
    ``predecessor`` it begins by taking over from that."""

    def __init__(
        self,
        config_path: str,
        settings: Settings,
        policies: Policies,
        listeners: ForWorkers,
        http: list[socket.socket],
        control: socket.socket,
        lock: int,
        workers: int,
        predecessor: Predecessor | None = None,
        collector: dict[str, socket.socket] | None = None,
        api: socket.socket | None = None,
    ) -> None:
        self.config_path, self.settings, self.policies = config_path, settings, policies
        self._http, self._control, self._lock = http, control, lock
        self._predecessor = predecessor
        self._successor: Successor | None = None
        self._handed_over = False
        self.registry = Registry()
        self.events = open_journal(settings, "supervisor", time.time)
        EventFigures(self.registry, self.events.stats)
        self.governor = Governor(time.monotonic)
        self.operations = Operations(settings.spool)
        self.started = time.time()
        self._sandbox: Sandbox | None = None
        self._stop = asyncio.Event()
        self._notify = SystemdNotifier()
        if self._notify.socket is not None:
            self._notify.socket.setblocking(False)  # better a word lost than to stand
        self._listeners = listeners
        fds = [*(one.fileno() for one in listeners.all()), lock]
        self.shards = assign_shards(settings.spool, workers)
        self.children = [Child(n, fds, self._worker_handler, self._gone) for n in range(workers)]
        self.warmups = Warmups(
            settings.spool,
            lambda: self.policies,
            time.time,
            self.registry,
            workers,
            self._tell_warmed,
            settings.relay.pairs_max,
        )
        if predecessor is None:  # else that one grants until it has ended
            self.warmups.load()
        self.collecting = Collecting(self, collector or {}, lock)
        self.admin = Admin(self)
        self._management = Management(self, api)
        suspend = functools.partial(self.admin.steer.begin, "suspend", by_itself=True)
        self.pacing = Pacing(
            self, settings.spool, self.registry, suspend, pairs_max=settings.relay.pairs_max
        )

    async def run(self) -> int:
        """Serve until SIGTERM or SIGINT; returns the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload_by_signal)
        loop.add_signal_handler(signal.SIGUSR2, self._upgrade_by_signal)
        log.info(
            "starting",
            version=__version__,
            workers=len(self.children),
            delivery=self.settings.delivery,
            smtp=",".join(smtp.listen for smtp in self.settings.smtp),
            http=self.settings.http.listen if self.settings.http else "",
        )
        async with contextlib.AsyncExitStack() as stack:
            if self.settings.delivery == "sandbox":
                self._sandbox = await stack.enter_async_context(Sandbox())
            for child in self.children:
                child.start()
            self.collecting.start()
            try:
                if self._predecessor is not None and not await self._take_over(self._predecessor):
                    return 1
                await self._serve()
            finally:
                await self._end_workers()
        log.info("stopped")
        return 0

    async def _serve(self) -> None:
        """Answer at the control socket and over HTTP until told to stop."""
        loop = asyncio.get_running_loop()
        control = await loop.create_unix_server(
            lambda: Channel(self.admin.handle), sock=self._control
        )
        app = make_app(self.collect, self.readiness)
        servers = [HttpServer(app, bound, self._http_config()) for bound in self._http]
        for server in servers:
            await server.start()
        self._management.start()
        beat = asyncio.create_task(self._heartbeat())
        self._tell_ready()
        try:
            await self._stop.wait()
        finally:
            if not self._handed_over:
                self._notify.notify("STOPPING=1")
            beat.cancel()
            log.info("stopping")
            await self._end_workers()
            await asyncio.gather(beat, return_exceptions=True)
            if not self._handed_over:
                self.pacing.save()
                self.warmups.close()
            control.close()
            await self._management.stop(handed_over=self._handed_over)
            if not self._handed_over:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self.settings.control)
            for server in servers:
                await server.stop()
            self.events.close()

    async def _end_workers(self) -> None:
        if self._successor is not None:
            await self._successor.abort()
        await self._stop_all()

    async def _stop_all(self) -> None:
        deadline = float(self.settings.stop_deadline_s)
        ends = [*(child.stop(deadline) for child in self.children), self.collecting.stop(deadline)]
        await asyncio.gather(*ends)

    # upgrades

    @property
    def upgrading(self) -> bool:
        return self._successor is not None

    async def upgrade(self) -> dict[str, Any]:
        """Start the next daemon and hand everything over to it; on any failure go on as before."""
        if self._successor is not None:
            raise ControlError("unavailable", "an upgrade is under way")
        starting = [str(child.number) for child in self.children if not child.ready]
        if starting:
            raise ControlError(
                "unavailable", f"worker {', '.join(starting)} is starting; try again"
            )
        successor = Successor(self._release, self._finish, self.governor.handle)
        self._successor = successor
        log.info("upgrade begins")
        ours = [*self._listeners.all(), *self._http, *self.collecting.sockets.values()]
        sockets = [one.fileno() for one in (*ours, *self._management.sockets, self._control)]
        try:
            await successor.run(self.settings.spool, self._lock, sockets)
        except UpgradeFailed as error:
            self._successor = None
            log.error("upgrade failed, this daemon goes on", reason=str(error))
            for child in self.children:
                self.governor.worker_gone(NEW_WORKERS + child.number)
            if not self._stop.is_set():
                await self._take_back([child for child in self.children if child.stopped])
            raise ControlError("failed", f"{error}; nothing was changed") from None
        log.info("upgraded", pid=successor.pid, version=successor.version)
        operator_did(self.events, "upgrade", reason=f"{__version__} -> {successor.version}")
        self._handed_over = True
        asyncio.get_running_loop().call_soon(self._stop.set)
        return {"pid": successor.pid, "version": successor.version, "was": __version__}

    async def _take_back(self, children: list[Child]) -> None:
        """Start them again; one that was asked to let go may be ending still."""
        deadline = float(self.settings.stop_deadline_s)
        await asyncio.gather(*(child.stop(deadline) for child in children))
        if not self._stop.is_set():
            for child in children:
                child.start()

    async def _release(self, shards: list[int]) -> None:
        """End the workers that have any of these shards: the next daemon waits for them."""
        owners = [
            c for c in self.children if not c.stopped and set(self.shards[c.number]) & set(shards)
        ]
        deadline = float(self.settings.stop_deadline_s)
        await asyncio.gather(*(child.stop(deadline) for child in owners))

    async def _finish(self, pid: int) -> None:
        await self._stop_all()
        self.pacing.save()  # the next daemon reads these when this returns
        self.warmups.close()
        self._notify.notify(f"MAINPID={pid}")

    async def _take_over(self, predecessor: Predecessor) -> bool:
        await predecessor.connect()
        reason = await take_over(predecessor, self.children, self.shards, self._stop)
        self._predecessor = None
        if reason:
            log.error("taking over failed", reason=reason)
        else:
            self.pacing.load()
            self.warmups.load()
            for child in self.children:
                self.pacing.greet(child)
        return not reason

    async def _grant(self, predecessor: Predecessor, child: Child, method: str, params: Any) -> Any:
        """Limits hold for both daemons together as long as there are two."""
        try:
            return await predecessor.grant(child.number, method, params)
        except ConnectionError:
            return self.governor.handle(child.number, method[7:], params)

    def _http_config(self) -> HttpConfig:
        http = self.settings.http
        return HttpConfig(concurrency_max=http.concurrency_max) if http else HttpConfig()

    # workers

    def _worker_handler(self, child: Child) -> Handler:
        def handle(method: str, params: Any) -> Any:
            if method.startswith("limits."):
                if self._predecessor is not None:
                    return self._grant(self._predecessor, child, method, params)
                return self.governor.handle(child.number, method[7:], params)
            if method == "beat":
                child.beat = time.monotonic()
                return None
            if method == "admin":  # a route of the HTTP API asks
                return self.admin.handle(params["method"], params["params"])
            if method == "warmup.ask":
                return self.warmups.handle(params)
            if method == "pacing.tally":
                self.pacing.take(params)
                return None
            if method == "hello":
                return self._greeting(child)
            if method == "waiting":
                child.waiting.set()
                return None
            if method == "recovered":
                log.info("worker recovered", worker=child.number, pid=child.pid, **params)
                return None
            if method == "ready":
                child.begin_to_serve()
                log.info("worker ready", worker=child.number, pid=child.pid, away_s=child.away_s)
                self._tell_ready()
                self.admin.steer.greet(child)
                self.pacing.greet(child)
                return None
            raise ControlError("unknown-method", f"no method {method!r}")

        return handle

    def _tell_warmed(self) -> None:
        told = asyncio.ensure_future(ask_those_there(self.children, "warmup.changed", {}))
        told.add_done_callback(logged("a worker does not take what changed in warming up"))

    def _greeting(self, child: Child) -> dict[str, Any]:
        """Everything a worker must know to begin."""
        return {
            "config": self.config_path,
            "number": child.number,
            "workers": len(self.children),
            "shards": self.shards[child.number],
            **self._listeners.numbers(),
            "world": self._sandbox.world if self._sandbox else None,
            "rules": self.admin.steer.rules(),
            "paces": self.pacing.rows(),
        }

    def _tell_ready(self) -> None:
        if self._predecessor is None and all(one.ready for one in self.children):
            self._notify.notify("READY=1")

    def _gone(self, child: Child) -> None:
        self.governor.worker_gone(child.number)

    async def _heartbeat(self) -> None:
        """Feed systemd's watchdog while every ready worker answers; end operations in time."""
        told = False
        while True:
            await asyncio.sleep(_BEAT_S)
            if self.upgrading:
                self._notify.notify("WATCHDOG=1")
                continue
            now = time.monotonic()
            late = [c.number for c in self.children if c.ready and now - c.beat > _BEAT_LATE_S]
            if self._sandbox is not None and not self._sandbox.alive and not told:
                told = True
                log.error("the fake providers of the sandbox have ended; restart the daemon")
            if late:
                log.error("workers do not answer", workers=late)
            else:
                self._notify.notify("WATCHDOG=1")
            self.admin.steer.tick()
            self.pacing.tick()
            self.warmups.tick()
            self.events.flush()

    # seeing

    async def collect(self) -> dict[str, Any]:
        """A snapshot of every worker that answers, by name, and of this process."""
        answers = await asyncio.gather(
            *(child.call("metrics", timeout_s=5.0) for child in self.children),
            return_exceptions=True,
        )
        found: dict[str, Any] = {
            str(child.number): answer
            for child, answer in zip(self.children, answers, strict=True)
            if not isinstance(answer, BaseException)
        }
        found |= await self.collecting.metrics()
        found["supervisor"] = self.registry.snapshot()
        return found

    async def readiness(self) -> tuple[bool, list[str]]:
        """Whether mail can be taken now, and what stands against it; asks every worker."""
        reasons: list[str] = []
        if self._sandbox is not None and not self._sandbox.alive:
            reasons.append("the fake providers of the sandbox have ended; restart the daemon")
        for child in self.children:
            if child.stopped and self.upgrading:
                continue  # another serves in its place
            if not child.ready:
                reasons.append(f"worker {child.number} is not ready")
                continue
            try:
                refusal = await child.call("refusal", timeout_s=2.0)
            except (ConnectionError, ControlError) as error:
                refusal = str(error)
            if refusal:
                reasons.append(f"worker {child.number} refuses mail: {refusal}")
        return not reasons, reasons

    # steering

    def _reload_by_signal(self) -> None:
        task = asyncio.ensure_future(self.admin.handle("reload", {}))
        task.add_done_callback(logged("reload refused, the old settings stay in force"))

    def _upgrade_by_signal(self) -> None:
        task = asyncio.ensure_future(self.upgrade())
        task.add_done_callback(logged("no upgrade"))
