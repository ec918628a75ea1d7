"""An upgrade in place: the daemon that runs starts the next one and hands everything over.

The next one is a fresh process of whatever code and settings are installed now. It inherits the
listening sockets and the spool's lock, so no port is ever without a listener and the spool never
without an owner. It checks its settings, starts its workers, and then takes one worker's place
after the other: the old worker ends what it has begun and lets go of its shards, the new one opens
them and serves. Until the last of them serves, the old daemon answers all questions and grants all
limits; if the new one fails before that, the old one starts its workers again and nothing has
happened. Each end may die at any moment: the shards' locks say who may open them, and a channel
that closes tells the other end.

From the new daemon to the old one, over a socket pair:

==========  ==============================  =======================================================
method      params                          meaning
==========  ==============================  =======================================================
failed      text                            it will not run here, and why; it ends
prepared    ``{"pid", "version"}``          settings are good, sockets are bound
release     ``[shard, ...]``                end the workers that have these; answered when they did
limits.*    ``[worker, params]``            for the old daemon's governor
finish                                      all serve: end the rest, answer nobody any more
==========  ==============================  =======================================================
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

from penstock import __version__
from penstock.control import Channel, ControlError, tell
from penstock.daemon.children import Child

ENVIRON = "PENSTOCK_HANDOVER"
PREPARE_S = 60.0
SERVE_S = 600.0
# The new daemon's workers are others than the old one's of the same numbers.
NEW_WORKERS = 512


class UpgradeFailed(Exception):
    """The old daemon goes on; the message says why."""


def command() -> list[str]:
    """How this daemon was called, so that the same call finds the code installed now: a script is
    called as one, since its first line may name another interpreter by now."""
    arguments = sys.orig_argv[1:]
    if arguments and os.path.isfile(arguments[0]) and os.access(arguments[0], os.X_OK):
        return arguments
    return [sys.executable, *arguments]


@dataclass
class Inheritance:
    """What a daemon got from the one before it."""

    spool: str
    channel: socket.socket
    lock: int
    sockets: list[socket.socket]

    @classmethod
    def take(cls, environ: MutableMapping[str, str]) -> Inheritance | None:
        """``None`` where nobody handed over anything; takes the variable out."""
        text = environ.pop(ENVIRON, "")
        if not text:
            return None
        given = json.loads(text)
        for fd in (given["channel"], given["lock"], *given["sockets"]):
            os.set_inheritable(fd, False)
        sockets = [socket.socket(fileno=fd) for fd in given["sockets"]]
        channel = socket.socket(fileno=given["channel"])
        return cls(given["spool"], channel, given["lock"], sockets)

    def refuse(self, reason: str) -> None:
        """We will not run here."""
        with contextlib.suppress(OSError):
            tell(self.channel, "failed", reason)


class Predecessor:
    """The daemon before this one."""

    def __init__(self, inheritance: Inheritance) -> None:
        self._socket = inheritance.channel
        self._channel: Channel | None = None

    async def connect(self) -> None:
        self._socket.setblocking(False)
        loop = asyncio.get_running_loop()
        _, self._channel = await loop.create_connection(
            lambda: Channel(_nothing), sock=self._socket
        )

    async def call(self, method: str, params: Any = None) -> Any:
        """``None`` where it is gone: what it held is free then, or will be soon."""
        assert self._channel is not None
        with contextlib.suppress(ConnectionError):
            return await self._channel.call(method, params)
        return None

    async def grant(self, worker: int, method: str, params: Any) -> Any:
        """Its governor's answer; raises ``ConnectionError`` where it is gone."""
        assert self._channel is not None
        return await self._channel.call(method, [worker, params])

    def close(self) -> None:
        if self._channel is not None:
            self._channel.close()


