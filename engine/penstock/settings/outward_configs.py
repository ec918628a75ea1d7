"""From the settings to what the rooms that tell others are told; for whoever composes them."""

from __future__ import annotations

import os

from penstock.settings.models import Settings
from penstock.settings.webhooks import SinkSettings, WebhookSettings
from penstock.sinks.config import SinkConfig
from penstock.unsubscribe.config import UnsubscribeConfig
from penstock.webhooks.config import Endpoint, WebhooksConfig


def webhooks_config(settings: Settings) -> WebhooksConfig:
    both = settings.webhooks
    return WebhooksConfig(
        directory=os.path.join(settings.spool, "webhooks"),
        endpoints=tuple(_endpoint(one) for one in settings.webhook),
        connections_max=both.connections_max,
        slow_connections_max=both.slow_connections_max,
        slow_s=both.slow_s,
        buffer_bytes_max=both.buffer_bytes_max,
    )


def sink_configs(settings: Settings) -> tuple[SinkConfig, ...]:
    directory = os.path.join(settings.spool, "sinks")
    return tuple(_sink(one, directory) for one in settings.sink)


def unsubscribe_config(settings: Settings) -> UnsubscribeConfig | None:
    page = settings.unsubscribe
    if page is None:
        return None
    return UnsubscribeConfig(
        path=page.path,
        proxies=page.proxies,
        client_header=page.client_header,
        rate=page.rate,
        client_rate=page.client_rate,
        forged_rate=page.forged_rate,
        clients_max=page.clients_max,
        recent_max=page.recent_max,
        body_bytes_max=page.body_bytes_max,
        body_timeout_s=page.body_timeout_s,
    )


def _endpoint(one: WebhookSettings) -> Endpoint:
    return Endpoint(
        name=one.name,
        url=one.url,
        tenant=one.tenant,
        secret_file=one.secret_file,
        types=frozenset(one.events),
        batch_events_max=one.batch_events_max,
        batch_bytes_max=one.batch_bytes_max,
        batch_wait_s=one.batch_wait_s,
        timeout_s=one.timeout_s,
        connections_max=one.connections_max,
        queue_bytes_max=one.queue_bytes_max,
        allow_private=one.allow_private,
        headers=tuple(_header(text) for text in one.headers),
        authorities_file=one.certificate_authorities,
    )


def _header(text: str) -> tuple[str, str]:
    name, _, value = text.partition(":")
    return name, value.strip()


def _sink(one: SinkSettings, directory: str) -> SinkConfig:
    return SinkConfig(
        name=one.name,
        kind=one.kind,
        servers=one.servers,
        directory=directory,
        tenant=one.tenant,
        types=frozenset(one.events),
        subject=one.subject,
        in_flight_max=one.in_flight_max,
        timeout_s=one.timeout_s,
        tls=one.tls,
        authorities_file=one.certificate_authorities,
        credentials_file=one.credentials_file,
        user=one.user,
        password_file=one.password_file,
    )
