"""What the event log costs: the relay benchmark with it and without it, in turns.

    python -m bench.events [--rounds N] [--count N] [--workers N] [--json FILE]

and what one message's two events cost by themselves:

    python -m bench.events --alone

and whether webhooks that hang, refuse or are gone slow the mail:

    python -m bench.events --webhooks
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import gc
import pathlib
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from bench import report
from bench.harness import Failed, NotThere, free_port, scratch
from bench.relay import SINK_HOST, Measured, compare, median
from bench.servers import Penstock, Server
from bench.sink import Sink
from bench.usage import Patience
from penstock.events.journal import Journal, JournalConfig
from penstock.events.types import Attempt
from penstock.mail.envelope import Envelope, Recipient
from penstock.mail.outcome import Kind, Outcome, Phase
from penstock.smtp.reply import Reply

SLOWER_MAX = 0.10
WEBHOOKS_SLOWER_MAX = 0.05
OFF = "[events]\nenabled = false"
GROUP = 20  # messages that share a commit


def alone(count: int) -> dict[str, float]:
    """CPU microseconds of one accepted and of one delivered event, written to a file."""
    envelopes = [_envelope(number) for number in range(1, 1001)]
    attempts = [_attempt(one, number) for number, one in enumerate(envelopes)]
    with scratch() as directory:
        journal = Journal(str(directory / "00"), JournalConfig(), time.time)
        gc.disable()
        began = time.process_time()
        for number in range(0, count, GROUP):
            journal.accepted([(envelopes[(number + n) % 1000], 10240) for n in range(GROUP)])
        between = time.process_time()
        for number in range(count):
            journal.attempt(attempts[number % 1000], envelopes[number % 1000])
            if number % GROUP == 0:
                journal.flush()
        journal.flush()
        ended = time.process_time()
        gc.enable()
        written = journal.stats()["log_bytes"]
        journal.close()
    return {
        "accepted_us": (between - began) / count * 1e6,
        "delivered_us": (ended - between) / count * 1e6,
        "bytes": written / count,
    }


def _envelope(number: int) -> Envelope:
    people = [Recipient(f"user{number}@rcpt.example")]
    return Envelope("bounces@news.example", people, time.time(), number, "shop", "may")


def _attempt(envelope: Envelope, number: int) -> Attempt:
    reply = Reply.of(250, "2.0.0 Ok: queued as 4F2A1")
    outcome = Outcome(Kind.DELIVERED, Phase.FINAL, reply, "mx1.example", "192.0.2.1", "TLSv1.3")
    person = envelope.recipients[0].address
    whose = envelope.sender, envelope.tenant, envelope.campaign
    took = 0.5 + number / 1e4, 0.0123
    return Attempt(
        time.time(),
        envelope.id,
        person,
        *whose,
        "gmail",
        "mx1.example",
        outcome,
        1,
        *took,
        "default",
    )


def relayed(rounds: int, count: int, workers: int, patience_s: float) -> dict[str, object]:
    with scratch() as directory:
        address = (SINK_HOST, free_port(SINK_HOST))
        with Sink(directory, *address) as sink:
            hop = f"{address[0]}:{address[1]}"
            servers: list[tuple[Server, int]] = [
                (Penstock(hop, workers, None, name="with events"), count),
                (Penstock(hop, workers, None, name="without events", extra=OFF), count),
            ]
            found = compare(servers, sink, rounds, False, Patience(patience_s, 0.25))
    slower, dearer, middle = shown(found, f"Events, workers: {workers}", rounds)
    return {"slower": slower, "dearer": dearer, "met": slower <= SLOWER_MAX, **middle}


@contextlib.contextmanager
def bad_webhooks(directory: pathlib.Path) -> Iterator[str]:
    """Settings of two endpoints for all tenants: one takes connections and never answers, the other
    is not there."""
    secret = directory / "webhook.secret"
    secret.write_text("whsec_" + base64.b64encode(b"s" * 32).decode() + "\n")
    secret.chmod(0o600)
    with socket.create_server((SINK_HOST, 0), backlog=128) as hangs:
        ports = {"hangs": hangs.getsockname()[1], "gone": free_port(SINK_HOST)}
        yield "".join(
            f'[[webhook]]\nname = "{name}"\ntenant = "*"\nallow_private = true\n'
            f'url = "http://{SINK_HOST}:{port}/"\nsecret_file = "{secret}"\n'
            for name, port in ports.items()
        )


def beside_webhooks(rounds: int, count: int, workers: int, patience_s: float) -> dict[str, object]:
    """The relay with no webhook and with two that take nothing, in turns."""
    with scratch() as directory, bad_webhooks(directory) as bad:
        address = (SINK_HOST, free_port(SINK_HOST))
        with Sink(directory, *address) as sink:
            hop = f"{address[0]}:{address[1]}"
            servers: list[tuple[Server, int]] = [
                (Penstock(hop, workers, None, name="two that take nothing", extra=bad), count),
                (Penstock(hop, workers, None, name="no webhooks"), count),
            ]
            found = compare(servers, sink, rounds, False, Patience(patience_s, 0.25))
    slower, dearer, middle = shown(found, f"Beside webhooks, workers: {workers}", rounds)
    return {"slower": slower, "dearer": dearer, "met": slower <= WEBHOOKS_SLOWER_MAX, **middle}


def shown(
    found: dict[str, list[Measured]], title: str, rounds: int
) -> tuple[float, float, dict[str, object]]:
    """How much slower and dearer the first is than the second, as shares, and the medians."""
    middle = {name: median(measured) for name, measured in found.items()}
    rows = [
        (name, f"{one.messages_per_s:,.0f}", f"{one.cpu_ms:.4f}") for name, one in middle.items()
    ]
    first, second = middle.values()
    slower = 1 - first.messages_per_s / second.messages_per_s
    dearer = first.cpu_ms / second.cpu_ms - 1
    rows.append(("first to second", f"{-slower:+.1%}", f"{dearer:+.1%}"))
    report.show(
        f"{title}: relay of 10 KiB messages, median of {rounds}",
        ("", "messages/s", "CPU ms/message"),
        rows,
    )
    return slower, dearer, {name: asdict(one) for name, one in middle.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.events")
    parser.add_argument("--alone", action="store_true", help="only the events by themselves")
    parser.add_argument("--webhooks", action="store_true", help="only beside bad webhooks")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=8000, help="messages a round")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--patience", type=float, default=30.0, help="seconds for a quiet machine")
    parser.add_argument("--json", type=pathlib.Path, help="default: bench/out/events.json")
    options = parser.parse_args(arguments)
    found: dict[str, object] = {}
    if not options.webhooks:
        found |= alone(200_000)
        rows = [(name.removesuffix("_us"), f"{value:.1f}") for name, value in found.items()]
        report.show("Events of one message, CPU microseconds and bytes", ("", ""), rows)
    if not options.alone:
        measure = beside_webhooks if options.webhooks else relayed
        try:
            found |= measure(options.rounds, options.count, options.workers, options.patience)
        except (Failed, NotThere) as error:
            print(f"bench.events: {error}", file=sys.stderr)
            return 1
    report.save("events", found, options.json)
    return 0 if found.get("met", True) else 1


if __name__ == "__main__":
    sys.exit(main())