class Successor:
    """The daemon after this one, from its start to its last word.

    ``release(shards)`` and ``finish(pid)`` do what they are named for in the old daemon;
    ``govern(worker, method, params)`` is its governor.
    """

    def __init__(
        self,
        release: Callable[[list[int]], Awaitable[None]],
        finish: Callable[[int], Awaitable[None]],
        govern: Callable[[int, str, Any], Any],
    ) -> None:
        self._release, self._finish, self._govern = release, finish, govern
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Channel | None = None
        self._prepared = asyncio.Event()
        self._finished = False
        self._reason = ""
        self.version = ""

    @property
    def pid(self) -> int:
        return self._process.pid if self._process is not None else 0

    async def run(self, spool: str, lock: int, sockets: Sequence[int]) -> None:
        """Returns when it has taken over everything; raises :class:`UpgradeFailed`, and then it is
        gone."""
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        given = {"spool": spool, "channel": theirs.fileno(), "lock": lock, "sockets": list(sockets)}
        with theirs:
            try:
                # not asyncio's: it outlives us, and our loop must not end it
                self._process = subprocess.Popen(  # noqa: ASYNC220, S603
                    command(),
                    stdin=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(), lock, *sockets),
                    env={**os.environ, ENVIRON: json.dumps(given)},
                )
            except OSError as error:
                ours.close()
                raise UpgradeFailed(f"cannot start {command()[0]}: {error.strerror}") from None
        _, self._channel = await loop.create_connection(lambda: Channel(self._answer), sock=ours)
        try:
            await self._wait_until_prepared(self._channel)
            await self._channel.closed
        finally:
            if not self._finished:
                await self._end()
        if not self._finished:
            raise UpgradeFailed(self._reason or "the new daemon ended before it had taken over")

    async def _wait_until_prepared(self, channel: Channel) -> None:
        """Or until it is gone; one that takes too long is given up."""
        channel.closed.add_done_callback(lambda _: self._prepared.set())
        try:
            await asyncio.wait_for(self._prepared.wait(), PREPARE_S)
        except TimeoutError:
            self._reason = f"the new daemon was not prepared in {PREPARE_S:g} s"
            channel.close()

    async def _end(self) -> None:
        """It has failed: its workers see that it is gone, and give their shards back."""
        process = self._process
        assert process is not None
        if self._channel is not None:
            self._channel.close()
        process.kill()
        await asyncio.get_running_loop().run_in_executor(None, process.wait)

    async def abort(self) -> None:
        """We are told to stop meanwhile, and it with us."""
        if self._process is not None and not self._finished:
            self._reason = "the daemon was told to stop"
            await self._end()

    def _answer(self, method: str, params: Any) -> Any:
        if method == "failed":
            self._reason = str(params)
            return None
        if method == "prepared":
            self.version = str(params["version"])
            self._prepared.set()
            return None
        if method == "release":
            return self._release([int(shard) for shard in params])
        if method == "finish":
            return self._end_of_ours()
        if method.startswith("limits."):
            worker, asked = params
            return self._govern(NEW_WORKERS + int(worker), method[7:], asked)
        raise ControlError("unknown-method", f"no method {method!r}")

    async def _end_of_ours(self) -> None:
        await self._finish(self.pid)
        self._finished = True


async def take_over(
    predecessor: Predecessor,
    children: Sequence[Child],
    shards: Sequence[Sequence[int]],
    stop: asyncio.Event,
) -> str:
    """One worker after the other; returns ``""``, or what went wrong. Whoever is told to stop
    stops."""
    await predecessor.call("prepared", {"pid": os.getpid(), "version": __version__})
    for child in children:
        await _first(stop, child.failed, child.waiting, child.serving)
        if not stop.is_set() and not child.failed.is_set():
            await predecessor.call("release", list(shards[child.number]))
            await _first(stop, child.failed, child.serving)
        if not child.serving.is_set():
            return "told to stop" if stop.is_set() else f"worker {child.number} does not start"
    await predecessor.call("finish")
    predecessor.close()
    return ""


async def _first(*events: asyncio.Event) -> None:
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=SERVE_S, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


def _nothing(method: str, params: Any) -> Any:
    raise ControlError("unknown-method", f"no method {method!r}")
