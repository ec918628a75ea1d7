"""A receiver of Penstock's webhooks: verifies, takes each event once, and answers quickly.

    pip install starlette uvicorn standardwebhooks
    RECEIVER_SECRET=whsec_... python receiver.py

What an application does with an event stands in ``handle``. It is called within the transaction
that remembers the event's id, so that an event is handled exactly once where ``handle`` writes to
the same database, and at least once otherwise.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from typing import Any

import uvicorn
from standardwebhooks import Webhook, WebhookVerificationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

BODY_BYTES_MAX = 17 << 20  # a batch has 16 MiB at most, whatever batch_bytes_max says


class Inbox:
    """The ids of what was handled, kept for as long as events can come again."""

    def __init__(self, path: str) -> None:
        self._base = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._lock = threading.Lock()  # batches come on several connections at once
        self._base.execute("PRAGMA journal_mode = WAL")
        self._base.execute(
            "CREATE TABLE IF NOT EXISTS seen (id TEXT PRIMARY KEY, at TEXT NOT NULL) WITHOUT ROWID"
        )

    def take(self, events: list[dict[str, Any]]) -> int:
        """Handle those that are new; how many that were."""
        with self._lock, self._base:
            self._base.execute("BEGIN IMMEDIATE")
            return sum(self._take(event) for event in events)

    def _take(self, event: dict[str, Any]) -> bool:
        added = self._base.execute(
            "INSERT OR IGNORE INTO seen VALUES (?, ?)", (event["id"], event["at"])
        )
        if added.rowcount:
            handle(event)
        return bool(added.rowcount)


def handle(event: dict[str, Any]) -> None:
    """Events come in any order: ``at`` says when it was."""
    recipient = event.get("recipient", "")
    print(event["at"], event["type"], recipient, event.get("category", ""), flush=True)


def make_app(secret: str, inbox: Inbox) -> Starlette:
    webhook = Webhook(secret)

    async def receive(request: Request) -> Response:
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > BODY_BYTES_MAX:
                return PlainTextResponse("too long\n", 413)
        try:
            events = webhook.verify(bytes(body), dict(request.headers))
        except (WebhookVerificationError, ValueError):
            return PlainTextResponse("not signed with our secret\n", 401)
        new = await run_in_threadpool(inbox.take, events)
        return PlainTextResponse(f"{new} new of {len(events)}\n")

    return Starlette(routes=[Route("/penstock", receive, methods=["POST"])])


if __name__ == "__main__":
    uvicorn.run(
        make_app(
            os.environ["RECEIVER_SECRET"], Inbox(os.environ.get("RECEIVER_INBOX", "inbox.sqlite"))
        ),
        host="127.0.0.1",
        port=int(os.environ.get("RECEIVER_PORT", "8080")),
        log_level="warning",
    )
