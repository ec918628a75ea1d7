"""``config.toml`` as a whole. Every key has a default, so that an empty file is a valid one."""

from __future__ import annotations

import os.path
from typing import Any, Literal

from pydantic import Field, model_validator

from penstock.policy.fields import Duration, Size, Table
from penstock.settings.api import ApiSettings
from penstock.settings.collector import CollectorSettings, StatisticsSettings
from penstock.settings.events import EventSettings
from penstock.settings.feedback import FeedbackSettings
from penstock.settings.fields import HostName, PathText, RequiredPath, Workers
from penstock.settings.idempotency import IdempotencySettings
from penstock.settings.intake import HttpSettings, SmtpSettings
from penstock.settings.outbound import DkimSettings, DnsSettings, RelaySettings, RouteSettings
from penstock.settings.suppression import SuppressionSettings
from penstock.settings.tls import TlsSettings
from penstock.settings.tls_report import TlsReportSettings
from penstock.settings.unsubscribe import UnsubscribeSettings
from penstock.settings.webhooks import SinkSettings, WebhookSettings, WebhooksSettings

_MIB = 1 << 20
_SPOOL = "var/spool"
_SOCKET, _API_SOCKET = "control.sock", "api.sock"
_DERIVED_MAX = 4000  # a longer spool is reported as such, and not its socket too


class QueueSettings(Table):
    """The durable queue, in each worker."""

    segment_bytes: Size = Field(
        default=128 * _MIB, ge=_MIB, le=1 << 31, description="Size of a segment file."
    )
    cache_bytes: Size = Field(
        default=64 * _MIB, ge=0, le=1 << 36, description="Memory for messages that just came in."
    )
    uncommitted_bytes_max: Size = Field(
        default=64 * _MIB,
        ge=_MIB,
        le=1 << 31,
        description="What may wait for the disk; beyond three quarters, clients get 421 4.3.2.",
    )
    wait_max_s: Duration = Field(
        default=5.0,
        ge=0.1,
        le=300,
        description="While a message waits longer for the disk or its turn, clients get 421 4.3.2.",
    )
    disk_free_min_bytes: Size = Field(
        default=256 * _MIB,
        ge=0,
        description="With less space left in the spool, clients get 452 4.3.1.",
    )
    inodes_free_min: int = Field(
        default=1000,
        ge=0,
        description="With fewer inodes left in the spool, clients get 452 4.3.1.",
    )
    compact_dead_share: float = Field(
        default=0.5, gt=0, le=1, description="A segment with this share finished is rewritten."
    )
    compact_bytes_per_s: Size = Field(
        default=16 * _MIB, ge=65536, le=1 << 36, description="Reading speed of that rewriting."
    )
    gather_s: Duration = Field(
        default=0.002,
        ge=0,
        le=0.1,
        description="How long a commit waits for more messages while several come at once.",
    )
    settle_delay_s: Duration = Field(
        default=0.01, ge=0, le=1, description="How long a finished delivery waits to be written."
    )
    inflight_slots: int = Field(
        default=8192,
        ge=64,
        le=1 << 20,
        description="Deliveries under way at once, which a crash may double.",
    )
    keys_max: int = Field(
        default=1 << 20,
        ge=1000,
        le=1 << 26,
        description="Distinct domain, tenant and campaign combinations with mail in the queue.",
    )
    direct_io: bool = Field(
        default=True,
        description="Commits go past the page cache, where the file system can do that.",
    )


class LogSettings(Table):
    """What is logged, and how."""

    format: Literal["console", "json"] = Field(
        default="console", description="key=value for people, or JSON for machines."
    )
    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least important kind of record that is written."
    )
    attempts: bool = Field(default=True, description="One line for each delivery attempt.")


