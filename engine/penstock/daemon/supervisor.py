"""The supervisor: binds the sockets, keeps the workers, grants what they share, answers for all.

It does nothing on the path of a message. Whatever needs one voice for the whole daemon is here:
limits over all workers (the governor), ``/metrics``, the control socket, reload, and the orderly
end.
"""

from __future__ import annotations

import asyncio
import contextlib
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
from penstock.daemon.children import Child
from penstock.daemon.sandbox import Sandbox
from penstock.daemon.shards import assign_shards
from penstock.daemon.sockets import unix_server_path
from penstock.daemon.suspensions import Suspensions
from penstock.events.metrics import Registry
from penstock.intake.http import HttpConfig, HttpServer, make_app
from penstock.limits.governor import Governor
from penstock.policy.policies import Policies
from penstock.settings.models import Settings

log = structlog.get_logger("penstock.supervisor")
_BEAT_S = 1.0
_BEAT_LATE_S = 20.0


class Supervisor:
    """One daemon. ``listeners`` and ``http`` are bound sockets, ``lock`` is the descriptor that
    holds the spool; ``workers`` is their number."""

    def __init__(
        self,
        config_path: str,
        settings: Settings,
        policies: Policies,
        listeners: list[socket.socket],
        http: list[socket.socket],
        lock: int,
        workers: int,
    ) -> None:
        self.config_path, self.settings, self.policies = config_path, settings, policies
        self._http = http
        self._registry = Registry()
        self.governor = Governor(time.monotonic)
        self.suspensions = Suspensions(os.path.join(settings.spool, "suspensions.json"))
        self.started = time.time()
        self._sandbox: Sandbox | None = None
        self._stop = asyncio.Event()
        self._notify = SystemdNotifier()
        self._listeners = listeners
        fds = [*(one.fileno() for one in listeners), lock]
        self.shards = assign_shards(settings.spool, workers)
        self.children = [Child(n, fds, self._worker_handler, self._gone) for n in range(workers)]
        self.admin = Admin(self)

    async def run(self) -> int:
        """Serve until SIGTERM or SIGINT; returns the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload_by_signal)
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
            keepers = [asyncio.create_task(child.keep()) for child in self.children]
            control = await self._serve_control()
            app = make_app(self.collect, self.readiness)
            servers = [HttpServer(app, bound, self._http_config()) for bound in self._http]
            for server in servers:
                await server.start()
            beat = asyncio.create_task(self._heartbeat())
            try:
                await self._stop.wait()
            finally:
                self._notify.notify("STOPPING=1")
                beat.cancel()
                log.info("stopping")
                deadline = float(self.settings.stop_deadline_s)
                await asyncio.gather(*(child.stop(deadline) for child in self.children))
                for keeper in keepers:
                    keeper.cancel()
                await asyncio.gather(beat, *keepers, return_exceptions=True)
                control.close()
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self.settings.control)
                for server in servers:
                    await server.stop()
        log.info("stopped")
        return 0

    def _http_config(self) -> HttpConfig:
        http = self.settings.http
        return HttpConfig(concurrency_max=http.concurrency_max) if http else HttpConfig()

    # workers

    def _worker_handler(self, child: Child) -> Handler:
        def handle(method: str, params: Any) -> Any:
            if method.startswith("limits."):
                return self.governor.handle(child.number, method[7:], params)
            if method == "beat":
                child.beat = time.monotonic()
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
                if all(one.ready for one in self.children):
                    self._notify.notify("READY=1")
                return None
            raise ControlError("unknown-method", f"no method {method!r}")

        return handle

    def _greeting(self, child: Child) -> dict[str, Any]:
        """Everything a worker must know to begin."""
        return {
            "config": self.config_path,
            "number": child.number,
            "workers": len(self.children),
            "shards": self.shards[child.number],
            "listeners": [one.fileno() for one in self._listeners],
            "world": self._sandbox.world if self._sandbox else None,
            "suspensions": {one.id: one.selector for one in self.suspensions.active(time.time())},
        }

    def _gone(self, child: Child) -> None:
        self.governor.worker_gone(child.number)

    async def _heartbeat(self) -> None:
        """Feed systemd's watchdog while every ready worker answers; end suspensions in time."""
        told = False
        while True:
            await asyncio.sleep(_BEAT_S)
            now = time.monotonic()
            late = [c.number for c in self.children if c.ready and now - c.beat > _BEAT_LATE_S]
            if self._sandbox is not None and not self._sandbox.alive and not told:
                told = True
                log.error("the fake providers of the sandbox have ended; restart the daemon")
            if late:
                log.error("workers do not answer", workers=late)
            else:
                self._notify.notify("WATCHDOG=1")
            with contextlib.suppress(ControlError):  # one that starts now is told in its greeting
                await self.admin.end_suspensions()

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
        found["supervisor"] = self._registry.snapshot()
        return found

    async def readiness(self) -> tuple[bool, list[str]]:
        """Whether mail can be taken now, and what stands against it; asks every worker."""
        reasons: list[str] = []
        if self._sandbox is not None and not self._sandbox.alive:
            reasons.append("the fake providers of the sandbox have ended; restart the daemon")
        for child in self.children:
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
        task = asyncio.ensure_future(self.admin.reload({}))
        task.add_done_callback(_log_reload)

    async def _serve_control(self) -> asyncio.Server:
        path = unix_server_path(self.settings.control)
        old = os.umask(0o177)  # only this user may steer the daemon
        try:
            return await asyncio.get_running_loop().create_unix_server(
                lambda: Channel(self.admin.handle), path
            )
        finally:
            os.umask(old)


def _log_reload(task: asyncio.Future[Any]) -> None:
    error = task.exception()
    if error is not None:
        log.error("reload refused, the old settings stay in force", reason=str(error))
