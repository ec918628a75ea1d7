"""How many scheduling decisions a second: ready queues, limits, retries, in memory, one core.

    python bench/schedule.py [--messages N] [--sites N] [--json PATH]

Prints one line for people and one JSON object; all figures are CPU time of this process. A decision
is what dispatch does for one message: ask the limiter for the site's and the provider's rate, take
the message from its ready queue.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "engine"))

from penstock.limits.governor import Governor
from penstock.limits.local import LocalConfig, LocalLimiter
from penstock.limits.ports import Claim
from penstock.limits.remote import GovernorLimiter, RemoteConfig
from penstock.policy.rate import Rate
from penstock.schedule.rate import Gcra
from penstock.schedule.ready import ReadyQueue
from penstock.schedule.retry import delay

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


def queue_bytes(sites: int) -> float:
    """Bytes of one ready queue that holds one message."""
    tracemalloc.start()
    queues = [ReadyQueue() for _ in range(sites)]
    for queue in queues:
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


def measure(messages: int, sites: int) -> dict[str, float]:
    random.seed(1)
    queues, push_us = fill(messages, sites)
    limiter = LocalLimiter(time.monotonic, LocalConfig(keys_max=2 * sites + PROVIDERS))
    start = time.process_time()
    decisions = decide_all(queues, limiter)
    seconds = time.process_time() - start
    if decisions != messages:
        raise SystemExit(f"{decisions} decisions for {messages} messages")

    queue, gcra, claim = ReadyQueue(), Gcra(OPEN), [Claim("k", OPEN)]
    for ref in range(100_000):
        queue.push(ref & 15, ref)

    def push_take() -> None:
        queue.push(3, 77)
        queue.take(alone, 1)

    leased_us, exact_us = asyncio.run(ask_governor(10_000))
    return {
        "messages": messages,
        "sites": sites,
        "decisions_per_s": round(messages / seconds),
        "decision_us": round(seconds / messages * 1e6, 2),
        "push_us_cold": round(push_us, 2),
        "push_take_us": round(per_call_us(push_take, 100_000), 2),
        "gcra_take_us": round(per_call_us(lambda: gcra.take(1, 5.0), 100_000), 2),
        "local_messages_us": round(per_call_us(lambda: limiter.try_messages(claim, 1), 100_000), 2),
        "leased_messages_us": round(leased_us, 2),
        "governor_question_us": round(exact_us, 2),
        "retry_delay_us": round(
            per_call_us(lambda: delay(5, 1200.0, 2.0, 14400.0, 0.1, 0.3), 100_000), 2
        ),
        "queue_bytes": round(queue_bytes(10_000)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--messages", type=int, default=300_000)
    parser.add_argument("--sites", type=int, default=30_000)
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    options = parser.parse_args()
    figures = measure(options.messages, options.sites)
    print(
        f"schedule: {figures['decisions_per_s']:,} decisions/s "
        f"({figures['messages']:,} queued over {figures['sites']:,} sites); "
        f"push+take {figures['push_take_us']} µs, "
        f"limiter {figures['local_messages_us']} µs"
    )
    print(json.dumps(figures))
    if options.json:
        options.json.write_text(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