class Settings(Table):
    """All settings. Paths are absolute if the file was loaded by its path."""

    hostname: HostName = Field(
        default="localhost", description="Our name in greetings, EHLO and Received."
    )
    spool: RequiredPath = Field(default=_SPOOL, description="Directory of the durable queue.")
    policies: RequiredPath = Field(
        default="policies", description="Directory of the traffic policies."
    )
    control: PathText = Field(
        default="",
        description=f"Unix socket for administration; {_SOCKET} in the spool if not given.",
    )
    api_socket: PathText = Field(
        default="",
        description=f"Unix socket of the HTTP API, no key needed; {_API_SOCKET} beside control if "
        "not given.",
    )
    workers: Workers = Field(
        default="auto", description="Worker processes; one for each core with auto."
    )
    delivery: Literal["sandbox", "live"] = Field(
        default="sandbox",
        description="All mail to the built-in fake providers, or out: by routes, then by MX.",
    )
    stop_deadline_s: Duration = Field(
        default=30.0, ge=0, le=3600, description="How long deliveries under way may take at a stop."
    )
    smtp: tuple[SmtpSettings, ...] = Field(
        default=(), max_length=64, description="SMTP listeners; none means no mail comes in."
    )
    http: HttpSettings | None = Field(
        default=None, description="The HTTP listener; off if not given."
    )
    api: tuple[ApiSettings, ...] = Field(
        default=(), max_length=16, description="Listeners of the HTTP API; none: it is off."
    )
    route: tuple[RouteSettings, ...] = Field(
        default=(), max_length=10_000, description="Fixed next hops; anything else goes by MX."
    )
    dkim: tuple[DkimSettings, ...] = Field(
        default=(), max_length=100_000, description="Signatures."
    )
    webhook: tuple[WebhookSettings, ...] = Field(
        default=(), max_length=10_000, description="Endpoints that are told of events."
    )
    webhooks: WebhooksSettings = Field(
        default=WebhooksSettings(), description="All webhooks together."
    )
    sink: tuple[SinkSettings, ...] = Field(
        default=(), max_length=16, description="Message brokers that are told of events."
    )
    unsubscribe: UnsubscribeSettings | None = Field(
        default=None, description="The page where recipients unsubscribe; off if not given."
    )
    queue: QueueSettings = Field(default=QueueSettings(), description="The durable queue.")
    relay: RelaySettings = Field(default=RelaySettings(), description="Delivery.")
    dns: DnsSettings = Field(default=DnsSettings(), description="Name look-ups.")
    tls: TlsSettings = Field(default=TlsSettings(), description="TLS on the way out.")
    tls_report: TlsReportSettings | None = Field(
        default=None, description="Reports on TLS to the domains that ask; none if not given."
    )
    feedback: FeedbackSettings = Field(
        default=FeedbackSettings(), description="What comes back: tokens, and addresses for it."
    )
    suppression: SuppressionSettings = Field(
        default=SuppressionSettings(), description="The suppression list."
    )
    idempotency: IdempotencySettings = Field(
        default=IdempotencySettings(), description="Repeated calls of the HTTP API."
    )
    log: LogSettings = Field(default=LogSettings(), description="Logging.")
    events: EventSettings = Field(default=EventSettings(), description="The event log.")
    collector: CollectorSettings = Field(default=CollectorSettings(), description="Its reader.")
    statistics: StatisticsSettings = Field(
        default=StatisticsSettings(), description="Counters by hour."
    )

    @model_validator(mode="before")
    @classmethod
    def _sockets_in_spool(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        spool = data.get("spool", _SPOOL)
        if not data.get("control") and _derivable(spool):
            data = {**data, "control": os.path.join(spool, _SOCKET)}
        control = data.get("control")
        if not data.get("api_socket") and _derivable(control):
            data = {**data, "api_socket": os.path.join(os.path.dirname(control), _API_SOCKET)}
        return data

    def worker_count(self, cores: int) -> int:
        """The number of workers on a machine with ``cores`` cores to use."""
        count = self.workers if isinstance(self.workers, int) else cores
        return max(1, min(count, 64))


def _derivable(path: Any) -> bool:
    return isinstance(path, str) and "\0" not in path and len(path) <= _DERIVED_MAX
