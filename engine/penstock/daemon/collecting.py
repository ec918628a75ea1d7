"""The collector as the supervisor sees it: kept running, asked, and heard when a guard trips.

Nothing of the mail depends on it. While it is away the daemon is as ready as before: events wait in
the log, and only statistics, suppressions and webhooks are late.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

import structlog

from penstock.control import ControlError, Handler
from penstock.daemon.children import COLLECTOR, Child

if TYPE_CHECKING:
    import socket

    from penstock.daemon.supervisor import Supervisor

log = structlog.get_logger("penstock.supervisor")
_STATE_S = 2.0
_METRICS_S = 5.0
_ANSWER_S = 30.0
_STARTING_S = 5.0


class Collecting:
    """``sockets``: bound for the collector, by name; ``lock``: the spool's, which it holds too,
    since those sockets are free only when it is gone. Off where the settings say so."""

    def __init__(
        self, supervisor: Supervisor, sockets: dict[str, socket.socket], lock: int
    ) -> None:
        self._supervisor, self.sockets = supervisor, sockets
        fds = [*(one.fileno() for one in sockets.values()), lock]
        self.enabled = supervisor.settings.events.enabled
        self.child = Child(0, fds, self._handler, self._gone, COLLECTOR)
        self._up = supervisor.registry.gauge("penstock_collector_up")

    def start(self) -> None:
        if self.enabled:
            self._up.set(0)
            self.child.start()

    async def stop(self, deadline_s: float) -> None:
        await self.child.stop(deadline_s)

    async def call(self, method: str, params: Any = None, timeout_s: float = _ANSWER_S) -> Any:
        """Its answer; raises ``ControlError`` where there is none to be had. Mail is taken before
        the collector is there: who asks in the meantime waits for it a little."""
        if not self.enabled:
            raise ControlError(
                "off", "there are no events: events.enabled is false in the settings"
            )
        if not self.child.ready and not self.child.stopped:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.child.serving.wait(), _STARTING_S)
        try:
            return await self.child.call(method, params, timeout_s)
        except ConnectionError as error:
            raise ControlError("unavailable", f"{error}; see the log") from None

    async def state(self) -> dict[str, Any]:
        """For ``status``; never fails."""
        found: dict[str, Any] = {"enabled": self.enabled, "ready": self.child.ready}
        if self.enabled:
            found |= {"pid": self.child.pid, "away_s": self.child.away_s, "consumers": []}
            if self.child.ready:
                with contextlib.suppress(ControlError):
                    found |= await self.call("state", timeout_s=_STATE_S)
        return found

    async def metrics(self) -> dict[str, Any]:
        """A snapshot by name, as of a worker; empty where it does not answer."""
        if self.enabled and self.child.ready:
            with contextlib.suppress(ControlError):
                return {"collector": await self.call("metrics", timeout_s=_METRICS_S)}
        return {}

    async def reload(self) -> None:
        """One that is away reads the new policies when it comes."""
        if not self.enabled or not self.child.ready:
            return
        try:
            await self.call("reload")
        except ControlError as error:
            log.error("the collector did not take up the policies", reason=str(error))

    async def trips_of(self, tenant: str, campaign: str) -> list[dict[str, Any]]:
        """Guards that tripped in the last day for mail of these, the last first; never fails."""
        if not self.enabled or not self.child.ready:
            return []
        try:
            trips = (await self.call("guards", timeout_s=_STATE_S))["trips"]
        except ControlError:
            return []
        since = time.time() - 86_400.0
        return [
            trip
            for trip in trips
            if trip["tenant"] == tenant
            and trip["campaign"] in ("", campaign)
            and max(trip["at"], trip["until"]) >= since
        ]

    # what it asks

    def _handler(self, child: Child) -> Handler:
        def handle(method: str, params: Any) -> Any:
            if method == "beat":
                child.beat = time.monotonic()
                return None
            if method == "hello":
                return {
                    "config": self._supervisor.config_path,
                    "sockets": {name: one.fileno() for name, one in self.sockets.items()},
                }
            if method == "ready":
                child.begin_to_serve()
                self._up.set(1)
                log.info("collector ready", pid=child.pid, away_s=child.away_s)
                return None
            if method == "guard.pause":
                return self._pause(params)
            if method == "mail.submit":
                return self._submit(params)
            raise ControlError("unknown-method", f"no method {method!r}")

        return handle

    def _gone(self, child: Child) -> None:
        self._up.set(0)

    async def _pause(self, params: dict[str, Any]) -> Any:
        """Suspend the mail that a guard is about, once: it asks again where it did not hear."""
        supervisor, now = self._supervisor, time.time()
        if supervisor.upgrading:
            raise ControlError("unavailable", "an upgrade is under way; try again when it is done")
        selector, who, until = params["selector"], params["who"], float(params["until"])
        for one in supervisor.operations.exactly("suspend", selector):
            if one.who == who and one.active(now):
                return {"id": one.id}
        if until <= now:
            return None
        asked = {
            "selector": selector,
            "duration_s": until - now,
            "who": who,
            "reason": params["reason"],
        }
        return await supervisor.admin.steer.begin("suspend", asked, by_itself=True)

    async def _submit(self, params: dict[str, Any]) -> Any:
        """Mail of our own goes by any worker that takes it."""
        why = "no worker is ready"
        for child in self._supervisor.children:
            if child.ready:
                try:
                    return await child.call("mail.submit", params)
                except (ConnectionError, ControlError) as error:
                    why = str(error)
        raise ControlError("unavailable", why)
