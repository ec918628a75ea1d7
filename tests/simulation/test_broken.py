"""Engines that are broken on purpose: the simulation must find each of them out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from penstock.policy.policies import Policies
from penstock.relay.dispatch import Dispatcher
from penstock.relay.permit import Permits
from penstock.relay.placing import Placing
from penstock.relay.settle import OutcomeSettler
from penstock.relay.spool import Spool
from penstock.sim.whole import simulate
from penstock.worker import parts
from penstock_queue import Queue
from penstock_queue.commit import Commits
from penstock_queue.direct import Done
from penstock_queue.inflight import Inflight
from penstock_queue.simdisk import SimDirect, SimFile

SEEDS_MAX = 100


@pytest.fixture
def assert_blamed() -> Callable[[str], None]:
    """Some seed among those from ``start`` blames the engine with these words."""

    def find(words: str, start: int = 0) -> None:
        for seed in range(start, start + SEEDS_MAX):
            if any(words in one for one in simulate(seed).wrong):
                return
        raise AssertionError(f"nobody noticed: {words}")

    return find


def test_an_acknowledgement_before_the_commit(
    assert_blamed: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    append = Spool.append

    def hasty(self: Spool, *args: Any, **options: Any) -> asyncio.Future[None]:
        append(self, *args, **options)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    monkeypatch.setattr(Spool, "append", hasty)
    assert_blamed("was acknowledged and is lost")


def test_a_direct_write_that_only_seems_durable(
    assert_blamed: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def lazy(self: SimDirect, file: SimFile, data: bytes, offset: int, done: Done) -> None:
        file.write([data], offset)
        self._tell(lambda: done(None))

    monkeypatch.setattr(SimDirect, "_write", lazy)
    assert_blamed("was acknowledged and is lost")


def test_what_was_never_offered_is_forgotten(
    assert_blamed: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Placing, "put_back", lambda self, site, ref: None)
    assert_blamed("no rest")


def test_an_engine_that_never_waits(
    assert_blamed: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    pump = Dispatcher.pump

    def restless(self: Dispatcher, site: Any) -> None:
        pump(self, site)
        self._loop.call_soon(self.pump, site)

    monkeypatch.setattr(Dispatcher, "pump", restless)
    assert_blamed("time stands still")


def test_a_settlement_that_is_not_recorded(
    assert_blamed: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Spool, "settle", lambda self, ref: None)
    assert_blamed("its settlement must have been on disk")


def test_deliveries_under_way_that_are_not_noted(
    assert_blamed: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Inflight, "mark", lambda self, seq: None)
    assert_blamed("the next start did not name it")


def test_a_segment_that_is_trusted_after_a_failed_sync(
    assert_blamed: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Commits, "seal", lambda self: None)
    assert_blamed("was written again after a failed sync", start=130)


def test_a_rate_that_is_not_kept(
    assert_blamed: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def generous(self: Permits, site: Any, extra: Any, number: int) -> bool:
        site.tokens, site.tokens_for, site.seated = 1, (), ()
        return True

    monkeypatch.setattr(Permits, "may_send", generous)
    assert_blamed("messages in")


def test_a_connection_too_many(
    assert_blamed: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = Policies.limits

    def more(self: Policies, *args: str) -> Any:
        found = limits(self, *args)
        return found.overridden(
            {"connections": found.connections + 1}, {"connections": found.where("connections")}
        )

    monkeypatch.setattr(Policies, "limits", more)
    assert_blamed("connections to 20.0.0.")


def test_a_bound_of_memory_that_does_not_hold(
    assert_blamed: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = parts.dispatch_config

    def larger(settings: Any, workers: int) -> Any:
        found = config(settings, workers)
        stage = replace(found.stage, bytes_max=100 * found.stage.bytes_max)
        return replace(found, stage=stage)

    monkeypatch.setattr(parts, "dispatch_config", larger)
    assert_blamed("bytes staged, the bound is")


def test_a_failure_that_nobody_is_told_of(
    assert_blamed: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def mute(self: OutcomeSettler, cases: list[Any], now: float) -> None:
        self._told(cases, True)

    monkeypatch.setattr(OutcomeSettler, "_finish", mute)
    assert_blamed("was given up and nobody was told")


def test_mail_that_a_start_forgets(
    assert_blamed: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Queue.open

    def forgetful(*args: Any, **options: Any) -> Queue:
        queue = opened(*args, **options)
        for seq in list(queue.seqs())[:1]:
            queue.settle(seq)
        return queue

    monkeypatch.setattr(Queue, "open", forgetful)
    assert_blamed("was acknowledged and is lost")
