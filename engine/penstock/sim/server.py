"""A fake provider: one listening socket, one memory, any number of sessions."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import ssl
from collections.abc import Callable
from typing import NamedTuple

from penstock.sim.behaviour import Behaviour
from penstock.sim.providers import Profile, Spread
from penstock.sim.session import Session

HANDSHAKE_S = 10.0


class Message(NamedTuple):
    """What a provider took: ``content`` is as it came, still dot-stuffed."""

    provider: str
    sender: str
    recipients: tuple[str, ...]
    content: bytes


class Provider:
    """``latency`` scales the profile's delays, 0 takes them away. ``on_message`` is called with
    every message taken; without it content is counted and thrown away. Make it inside the running
    loop."""

    def __init__(
        self,
        profile: Profile,
        *,
        seed: int = 0,
        latency: float = 1.0,
        tls: ssl.SSLContext | None = None,
        on_message: Callable[[Message], None] | None = None,
    ) -> None:
        self.behaviour = Behaviour(profile, seed)
        self.loop = asyncio.get_running_loop()
        self.tls = tls
        self.on_message = on_message
        self.sessions: set[Session] = set()
        self.port = 0
        self._seed = f"{profile.name}/{seed}"
        self._latency = latency / 1000
        self._host = profile.mx[0] if profile.mx else "mx.example"
        self._ids = itertools.count(0x1A2B3C)
        self._numbers = itertools.count()
        self._upgrades: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self._server = await self.loop.create_server(lambda: Session(self), host, port, backlog=512)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        for session in list(self.sessions):
            session.close()
        for task in self._upgrades:
            task.cancel()
        await asyncio.gather(*self._upgrades, return_exceptions=True)
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def stats(self) -> dict[str, int]:
        """Counts by outcome, and the sessions open now."""
        return {**self.behaviour.counts, "open": len(self.sessions)}

    # what sessions ask

    def session_rng(self) -> random.Random:
        """Each connection draws from its own sequence, so that runs do not depend on timing."""
        return random.Random(f"{self._seed}/{next(self._numbers)}")

    def draw_s(self, rng: random.Random, spread: Spread) -> float:
        if not self._latency or not spread.high:
            return 0.0
        return (spread.low + (spread.high - spread.low) * rng.random()) * self._latency

    def wire(self, text: str, client: str, address: str) -> bytes:
        """The bytes of a reply of the profile, its names filled in."""
        if "{" in text:
            text = text.replace("{id}", f"{next(self._ids):x}").replace("{host}", self._host)
            text = text.replace("{client}", client).replace("{to}", address)
        return text.replace("\n", "\r\n").encode("utf-8", "replace") + b"\r\n"

    def hello(self, secure: bool) -> bytes:
        profile = self.behaviour.profile
        words = [self._host, f"SIZE {profile.size_max}", "8BITMIME", "SMTPUTF8"]
        words += ["PIPELINING", "ENHANCEDSTATUSCODES"]
        if self.tls is not None and profile.starttls and not secure:
            words.append("STARTTLS")
        lines = [f"250-{word}\r\n" for word in words[:-1]] + [f"250 {words[-1]}\r\n"]
        return "".join(lines).encode()

    def upgrade(self, session: Session, transport: asyncio.Transport) -> None:
        task = self.loop.create_task(self._handshake(session, transport))
        self._upgrades.add(task)
        task.add_done_callback(self._upgrades.discard)

    async def _handshake(self, session: Session, transport: asyncio.Transport) -> None:
        assert self.tls is not None
        secured: asyncio.Transport | None = None
        with contextlib.suppress(OSError, ssl.SSLError):
            secured = await self.loop.start_tls(
                transport, session, self.tls, server_side=True, ssl_handshake_timeout=HANDSHAKE_S
            )
        session.secured(secured)

    def took(self, sender: str, recipients: tuple[str, ...], content: bytes) -> None:
        if self.on_message is not None:
            name = self.behaviour.profile.name
            self.on_message(Message(name, sender, recipients, content))
