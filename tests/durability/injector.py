"""A client of the HTTP API that does what clients are told to: it repeats every call with its
``Idempotency-Key`` until it gets an answer, and sometimes once more.

Every fourth call brings ten messages. Each message carries a number of its own as metadata, by
which the event logs tell how often it was accepted.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import random
import threading
import time
from collections import defaultdict
from typing import Any

from penstock.events.reading import LogReader, log_directories

BULK = 10
AGAIN_SHARE = 0.2
_TIMEOUT_S = 10.0
_PAUSE_S = 0.05


class Injector:
    """``answers``: by the number of a message the id that the client was told. ``differing``: calls
    that were answered in two ways."""

    def __init__(self, port: int, key: str, threads: int, seed: int) -> None:
        self._port, self._key, self._seed = port, key, seed
        self._numbers = itertools.count()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.answers: dict[str, str] = {}
        self.differing: list[str] = []
        self.unexpected: list[str] = []
        self.retries = 0
        self._threads = [
            threading.Thread(target=self._run, args=(number,)) for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Every call that was begun is answered when this returns."""
        self._stop.set()
        for thread in self._threads:
            thread.join(120)

    def _run(self, number: int) -> None:
        luck = random.Random(self._seed * 1000 + number)
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_TIMEOUT_S)
        with contextlib.closing(connection):
            while not self._stop.is_set():
                with self._lock:
                    call = next(self._numbers)
                self._do(call, connection, luck)

    def _do(self, call: int, connection: http.client.HTTPConnection, luck: random.Random) -> None:
        body = json.dumps(_call(call)).encode()
        headers = {
            "Content-Type": "application/json",
            "Authorization": f"Bearer {self._key}",
            "Idempotency-Key": f"call-{call}",
        }
        first: bytes | None = None
        while True:
            try:
                connection.request("POST", "/api/v1/messages", body, headers)
                answer = connection.getresponse()
                content = answer.read()
            except (OSError, http.client.HTTPException):
                connection.close()
                self._again()
                continue
            if answer.status == 202:
                if first is not None and first != content:
                    self.differing.append(f"call {call}")
                if first is None:
                    first = content
                    self._note(call, content)
                    if luck.random() < AGAIN_SHARE:
                        continue
                return
            if answer.status not in (409, 429, 503, 507):
                self.unexpected.append(f"call {call}: {answer.status} {content!r}")
                return
            self._again()

    def _again(self) -> None:
        self.retries += 1
        time.sleep(_PAUSE_S)

    def _note(self, call: int, content: bytes) -> None:
        rows = json.loads(content)["recipients"]
        with self._lock:
            for index, row in enumerate(rows):
                self.answers[f"{call}.{index}"] = row["id"]


def _call(call: int) -> dict[str, Any]:
    if call % 4:
        return {
            "from": "a@src.example",
            "to": f"u{call}@d{call % 7}.example",
            "subject": f"call {call}",
            "text": "x" * 2000,
            "metadata": {"number": f"{call}.0"},
        }
    return {
        "from": "a@src.example",
        "template": {"subject": "call {{ number }}", "text": "Hello {{ number }}\n" + "y" * 2000},
        "recipients": [
            {
                "to": f"u{call}x{index}@d{index}.example",
                "variables": {"number": f"{call}.{index}"},
                "metadata": {"number": f"{call}.{index}"},
            }
            for index in range(BULK)
        ],
    }


def accepted_numbers(spool: str) -> dict[str, set[str]]:
    """By the number of a message the ids under which it was accepted, by all event logs."""
    found: dict[str, set[str]] = defaultdict(set)
    for directory in log_directories(spool).values():
        reader = LogReader(directory)
        position = reader.start()
        while True:
            lines, position = reader.read(position)
            if not lines:
                break
            for line in lines:
                event = json.loads(line)
                if event["type"] == "accepted" and "metadata" in event:
                    found[event["metadata"]["number"]].add(event["message"])
        reader.close()
    return found
