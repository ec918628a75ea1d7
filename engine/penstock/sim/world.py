"""All fake providers of one sandbox, on loopback ports of their own, in one process."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from penstock.sim.names import Names
from penstock.sim.providers import GENERIC, NAMED, Profile, patient
from penstock.sim.server import Message, Provider


@dataclass(frozen=True, slots=True)
class WorldConfig:
    """``latency`` scales all delays (0: none); ``patient``: providers take everything at once.
    ``changes`` are fields of profiles by provider name: ``{"gmail": {"rate_per_s": 50.0}}``, and
    ``"*"`` for all of them."""

    seed: int = 1
    latency: float = 1.0
    tls: bool = True
    patient: bool = False
    changes: Mapping[str, Mapping[str, Any]] | None = None


class World:
    """Providers by name. ``names`` is the map that a resolver needs."""

    def __init__(self, providers: Mapping[str, Provider], names: Names) -> None:
        self.providers = providers
        self.names = names

    def stats(self) -> dict[str, dict[str, int]]:
        return {name: provider.stats() for name, provider in self.providers.items()}


def _changed(profile: Profile, config: WorldConfig) -> Profile:
    if config.patient:
        profile = patient(profile)
    changes = config.changes or {}
    return replace(profile, **{**changes.get("*", {}), **changes.get(profile.name, {})})


@contextlib.asynccontextmanager
async def running_world(
    config: WorldConfig | None = None,
    profiles: Sequence[Profile] = NAMED,
    on_message: Callable[[Message], None] | None = None,
) -> AsyncGenerator[World, None]:
    """Start ``profiles`` and the generic provider, each on a free port of 127.0.0.1."""
    settings = config or WorldConfig()
    context = None
    if settings.tls and not settings.patient:
        from penstock.sim.certificate import server_context  # cryptography takes its time to load

        context = server_context(tuple(name for profile in profiles for name in profile.mx))
    async with contextlib.AsyncExitStack() as stack:
        providers: dict[str, Provider] = {}
        for profile in (*profiles, GENERIC):
            provider = Provider(
                _changed(profile, settings),
                seed=settings.seed,
                latency=settings.latency,
                tls=context,
                on_message=on_message,
            )
            await provider.start()
            stack.push_async_callback(provider.close)
            providers[profile.name] = provider
        yield World(providers, _names(profiles, providers))


def _names(profiles: Sequence[Profile], providers: Mapping[str, Provider]) -> Names:
    return Names(
        {domain: profile.mx for profile in profiles for domain in profile.domains},
        {
            name: ("127.0.0.1", providers[profile.name].port)
            for profile in profiles
            for name in profile.mx
        },
        ("127.0.0.1", providers[GENERIC.name].port),
    )
