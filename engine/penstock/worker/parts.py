"""From settings to the small configs of each part; the only place of a worker that sees both."""

from __future__ import annotations

import asyncio
import functools
import ssl
import sys
from collections.abc import Callable
from typing import Any

from penstock.control import Channel
from penstock.events.attempts import AttemptLog, AttemptLogConfig
from penstock.events.metrics import Registry
from penstock.events.writer import Writer
from penstock.intake.auth import Account, Authenticator
from penstock.intake.certificates import server_context
from penstock.intake.config import ListenerConfig
from penstock.intake.control import Permit
from penstock.limits.remote import GovernorLimiter, RemoteConfig
from penstock.mail.dkim import Signer
from penstock.mail.dkim_keys import load_key
from penstock.mail.dkim_ring import KeyRing
from penstock.policy.limits import Limits
from penstock.relay.dispatch_ports import DispatchConfig
from penstock.relay.options import ConnectOptions, Proxy
from penstock.relay.resolver import ResolverConfig
from penstock.relay.route import Route
from penstock.relay.sites import RouteLimits
from penstock.relay.stage import StageConfig
from penstock.settings.intake import SmtpSettings
from penstock.settings.models import Settings
from penstock.worker.greeting import Greeting
from penstock.worker.sink import GateConfig
from penstock_queue import QueueConfig


def queue_config(settings: Settings) -> QueueConfig:
    queue = settings.queue
    return QueueConfig(
        segment_bytes=queue.segment_bytes,
        cache_bytes=queue.cache_bytes,
        uncommitted_bytes_max=queue.uncommitted_bytes_max,
        compact_dead_share=queue.compact_dead_share,
        compact_bytes_per_s=queue.compact_bytes_per_s,
        gather_s=queue.gather_s,
        settle_delay_s=queue.settle_delay_s,
        inflight_slots=queue.inflight_slots,
        keys_max=queue.keys_max,
        direct_io=queue.direct_io,
    )


def attempt_log(
    settings: Settings, registry: Registry, write: Callable[[bytes], int] | None
) -> AttemptLog:
    """``write``: instead of to the standard output."""
    return AttemptLog(
        write or Writer(sys.stdout.fileno()).write,
        AttemptLogConfig(settings.log.format),
        functools.partial(registry.counter("penstock_log_dropped_total").inc, ()),
    )


def limiter(
    channel: Channel, loop: asyncio.AbstractEventLoop, greeting: Greeting
) -> GovernorLimiter:
    """Asks the supervisor's governor."""
    return GovernorLimiter(
        lambda method, params: channel.call(f"limits.{method}", params),
        loop.time,
        RemoteConfig(workers=greeting.workers, index=greeting.number),
    )


def gate_config(settings: Settings, max_age_s: float) -> GateConfig:
    queue = settings.queue
    return GateConfig(
        queue.disk_free_min_bytes,
        queue.inodes_free_min,
        queue.uncommitted_bytes_max,
        max_age_s,
        queue.wait_max_s,
    )


def dispatch_config(settings: Settings, workers: int) -> DispatchConfig:
    relay = settings.relay
    return DispatchConfig(
        workers=workers,
        connections_max=relay.connections_max,
        resolves_max=settings.dns.queries_max,
        pairs_max=relay.pairs_max,
        stage=StageConfig(messages=relay.stage_messages, bytes_max=relay.stage_bytes_max),
    )


def resolver_config(settings: Settings) -> ResolverConfig:
    dns = settings.dns
    return ResolverConfig(
        nameservers=dns.nameservers,
        timeout_s=dns.timeout_s,
        ttl_min_s=dns.ttl_min_s,
        ttl_max_s=dns.ttl_max_s,
        ttl_negative_s=dns.ttl_negative_s,
        entries_max=dns.entries_max,
        queries_max=dns.queries_max,
        ipv6=dns.ipv6,
    )


def routes(settings: Settings) -> list[Route]:
    return [Route.parse(one.domains, str(one.next_hop)) for one in settings.route]


def route_limits(settings: Settings) -> list[RouteLimits]:
    return [
        RouteLimits(
            one.connections,
            one.message_rate,
            one.messages_per_connection,
            one.recipients_per_transaction,
        )
        for one in settings.route
    ]


def connect_options(
    ehlo: str, limits: Limits, ipv4: str = "", ipv6: str = "", proxy: Proxy | None = None
) -> ConnectOptions:
    return ConnectOptions(
        ehlo,
        source_ipv4=ipv4,
        source_ipv6=ipv6,
        proxy=proxy,
        messages_per_connection=limits.messages_per_connection,
        connect_timeout_s=limits.connect_timeout_s,
        command_timeout_s=limits.command_timeout_s,
        data_timeout_s=limits.data_timeout_s,
        final_timeout_s=limits.data_timeout_s,
    )


def key_ring(settings: Settings, read: Callable[[str], bytes]) -> KeyRing:
    """The keys of all ``[[dkim]]`` entries; raises ``ValueError`` or ``OSError``, as ``check``
    would have said."""
    return KeyRing(
        Signer(one.domain, one.selector, load_key(read(one.key))) for one in settings.dkim
    )


def tls_context(smtp: SmtpSettings) -> ssl.SSLContext | None:
    """Our side of TLS for a listener."""
    return None if smtp.tls == "none" else server_context(smtp.certificate, smtp.key)


def listener_config(settings: Settings, smtp: SmtpSettings) -> ListenerConfig:
    return ListenerConfig(
        hostname=settings.hostname,
        tls=smtp.tls,
        tls_context=tls_context(smtp),
        relay_from=tuple(str(one) for one in smtp.relay_from),
        proxy_from=tuple(str(one) for one in smtp.proxy_from),
        tenant=smtp.tenant,
        campaign=smtp.campaign,
        class_=smtp.class_,
        pool=smtp.pool,
        deliver_at_max_s=smtp.deliver_at_max_s,
        message_bytes_max=smtp.size_max_bytes,
        bare_newlines=smtp.bare_newlines,
        recipients_max=smtp.recipients_max,
        receiving_bytes_max=smtp.receiving_bytes_max,
        errors_max=smtp.errors_max,
        connections_max=smtp.connections_max,
        connections_per_client_max=smtp.connections_per_client_max,
        command_timeout_s=smtp.command_timeout_s,
        idle_timeout_s=smtp.command_timeout_s,
        data_timeout_s=smtp.data_timeout_s,
        slow_bytes_per_s=smtp.bytes_per_s_min,
    )


def accounts(smtp: SmtpSettings) -> list[Account]:
    return [
        Account(
            one.user,
            one.password_hash,
            one.tenant,
            one.campaign,
            one.class_,
            one.pool,
            Permit(one.pools, one.classes),
        )
        for one in smtp.auth
    ]


def authenticator(smtp: SmtpSettings) -> Authenticator | None:
    return Authenticator(accounts(smtp)) if smtp.auth else None


def world_sandbox(world: dict[str, Any]) -> Any:
    """The sandbox's stand-in for DNS; imported only where it is wanted."""
    from penstock.sim.names import Names
    from penstock.sim.resolver import SandboxResolver

    return SandboxResolver(Names.from_json(world))
