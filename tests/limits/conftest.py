"""A clock that stands still, and limiters of every kind on it."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import msgpack
import pytest

from penstock.limits.governor import Governor, GovernorConfig
from penstock.limits.link import LinkConfig
from penstock.limits.local import LocalLimiter
from penstock.limits.ports import Claim, Limiter
from penstock.limits.remote import GovernorLimiter, RemoteConfig


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Office:
    """A governor and its workers in one process, with a wire of msgpack between them that can be
    cut."""

    def __init__(self, clock: Clock, config: GovernorConfig | None = None) -> None:
        self.clock = clock
        self.config = config or GovernorConfig()
        self.governor = Governor(clock, self.config)
        self.cut = False
        self.calls: list[tuple[int, str, Any]] = []
        self.limiters: list[GovernorLimiter] = []

    def worker(
        self, index: int = 0, workers: int = 1, config: RemoteConfig | None = None
    ) -> GovernorLimiter:
        async def call(method: str, params: Any) -> Any:
            if self.cut:
                raise ConnectionError("cut")
            params = msgpack.unpackb(msgpack.packb(params))
            self.calls.append((index, method, params))
            result = self.governor.handle(index, method, params)
            return msgpack.unpackb(msgpack.packb(result))

        config = replace(config or RemoteConfig(), index=index, workers=workers)
        limiter = GovernorLimiter(call, self.clock, config)
        self.limiters.append(limiter)
        return limiter

    def restart(self) -> None:
        """The supervisor died, and another has taken its place."""
        self.clock.now += 0.01
        self.governor = Governor(self.clock, self.config)

    def asked(self) -> list[str]:
        """The methods inside all batches so far."""
        return [each[0] for _, _, params in self.calls for each in params]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def office(clock: Clock) -> AsyncIterator[Office]:
    office = Office(clock)
    yield office
    for limiter in office.limiters:
        await limiter.close()


@pytest.fixture(params=["local", "governor"])
def limiter(request: pytest.FixtureRequest, clock: Clock, office: Office) -> Limiter:
    return LocalLimiter(clock) if request.param == "local" else office.worker()


Spend = Callable[..., Any]


@pytest.fixture
def spend() -> Spend:
    """Runs workers that send as fast as they are let: each asks when it was told to, and again at
    once after a grant. Returns ``[(when, worker, n), ...]``."""

    async def run(
        clock: Clock,
        limiters: list[Limiter],
        claims: Callable[[int], list[Claim]],
        until: float,
        want: int = 1,
        late: Callable[[], float] = lambda: 0.0,
        each: Callable[[], None] = lambda: None,
    ) -> list[tuple[float, int, int]]:
        order = itertools.count()
        turns = [(clock.now, next(order), worker) for worker in range(len(limiters))]
        sent = []
        while turns[0][0] < until:
            at, _, worker = heapq.heappop(turns)
            clock.now = max(clock.now, at)
            each()
            grant = limiters[worker].try_messages(claims(worker), want)
            if grant is None:
                grant = await limiters[worker].messages(claims(worker), want)
            again = clock.now
            if grant.granted:
                sent.append((clock.now, worker, grant.granted))
            else:
                assert grant.retry_at >= clock.now
                again = grant.retry_at + late()
            heapq.heappush(turns, (again, next(order), worker))
        return sent

    return run


def most_in_a_window(sent: list[tuple[float, int, int]], period_s: float) -> int:
    """The most tokens in any half-open window of ``period_s``."""
    most = inside = start = 0
    for at, _, n in sent:
        inside += n
        while sent[start][0] <= at - period_s + 1e-6:
            inside -= sent[start][2]
            start += 1
        most = max(most, inside)
    return most


@pytest.fixture
def window() -> Callable[[list[tuple[float, int, int]], float], int]:
    return most_in_a_window


@pytest.fixture
def make_office(clock: Clock) -> Callable[[GovernorConfig], Office]:
    return lambda config: Office(clock, config)


@pytest.fixture
def quick() -> RemoteConfig:
    """Gives up on a silent governor at once."""
    return RemoteConfig(link=LinkConfig(call_timeout_s=0.01))
