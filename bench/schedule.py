"""How many scheduling decisions a second: ready queues, limits, retries, and what comes due.

All figures are CPU time of this process, one core. A decision is what dispatch does for one message
that is ready: ask the limiter for the rates of its site and its provider, take the message from its
ready queue. *Due to ready* is what it costs before that: a backlog, all of it overdue, goes from
the timers of a real queue to the ready queues of a real dispatcher; *longest tick* is how long that
keeps the event loop from anything else.

    python -m bench.schedule [--full] [--messages N] [--domains N] [--json PATH]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import pathlib
import random
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any

from bench import report
from bench.fill import DAY_S, write
from bench.harness import scratch
from penstock.limits.governor import Governor
from penstock.limits.local import LocalConfig, LocalLimiter
from penstock.limits.ports import Claim
from penstock.limits.remote import GovernorLimiter, RemoteConfig
from penstock.mail.outcome import Outcome
from penstock.policy.load import load_policies
from penstock.policy.policies import Policies
from penstock.policy.rate import Rate
from penstock.relay.dispatch import Dispatcher
from penstock.relay.dispatch_ports import Build, DispatchConfig
from penstock.relay.lane import Site
from penstock.relay.ports import Destination, Host
from penstock.relay.spool import Shard, Spool
from penstock.schedule.rate import Gcra
from penstock.schedule.ready import Place, ReadyQueue
from penstock.schedule.retry import delay
from penstock_queue import Committer, Queue, QueueConfig, RealDisk

OPEN = Rate(10**9, 1.0, 10**9)
PROVIDERS = 20


def per_call_us(call: Callable[[], Any], calls: int) -> float:
    start = time.process_time()
    for _ in range(calls):
        call()
    return (time.process_time() - start) / calls * 1e6


def alone(ref: int) -> int:
    return ref


def fill(messages: int, sites: int) -> tuple[list[ReadyQueue], float]:
    """Queues with ``messages`` spread over ``sites``; and the microseconds a push took."""
    queues = [ReadyQueue() for _ in range(sites)]
    order = [random.randrange(sites) for _ in range(messages)]
    start = time.process_time()
    for ref, site in enumerate(order):
        queues[site].push(site & 3, ref)
    return queues, (time.process_time() - start) / messages * 1e6


def shared_us(takes: int) -> tuple[float, float]:
    """Microseconds in and out of a ready queue that 20 tenants share, with 5 campaigns of 20 lanes
    each, in all three classes: where all have a backlog, and where none has."""
    queue = ReadyQueue()
    keys = range(20 * 5 * 20)
    for key in keys:
        tenant = key // 100
        place = Place(tenant % 3, f"tenant {tenant}", 1 + tenant % 2, f"campaign {key // 20}", 1)
        queue.place(key, place)
    order = [random.choice(keys) for _ in range(takes)]
    start = time.process_time()
    for key in order:
        queue.push(key, 77)
    while queue.take(alone, 1):
        pass
    backlog = time.process_time() - start
    start = time.process_time()
    for key in order:
        queue.push(key, 77)
        queue.take(alone, 1)
    return backlog / takes * 1e6, (time.process_time() - start) / takes * 1e6


def queue_bytes(sites: int) -> float:
    """Bytes of one ready queue that holds one message."""
    place = Place(1, "tenant", 1, "campaign", 1)
    tracemalloc.start()
    queues = [ReadyQueue() for _ in range(sites)]
    for queue in queues:
        queue.place(1, place)
        queue.push(1, 1 << 50)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return size / sites


def decide_all(queues: list[ReadyQueue], limiter: LocalLimiter) -> int:
    """Takes every message of every queue, in turn, each with the leave of site and provider."""
    claims = [
        (Claim(f"site/{n}", OPEN), Claim(f"provider/{n % PROVIDERS}", OPEN))
        for n in range(len(queues))
    ]
    decisions = 0
    waiting = [n for n, queue in enumerate(queues) if queue.ready]
    while waiting:
        for n in waiting:
            if limiter.try_messages(claims[n], 1).granted:
                decisions += len(queues[n].take(alone, 1))
        waiting = [n for n in waiting if queues[n].ready]
    return decisions


async def ask_governor(questions: int) -> tuple[float, float]:
    """Microseconds a message with a leased rate, and a question for an exact one, carried in
    process: what the worker and the governor spend together."""
    governor = Governor(time.monotonic)

    async def call(method: str, params: Any) -> Any:
        return governor.handle(0, method, params)

    limiter = GovernorLimiter(call, time.monotonic, RemoteConfig())
    leased = [Claim("leased", Rate(10**6, 1.0, 10**4))]
    exact = [[Claim(f"exact/{n}", Rate(10, 1.0, 10))] for n in range(questions)]
    start = time.process_time()
    for _ in range(questions):
        if limiter.try_messages(leased, 1) is None:
            await limiter.messages(leased, 1)
    leased_us = (time.process_time() - start) / questions * 1e6
    start = time.process_time()
    for at in range(0, questions, 50):
        await asyncio.gather(*(limiter.messages(each, 1) for each in exact[at : at + 50]))
    return leased_us, (time.process_time() - start) / questions * 1e6


async def come_due(directory: pathlib.Path) -> tuple[float, float]:
    """Microseconds a message from due to ready, and milliseconds of the longest tick. Each domain
    is a site of its own, and none of them answers."""
    now, loop = time.time() + 2 * DAY_S, asyncio.get_running_loop()
    queue = Queue.open(str(directory), QueueConfig(), disk=RealDisk(), now=now)
    spool = Spool([Shard(0, queue, Committer(queue, loop))], lambda refs: None, lambda error: error)

    async def find(domain: str) -> Destination | Outcome:
        hosts = (Host(f"mx.{domain}", ("192.0.2.1",), 10),)
        return Destination(domain, hosts, domain, "", "mx", None, now + DAY_S)

    async def connect(site: Site) -> Outcome:
        await asyncio.Event().wait()
        raise AssertionError

    policies = load_policies({"default.toml": ""})
    assert isinstance(policies, Policies)
    build: Build = None  # type: ignore[assignment]  # nothing gets as far as that
    dispatcher = Dispatcher(
        DispatchConfig(),
        policies=policies,
        routes=(),
        spool=spool,
        limiter=LocalLimiter(loop.time, LocalConfig()),
        find=find,
        connect=connect,
        build=build,
        now=lambda: now,
        rng=random.Random(1),
        waited=lambda *_: None,
    )
    gc.set_threshold(50_000, 20, 100)  # as a worker has it
    gc.collect()
    gc.freeze()
    start, longest = time.process_time(), 0.0
    while queue.next_deadline() is not None and queue.stats()["timer_entries"]:
        tick = time.process_time()
        dispatcher.tick()
        longest = max(longest, time.process_time() - tick)
        await asyncio.sleep(0)
    while dispatcher.locator.pending:  # noqa: ASYNC110 (nobody sets an event, and it is short)
        await asyncio.sleep(0)
    spent = time.process_time() - start
    ready = int(dispatcher.stats()["ready"])
    if ready != queue.recovery.entries:
        raise SystemExit(f"{ready} of {queue.recovery.entries} are ready")
    await dispatcher.stop(0.0)
    queue.close()
    return spent / ready * 1e6, longest * 1e3


def measure(messages: int, domains: int, overdue: int) -> dict[str, float]:
    random.seed(1)
    queues, push_us = fill(messages, domains)
    limiter = LocalLimiter(time.monotonic, LocalConfig(keys_max=2 * domains + PROVIDERS))
    start = time.process_time()
    decisions = decide_all(queues, limiter)
    seconds = time.process_time() - start
    if decisions != messages:
        raise SystemExit(f"{decisions} decisions for {messages} messages")
    with scratch() as directory:
        write(str(directory / "shard"), overdue, 200, min(domains, overdue // 10), 0.0)
        due_us, tick_ms = asyncio.run(come_due(directory / "shard"))

    queue, gcra, claim = ReadyQueue(), Gcra(OPEN), [Claim("k", OPEN)]
    for ref in range(100_000):
        queue.push(ref & 15, ref)

    def push_take() -> None:
        queue.push(3, 77)
        queue.take(alone, 1)

    leased_us, exact_us = asyncio.run(ask_governor(10_000))
    shared_backlog_us, shared_idle_us = shared_us(100_000)
    return {
        "messages": messages,
        "domains": domains,
        "decisions_per_s": round(messages / seconds),
        "decision_us": round(seconds / messages * 1e6, 2),
        "push_us_cold": round(push_us, 2),
        "push_take_us": round(per_call_us(push_take, 100_000), 2),
        "shared_push_take_us": round(shared_backlog_us, 2),
        "shared_idle_push_take_us": round(shared_idle_us, 2),
        "gcra_take_us": round(per_call_us(lambda: gcra.take(1, 5.0), 100_000), 2),
        "local_messages_us": round(per_call_us(lambda: limiter.try_messages(claim, 1), 100_000), 2),
        "leased_messages_us": round(leased_us, 2),
        "governor_question_us": round(exact_us, 2),
        "retry_delay_us": round(
            per_call_us(lambda: delay(5, 1200.0, 2.0, 14400.0, 0.1, 0.3), 100_000), 2
        ),
        "queue_bytes": round(queue_bytes(10_000)),
        "due_to_ready_us": round(due_us, 2),
        "longest_tick_ms": round(tick_ms, 1),
    }


_SHOWN = {
    "decision_us": "a decision: two rates, one message taken",
    "push_us_cold": "a message into one of all ready queues",
    "push_take_us": "in and out of one ready queue",
    "shared_push_take_us": "the same, shared by 20 tenants with a backlog",
    "shared_idle_push_take_us": "the same, shared by 20 tenants without one",
    "local_messages_us": "a rate, within one process",
    "leased_messages_us": "a rate, leased from the governor",
    "governor_question_us": "a rate too low to lease, asked each time",
    "retry_delay_us": "when to try again",
    "due_to_ready_us": "from due to ready, of a backlog overdue",
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.schedule")
    parser.add_argument("--full", action="store_true", help="10^6 messages over 10^5 domains")
    parser.add_argument("--messages", type=int, help="queued; by default 200,000")
    parser.add_argument("--domains", type=int, help="by default 20,000, each a site of its own")
    parser.add_argument("--json", type=pathlib.Path, help="default: bench/out/schedule.json")
    given = parser.parse_args(arguments)
    messages, domains, overdue = (
        (1_000_000, 100_000, 500_000) if given.full else (200_000, 20_000, 50_000)
    )
    figures = measure(given.messages or messages, given.domains or domains, overdue)
    report.show(
        f"Scheduling: {figures['messages']:,} queued over {figures['domains']:,} domains",
        ("CPU", "us"),
        [(text, f"{figures[name]:.2f}") for name, text in _SHOWN.items()],
    )
    report.console().print(
        f"{figures['decisions_per_s']:,} decisions/s; a ready queue of one message takes "
        f"{figures['queue_bytes']} bytes; the longest tick was {figures['longest_tick_ms']} ms"
    )
    report.save("schedule", figures, given.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
