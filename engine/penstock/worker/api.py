"""The HTTP API in a worker: its listeners, its keys, and the ports its routes use."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

import structlog

from penstock.api.admission import AdmissionConfig, KeyAccess, guesses
from penstock.api.app import make_app
from penstock.api.charges import Charges
from penstock.api.documentation import PUBLIC
from penstock.api.events_stream import streams
from penstock.api.gate import GateConfig
from penstock.api.keys import FILE, BadKeyFile, KeyRing
from penstock.api.measures import Measures
from penstock.api.ports import Ports
from penstock.api.routers import ROUTERS
from penstock.api.server import ApiServer, ServerConfig
from penstock.api.steering_measures import measure
from penstock.control import Channel
from penstock.events.metrics import Registry
from penstock.intake.certificates import server_context
from penstock.limits.ports import Limiter
from penstock.policy.policies import Policies
from penstock.settings.api import ApiSettings
from penstock.settings.models import Settings
from penstock.worker.injection import Injection

log = structlog.get_logger("penstock.worker")
_STOP_S = 5.0


def tls_of(api: ApiSettings) -> ssl.SSLContext | None:
    """Our side of TLS for a listener: 1.2 or better. Raises ``OSError`` for what OpenSSL cannot
    use."""
    if not api.certificate:
        return None
    context = server_context(api.certificate, api.key)
    context.set_alpn_protocols(["http/1.1"])
    return context


class Api:
    """All listeners of one worker. ``settings`` gives those in force; ``now`` is the time of day,
    ``steady`` a clock that does not jump."""

    def __init__(
        self,
        sockets: Sequence[int],
        settings: Callable[[], Settings],
        policies: Callable[[], Policies],
        channel: Channel,
        limiter: Limiter,
        registry: Registry,
        injection: Injection,
        *,
        now: Callable[[], float],
        steady: Callable[[], float],
    ) -> None:
        self._sockets, self._settings, self._channel = sockets, settings, channel
        self._injection = injection
        self._now, self._steady = now, steady
        self._charges = Charges(limiter, steady)
        self._ports = Ports(
            self._call, now, settings, policies, registry, self._charges, intake=injection.intake
        )
        self._measures = Measures(registry, time.perf_counter)
        measure(registry)
        self._ring = KeyRing(f"{settings().spool}/{FILE}")
        keys = registry.gauge("penstock_api_keys")
        registry.on_snapshot(lambda: keys.set(len(self._ring)))
        self._servers: list[ApiServer] = []
        self._access: list[KeyAccess] = []
        self._contexts: list[ssl.SSLContext | None] = []

    async def start(self) -> None:
        await self._injection.start()
        self.look()
        settings = self._settings()
        for number, (fd, api) in enumerate(zip(self._sockets, settings.api, strict=True)):
            bound = socket.socket(fileno=fd)  # ours alone, as those of SMTP
            bound.setblocking(False)
            access = KeyAccess(
                self._ring,
                _admission(settings, api),
                self._charges,
                self._measures,
                now=self._now,
                monotonic=self._steady,
            )
            self._contexts.append(tls_of(api))
            app = make_app(ROUTERS, access, self._ports, _gate(api), self._measures)
            server = ApiServer(app, bound, self._bounds(api, number))
            await server.start()
            self._measures.connections(server.connections)
            self._access.append(access)
            self._servers.append(server)

    def _bounds(self, api: ApiSettings, number: int) -> ServerConfig:
        tls: Callable[[], ssl.SSLContext] | None = None
        if self._contexts[number] is not None:
            tls = lambda: cast(ssl.SSLContext, self._contexts[number])  # noqa: E731
        return ServerConfig(
            connections_max=api.connections_max,
            head_bytes_max=api.head_bytes_max,
            request_timeout_s=api.request_timeout_s,
            keep_alive_s=api.keep_alive_s,
            stop_timeout_s=_STOP_S,
            tls=tls,
        )

    def look(self) -> None:
        """Once a second: take up keys that were made or revoked."""
        try:
            self._ring.look()
        except (BadKeyFile, OSError) as error:
            log.error("the API keys cannot be read; those known stay in force", reason=str(error))

    def reload(self, settings: Settings) -> None:
        """Certificates, networks and proxies of the same listeners. Raises ``OSError`` for files
        that cannot be used, and changes nothing then."""
        self._contexts[:] = [tls_of(api) for api in settings.api]
        for access, api in zip(self._access, settings.api, strict=False):
            access.config = _admission(settings, api)

    async def stop(self) -> None:
        streams().closing.set()
        await asyncio.gather(*(server.stop() for server in self._servers))
        self._injection.close()

    def _call(self, method: str, params: dict[str, Any]) -> Awaitable[Any]:
        return self._channel.call("admin", {"method": method, "params": params})


def _admission(settings: Settings, api: ApiSettings) -> AdmissionConfig:
    return AdmissionConfig(
        api.networks,
        api.proxies,
        settings.delivery == "sandbox",
        guesses(api.refusal_delay_max_s),
    )


def _gate(api: ApiSettings) -> GateConfig:
    return GateConfig(
        request_bytes_max=api.request_bytes_max,
        receiving_bytes_max=api.receiving_bytes_max,
        request_timeout_s=api.request_timeout_s,
        public=PUBLIC,
    )
