"""The parts that act on events: suppression, webhooks, sinks, and the page to unsubscribe."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any

from penstock.collector.part import Parts, Surroundings
from penstock.collector.reports import named
from penstock.control import ControlError
from penstock.events import records
from penstock.intake.http import HttpConfig, HttpServer
from penstock.mail.verp import UNSUBSCRIBE, BadToken, Token, read_token
from penstock.settings.outward_configs import sink_configs, unsubscribe_config, webhooks_config
from penstock.sinks.sink import Sink
from penstock.suppression.configure import store_config, suppression_directory, suppression_rules
from penstock.suppression.consumer import SuppressionConsumer
from penstock.suppression.control import SuppressionControl
from penstock.suppression.store import Store
from penstock.suppression.writer import SuppressionWriter
from penstock.unsubscribe.app import UnsubscribeRequest, make_app
from penstock.webhooks.control import WebhooksControl
from penstock.webhooks.logs import SpoolLogs
from penstock.webhooks.service import Webhooks

PAGE = "unsubscribe"  # the name of its socket


def add_suppression(parts: Parts, around: Surroundings) -> None:
    """Who gets no mail any more, by what became of it."""
    settings = around.settings
    store = Store(suppression_directory(settings), store_config(settings))
    rules = suppression_rules(settings)
    writer = SuppressionWriter(store)
    parts.consumers.append(SuppressionConsumer(writer, rules, around.own_log.write))
    control = SuppressionControl(writer, rules, time.time)
    parts.methods["suppression"] = control.handle
    asked = around.registry.gauge("penstock_suppression_asked")
    around.registry.on_snapshot(lambda: asked.set(control.asked))
    parts.closing.insert(0, control.close)


def add_webhooks(parts: Parts, around: Surroundings) -> None:
    if not around.settings.webhook:
        parts.methods["webhooks"] = _no_webhooks
        return
    logs = SpoolLogs(around.settings.spool)
    webhooks = Webhooks(webhooks_config(around.settings), around.registry, logs)
    parts.consumers.append(webhooks)
    parts.services["webhooks"] = webhooks.run
    parts.methods["webhooks"] = WebhooksControl(webhooks, time.time).handle
    parts.closing += [webhooks.close, logs.close]


def _no_webhooks(method: str, params: Any) -> dict[str, Any]:
    """Without endpoints nothing reads the log for them; who asks hears that there are none."""
    if method == "webhooks.list":
        return {"endpoints": []}
    raise ControlError("not-found", "there is no [[webhook]] in the settings")


def add_sinks(parts: Parts, around: Surroundings) -> None:
    for config in sink_configs(around.settings):
        sink = Sink(config, around.registry)
        parts.consumers.append(sink)
        parts.closing.append(sink.close)


def add_unsubscribe(parts: Parts, around: Surroundings) -> None:
    """The page, on the socket that the supervisor bound for it."""
    page, config = around.settings.unsubscribe, unsubscribe_config(around.settings)
    if page is None or config is None or PAGE not in around.sockets:
        return
    app = make_app(Unsubscribing(around).read, Unsubscribing(around).done, config, around.registry)
    http = HttpConfig(certificate=page.certificate, key=page.key)

    async def serve() -> None:
        server = HttpServer(app, socket.socket(fileno=socket.dup(around.sockets[PAGE])), http)
        await server.start()
        try:
            await asyncio.Event().wait()
        finally:
            await server.stop()

    parts.services[PAGE] = serve


class Unsubscribing:
    """What the page asks: whether a token is good, and to write the wish down."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around

    def read(self, text: str) -> Token:
        keys = self._around.keys()
        if keys is None:
            raise BadToken("unknown-key")
        days = self._around.token_days()[UNSUBSCRIBE]
        token = read_token(keys, text, time.time(), days)
        if token.purpose != UNSUBSCRIBE:
            raise BadToken("forged")
        return token

    async def done(self, request: UnsubscribeRequest) -> None:
        """Durable when it returns; raises :class:`BadToken` where the log has forgotten the
        message, and ``OSError`` where the disk refuses."""
        await asyncio.get_running_loop().run_in_executor(None, self._write, request)

    def _write(self, request: UnsubscribeRequest) -> None:
        message = self._around.accepted(request.token.ref)
        recipient = named(message, request.token)
        if message is None or not recipient:
            raise BadToken("expired")
        self._around.own_log.write(
            records.Unsubscribed,
            message=message.message,
            recipient=recipient,
            tenant=message.tenant,
            campaign=message.campaign,
            class_=message.class_,
            tags=message.tags,
            via=request.via,
            reason=request.reason,
            client=request.client,
        )
        self._around.own_log.sync()
