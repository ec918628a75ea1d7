"""The settings of one SMTP listener; every bound of intake has its name and default here."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import Literal

from penstock.intake.defaults import Defaults
from penstock.intake.networks import Networks
from penstock.smtp.content import ContentRules

CHECKED_POSITIVE = (
    "recipients_max", "errors_max", "connections_max", "connections_per_client_max",
    "pipeline_bytes_max", "receiving_bytes_max", "command_timeout_s", "idle_timeout_s",
    "data_timeout_s", "handshake_timeout_s", "linger_s", "slow_window_s", "sweep_s",
    "crowded_timeout_s", "deliver_at_max_s",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ListenerConfig:
    """All of one ``[[smtp]]`` section. Lines are counted with their CRLF.

    ``tls="starttls"`` offers STARTTLS, ``"implicit"`` expects TLS from the first byte; both need
    ``tls_context``. ``proxy_from``: networks whose connections open with a PROXY header (v1 or v2);
    others are taken as they come. ``messages_max`` and ``slow_bytes_per_s`` are off at 0.
    """

    hostname: str = "localhost"
    tls: Literal["none", "starttls", "implicit"] = "none"
    tls_context: ssl.SSLContext | None = None
    relay_from: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    proxy_from: tuple[str, ...] = ()
    tenant: str = ""  # of messages whose account has none, or that have no account
    campaign: str = ""
    class_: str = ""
    pool: str = ""
    deliver_at_max_s: float = 31 * 86400.0
    message_bytes_max: int = 32 << 20
    line_bytes_max: int = 1000  # of the message
    bare_newlines: Literal["refuse", "accept"] = "refuse"
    recipients_max: int = 1000
    received_max: int = 50
    messages_max: int = 0  # per session
    errors_max: int = 20  # per session, since the last accepted message
    connections_max: int = 5000
    connections_per_client_max: int = 200  # per IPv4 address or IPv6 /64
    pipeline_bytes_max: int = 64 << 10  # read ahead while a command is being worked on
    receiving_bytes_max: int = 256 << 20  # of unfinished messages, all sessions together
    command_timeout_s: float = 300.0  # within a transaction
    idle_timeout_s: float = 300.0  # outside
    data_timeout_s: float = 180.0
    handshake_timeout_s: float = 20.0  # PROXY header, TLS
    linger_s: float = 10.0  # for the last reply to leave
    slow_bytes_per_s: int = 64
    slow_window_s: float = 60.0
    crowded_share: float = 0.75  # of connections_max; beyond it patience is short
    crowded_timeout_s: float = 10.0  # then this replaces the longer timeouts above
    sweep_s: float = 1.0
    backlog: int = 1024
    defaults: Defaults = field(init=False)
    rules: ContentRules = field(init=False)
    relay_networks: Networks = field(init=False)
    proxy_networks: Networks = field(init=False)

    def __post_init__(self) -> None:
        for name in CHECKED_POSITIVE:
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive")
        if (self.tls != "none") != (self.tls_context is not None):
            raise ValueError("tls and tls_context go together")
        rules = ContentRules(self.message_bytes_max, self.line_bytes_max, self.bare_newlines)
        defaults = Defaults(self.tenant, self.campaign, self.class_, self.pool)
        object.__setattr__(self, "defaults", defaults)
        object.__setattr__(self, "rules", rules)
        object.__setattr__(self, "relay_networks", Networks(self.relay_from))
        object.__setattr__(self, "proxy_networks", Networks(self.proxy_from))
