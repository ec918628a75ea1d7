"""What every broker's client is to the sink."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from penstock.sinks.config import SinkConfig


class Message(NamedTuple):
    """One event for the broker. ``key``: what keeps events of one message in order, where the
    broker orders by a key; ``line``: the event as it stands in the log."""

    id: str
    subject: str
    key: str
    line: bytes


class SinkError(Exception):
    """The broker did not take it, in words for an operator. Trying again is right."""


class Publisher(Protocol):
    """Belongs to one event loop. Connects when it has to, again after every error."""

    async def publish(self, messages: Sequence[Message]) -> None:
        """Returns when the broker has acknowledged all of them; raises :class:`SinkError`."""
        ...

    async def close(self) -> None: ...


def tls_context(config: SinkConfig) -> ssl.SSLContext | None:
    if not config.tls:
        return None
    return ssl.create_default_context(cafile=config.authorities_file or None)


def password_of(config: SinkConfig) -> str:
    """Raises :class:`SinkError`."""
    try:
        with open(config.password_file, encoding="utf-8") as file:
            return file.read(4096).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SinkError(f"{config.password_file} cannot be read: {error}") from None
