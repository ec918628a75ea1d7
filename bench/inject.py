"""Mail that comes in over HTTP: what a message costs one worker, how fast, how long it takes.

One worker, one client with connections that stay open, the queue on a real disk, every message
synced before its answer. *Held*: mail for later, so that what is measured is taking it in and
nothing else; *delivered*: all of it goes to the next hop meanwhile, as mail does. *A core* is a
second of CPU of the worker. The answer times are at half of the target, by a timetable.

    python -m bench.inject [--seconds N] [--only KIND] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from bench import report
from bench.daemon import Daemon, python
from bench.harness import ROOT, Failed, free_port, scratch, wait_until
from bench.latency import percentiles_ms
from bench.sink import Sink
from bench.usage import cpu_s
from penstock.api.keys import FILE, SCOPES, Key, file_of, new_secret
from penstock.whole_file import write_whole

CONNECTIONS = 32
SIZE = 10_240
BULK = 1000
BULK_CONNECTIONS = 2
SINK_HOST = "127.0.0.2"
TIMEOUT_S = 300.0
_LATER = "+1h"
_LINE = "The quick brown fox jumps over the lazy dog and on it goes, line by line.\n"
_COLUMNS = ("", "messages/s a core", "messages/s", "CPU us a message", "p50 ms", "p99 ms")


@dataclass(frozen=True, slots=True)
class Kind:
    """``target``: recipients/s a core; ``each``: recipients of a request."""

    name: str
    target: int
    each: int = 1

    def requests(self, key: str, later: str) -> list[str]:
        return [
            _MAKERS[self.name](key, number, later) for number in range(1 if self.each > 1 else 50)
        ]


KINDS = (Kind("raw", 1500), Kind("raw in JSON", 1500), Kind("structured", 800),
         Kind("structured, once", 800), Kind("templated", 5000, BULK))  # fmt: skip


def _request(target: str, key: str, kind: str, body: bytes, more: str = "") -> str:
    head = (
        f"POST {target} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n{more}\r\n"
    )
    return head + body.decode("latin-1")


def _whole(number: int) -> str:
    head = (
        "From: Shop <orders@shop.example>\r\nTo: <u@example.com>\r\nSubject: Your order\r\n"
        f"Date: Sun, 22 Nov 2026 08:00:00 +0000\r\nMessage-ID: <{number}@shop.example>\r\n\r\n"
    )
    return head + _LINE.replace("\n", "\r\n") * ((SIZE - len(head)) // (len(_LINE) + 1))


def _raw(key: str, number: int, later: str) -> str:
    query = {"from": "orders@shop.example", "to": f"u{number}@d{number % 10}.example"}
    if later:
        query["deliver_at"] = later
    target = f"/api/v1/messages?{urlencode(query)}"
    return _request(target, key, "message/rfc822", _whole(number).encode())


def _json(key: str, body: dict[str, Any], later: str, more: str = "") -> str:
    if later:
        body["deliver_at"] = later
    content = json.dumps(body).encode()
    return _request("/api/v1/messages", key, "application/json", content, more)


def _raw_json(key: str, number: int, later: str) -> str:
    to = f"u{number}@d{number % 10}.example"
    return _json(key, {"from": "orders@shop.example", "to": to, "raw": _whole(number)}, later)


def _structured_body(number: int) -> dict[str, Any]:
    return {
        "from": "Shop <orders@shop.example>",
        "to": [f"Ann Smith <u{number}@d{number % 10}.example>"],
        "subject": f"Your order {number}",
        "text": _LINE * 25,
        "html": f"<html><body>{'<p>' + _LINE + '</p>'}</body></html>" + f"<p>{_LINE}</p>\n" * 60,
        "tags": {"kind": "order"},
        "metadata": {"order": str(number)},
    }


def _structured(key: str, number: int, later: str) -> str:
    return _json(key, _structured_body(number), later)


def _once(key: str, number: int, later: str) -> str:
    more = f"Idempotency-Key: bench-{os.urandom(6).hex()}-{number}\r\n"
    return _json(key, _structured_body(number), later, more)


def _templated(key: str, number: int, later: str) -> str:
    body = {
        "from": "Shop <news@shop.example>",
        "template": {
            "subject": "News for {{ name }}",
            "text": "Dear {{ name }},\n" + _LINE * 15 + "Your code is {{ code }}.\n",
            "html": "<p>Dear {{ name }},</p>\n" + f"<p>{_LINE}</p>\n" * 20 + "<b>{{ code }}</b>\n",
        },
        "recipients": [
            {
                "to": f"u{one}@d{one % 10}.example",
                "variables": {"name": f"Reader {one}", "code": f"C{one:08d}"},
            }
            for one in range(BULK)
        ],
    }
    return _json(key, body, later)


_MAKERS = {"raw": _raw, "raw in JSON": _raw_json, "structured": _structured,
           "structured, once": _once, "templated": _templated}  # fmt: skip


def make_key(spool: pathlib.Path) -> str:
    number, shown, digest = new_secret()
    spool.mkdir(parents=True, exist_ok=True)
    key = Key(number, digest, 0.0, frozenset(SCOPES))
    write_whole(str(spool / FILE), file_of({number: key}))
    return shown


class _Bench:
    """One daemon with one worker."""

    def __init__(self, directory: pathlib.Path, sink: Sink) -> None:
        self._port, self._sink = free_port(), sink
        self.daemon = Daemon(
            directory,
            f"{sink.host}:{sink.port}",
            workers=1,
            extra=f'[[api]]\nlisten = "127.0.0.1:{self._port}"\n',
            top="",
        )
        self._key = make_key(self.daemon.spool)

    def run(self, kind: Kind, count: int, rate: float, later: str) -> dict[str, Any]:
        """``count`` requests; ``rate`` of them in a second, 0: as fast as they are answered."""
        requests = kind.requests(self._key, later)
        if kind.name == "structured, once":  # a key each
            requests = [_once(self._key, number, later) for number in range(count)]
        options = {
            "port": self._port,
            "requests": requests,
            "count": count,
            "rate": rate,
            "connections": BULK_CONNECTIONS if kind.each > 1 else CONNECTIONS,
        }
        worker = self.daemon.worker_pids()
        goal = self._sink.read().messages + count * kind.each
        cpu = cpu_s(worker)
        done = subprocess.run(
            [python(), "-m", "bench.inject_client"],
            input=json.dumps(options),
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=TIMEOUT_S,
            check=False,
        )
        if done.returncode:
            raise Failed(f"the client failed: {done.stderr[-2000:]}")
        answer: dict[str, Any] = json.loads(done.stdout)
        if answer["failures"]:
            raise Failed(f"{answer['failures']} requests failed: {answer['failed'][0]}")
        if not later:
            wait_until(lambda: self._sink.read().messages >= goal, TIMEOUT_S, "all arrive")
        answer["cpu_s"] = cpu_s(worker) - cpu
        return answer


def measure(bench: _Bench, kind: Kind, seconds: float, later: str) -> dict[str, Any]:
    """At full speed, then the times at half of the target."""
    warm = max(2, int(kind.target / 2 / kind.each))
    bench.run(kind, warm, 0.0, later)
    count = max(3, int(kind.target * seconds / kind.each))
    fast = bench.run(kind, count, 0.0, later)
    messages = count * kind.each
    rate = kind.target / 2 / kind.each
    paced = bench.run(kind, max(10, int(rate * seconds)), rate, later)
    return {
        "kind": kind.name,
        "way": "held" if later else "delivered",
        "target": kind.target,
        "messages": messages,
        "a_core_per_s": round(messages / fast["cpu_s"], 1),
        "per_s": round(messages / fast["seconds"], 1),
        "cpu_us": round(fast["cpu_s"] / messages * 1e6, 1),
        "paced_per_s": round(rate * kind.each, 1),
        "paced_ms": percentiles_ms(paced["times_ns"]),
    }


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.inject")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--only", default="", choices=("", *(kind.name for kind in KINDS)))
    parser.add_argument("--way", default="", choices=("", "held", "delivered"))
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args(arguments)
    found = []
    for way, later in (("held", _LATER), ("delivered", "")):
        if options.way not in ("", way):
            continue
        with scratch() as directory, Sink(directory, SINK_HOST, free_port(SINK_HOST)) as sink:
            bench = _Bench(directory, sink)
            with bench.daemon:
                for kind in KINDS:
                    if options.only in ("", kind.name):
                        found.append(measure(bench, kind, options.seconds, later))
    rows = [
        (
            f"{one['kind']}, {one['way']}",
            f"{one['a_core_per_s']:,.0f} (target {one['target']:,})",
            f"{one['per_s']:,.0f}",
            f"{one['cpu_us']:,.0f}",
            f"{one['paced_ms']['p50']:.1f}",
            f"{one['paced_ms']['p99']:.1f}",
        )
        for one in found
    ]
    report.show("Mail over HTTP, one worker, durable", _COLUMNS, rows)
    print(f"written to {report.save('inject', {'results': found}, options.json)}")


if __name__ == "__main__":
    main(sys.argv[1:])
