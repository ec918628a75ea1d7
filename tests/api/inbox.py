"""A next hop that keeps what it gets, and a daemon with a key that sends there."""

from __future__ import annotations

import contextlib
import email
import email.policy
import os
import pathlib
import threading
import time
from collections.abc import Iterator
from email.message import EmailMessage
from typing import Any

import httpx
from aiosmtpd.controller import Controller
from bench.harness import free_port
from tests.api.conftest import ApiDaemon

from penstock.api.keys import FILE, SCOPES, Key, file_of, new_secret
from penstock.whole_file import write_whole

_PATIENCE_S = 20.0


class Inbox:
    """``wait(subject)`` gives the message with that subject, when it is there."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._got: list[tuple[Any, bytes]] = []
        self.port = free_port()
        self._controller = Controller(
            self,
            hostname="127.0.0.1",
            port=self.port,
            enable_SMTPUTF8=True,
            data_size_limit=1 << 30,
        )

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        with self._changed:
            self._got.append((envelope, envelope.original_content))
            self._changed.notify_all()
        return "250 2.0.0 Ok"

    def wait(self, subject: str, count: int = 1) -> list[tuple[Any, EmailMessage, bytes]]:
        """The envelope, the message and its bytes; ``count`` of them."""
        end = time.monotonic() + _PATIENCE_S
        with self._changed:
            while True:
                found = [
                    (envelope, parsed, content)
                    for envelope, content in self._got
                    if (parsed := parse(content))["Subject"] == subject
                ]
                if len(found) >= count:
                    return found
                if not self._changed.wait(end - time.monotonic()):
                    raise AssertionError(f"{len(found)} messages with the subject {subject!r}")

    def __enter__(self) -> Inbox:
        self._controller.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._controller.stop()


def parse(content: bytes) -> EmailMessage:
    message = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def make_key(spool: pathlib.Path, **fields: Any) -> str:
    """A key in the file, beside those that are there."""
    from penstock.api.keys import load_keys

    number, shown, digest = new_secret()
    spool.mkdir(parents=True, exist_ok=True)
    path = os.path.join(spool, FILE)
    fields = {"scopes": frozenset(SCOPES), **fields}
    key = Key(id=number, digest=digest, created=0.0, **fields)
    write_whole(path, file_of({**load_keys(path), number: key}))
    return shown


@contextlib.contextmanager
def delivering(home: pathlib.Path, extra: str = "", **more: Any) -> Iterator[tuple[Any, Inbox]]:
    """The daemon (with ``key``, which may do all), and where its mail goes."""
    with Inbox() as inbox:
        route = f'[[route]]\ndomains = ["*"]\nnext_hop = "127.0.0.1:{inbox.port}"\n'
        daemon = ApiDaemon(home, extra=route + extra, head='delivery = "live"', **more)
        daemon.key = make_key(home / "spool")  # type: ignore[attr-defined]
        try:
            yield daemon.start(), inbox
        finally:
            daemon.end()


def client_of(daemon: Any, key: str = "") -> httpx.Client:
    found: httpx.Client = daemon.client(key or daemon.key)
    return found
