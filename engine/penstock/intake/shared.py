"""What the sessions of one listener have in common, and count together."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from aiosmtpd.smtp import SMTP

from penstock.intake.auth import Authenticator
from penstock.intake.clients import Clients
from penstock.intake.config import ListenerConfig
from penstock.intake.control import ControlRules, no_pools
from penstock.intake.hooks import Hooks
from penstock.intake.ports import Observer, Reception, Sink
from penstock.suppression.screen import Screen

if TYPE_CHECKING:
    from penstock.intake.connection import Connection

# Over-long messages are read and dropped up to this many times the permitted size.
DISCARD_FACTOR = 8

# What aiosmtpd's constructor leaves on an instance and needs to be the same for all of them. It
# inspects its own class each time (0.4 ms), so it runs once per listener and not per connection.
_INHERITED = (
    "__ident__", "_auth_callback", "_auth_methods", "_auth_required", "_authenticator",
    "_decode_data", "_ehlo_hook_ver", "_enforce_call_limit", "_handle_hooks", "_smtp_methods",
    "_tls_protocol",
    "data_size_limit", "envelope", "enable_SMTPUTF8", "event_handler", "hostname", "loop",
    "require_starttls",
)  # fmt: skip


class Shared:
    """``clock`` gives seconds since the epoch, for messages; sweeps bring their own time.
    ``pools`` gives the names of the pools that messages may name: none where nobody says.
    ``reception`` takes what clients who may not relay send, and gets all messages; ``screen``: the
    suppression list, where it is looked at."""

    __slots__ = (
        "authenticator", "clients", "clock", "config", "connections", "control", "discard_max",
        "draining", "empty",
        "greeting", "loop", "messages", "observer", "receiving", "reception",
        "refused", "screen", "sessions", "sink",
        "template", "timeouts", "tls_context",
    )  # fmt: skip

    def __init__(
        self,
        config: ListenerConfig,
        sink: Sink,
        observer: Observer,
        loop: asyncio.AbstractEventLoop,
        *,
        authenticator: Authenticator | None = None,
        clock: Callable[[], float] = time.time,
        pools: Callable[[], Collection[str]] = no_pools,
        reception: Reception | None = None,
        screen: Screen | None = None,
    ) -> None:
        self.config = config
        self.screen = screen
        self.control = ControlRules(pools, config.deliver_at_max_s)
        self.sink, self.reception = sink, reception
        self.observer = observer
        self.loop = loop
        self.authenticator = authenticator
        self.clock = clock
        self.clients = Clients(config.connections_per_client_max)
        self.sessions: set[Connection] = set()
        self.tls_context: ssl.SSLContext | None = config.tls_context
        self.greeting = f"220 {config.hostname} ESMTP Penstock\r\n".encode()
        self.discard_max = config.message_bytes_max * DISCARD_FACTOR
        self.draining = False
        self.empty = asyncio.Event()  # set when the last session ends
        self.receiving = 0  # bytes held of unfinished messages
        self.connections = self.messages = self.refused = self.timeouts = 0
        self.template = self._template()

    def _template(self) -> dict[str, Any]:
        origin = SMTP(
            Hooks(),
            data_size_limit=self.config.message_bytes_max,
            enable_SMTPUTF8=True,
            hostname=self.config.hostname,
            authenticator=Hooks.credentials,
            loop=self.loop,
        )
        # Its methods assert that there is an envelope; ours is elsewhere.
        origin.envelope = origin._create_envelope()
        return {name: value for name, value in vars(origin).items() if name in _INHERITED}

    @property
    def crowded(self) -> bool:
        """So many are connected that whoever says nothing keeps others out."""
        return len(self.sessions) > self.config.connections_max * self.config.crowded_share

    def stats(self) -> dict[str, float]:
        return {
            "connections": len(self.sessions),
            "connections_max": self.config.connections_max,
            "connections_total": self.connections,
            "clients": len(self.clients),
            "refused_total": self.refused,
            "timeouts_total": self.timeouts,
            "messages_total": self.messages,
            "receiving_bytes": self.receiving,
            "receiving_bytes_max": self.config.receiving_bytes_max,
        }
