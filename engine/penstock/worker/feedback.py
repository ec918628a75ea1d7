"""What comes back, put together for a worker: the stamp of outgoing mail, the way in of reports."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from penstock.events.metrics import Registry
from penstock.feedback.classify import Classifier
from penstock.feedback.report import parse_report
from penstock.feedback.report_values import as_fields
from penstock.intake.accept import Origin, prepare
from penstock.intake.ports import Refused, Sink
from penstock.intake.reception import Forward, Read, Reception, ReceptionConfig, ReportLog
from penstock.intake.report_addresses import Ages, ReportAddresses
from penstock.mail.envelope import Envelope, Recipient
from penstock.mail.verp import TokenKeys
from penstock.policy.feedback import all_domains
from penstock.policy.policies import Policies
from penstock.relay.stamp import Stamp
from penstock.settings.feedback import FeedbackSettings
from penstock.settings.intake import SmtpSettings
from penstock.settings.models import Settings
from penstock.settings.token_keys import load_token_keys
from penstock.smtp.reply import Reply


def token_keys(settings: Settings) -> TokenKeys | None:
    """``None`` where the settings name none; raises ``OSError`` or ``ValueError``."""
    path = settings.feedback.keys
    return load_token_keys(path) if path else None


def stamp(keys: TokenKeys | None, policies: Policies, now: Callable[[], float]) -> Stamp | None:
    """``None`` where mail goes as it is."""
    if keys is None or not any(one.on for one in policies.feedbacks().values()):
        return None
    return Stamp(keys, policies, now)


def reader(classifier: Callable[[], Classifier]) -> Read:
    """What reads a report; ``classifier`` is asked for each time, since rules are reloaded."""
    return lambda content: as_fields(parse_report(content, classifier()))


def ages(feedback: FeedbackSettings) -> Ages:
    return Ages(feedback.bounce_days, feedback.complaint_days, feedback.unsubscribe_days)


def addresses(
    keys: TokenKeys, settings: Settings, smtp: SmtpSettings, policies: Policies
) -> ReportAddresses:
    """What one listener of role ``feedback`` takes mail for."""
    return ReportAddresses(
        keys,
        all_domains(policies.feedbacks()) | frozenset(smtp.domains),
        settings.feedback.complaint_addresses,
        ages(settings.feedback),
        settings.hostname,
    )


def forwarder(
    feedback: FeedbackSettings, sink: Sink, hostname: str, now: Callable[[], float]
) -> Forward | None:
    """Puts what is for people into the queue, to the one address that the settings name; from the
    null reverse-path, so that it can cause no report."""
    if not feedback.postmaster:
        return None

    def forward(came: Envelope, content: bytes) -> asyncio.Future[None]:
        goes = Envelope("", [Recipient(feedback.postmaster, ("NEVER",))], now())
        goes.client, goes.smtputf8, goes.eightbit = came.client, came.smtputf8, came.eightbit
        goes.ref = sink.reserve(1)
        origin = Origin("", came.client)
        body = prepare(goes, content, origin, hostname=hostname, now=now())
        if isinstance(body, Reply):
            raise Refused(body)
        return sink.submit(goes, body)

    return forward


class Receptions:
    """Those of all listeners of role ``feedback``, which share their metrics."""

    def __init__(
        self, registry: Registry, log: ReportLog, read: Read, now: Callable[[], float]
    ) -> None:
        self._log, self._read, self._now = log, read, now
        self._all: dict[int, Reception] = {}
        self._received = registry.counter("penstock_feedback_received_total")
        self._pending = registry.gauge("penstock_feedback_pending")
        registry.on_snapshot(self._collect)

    def make(
        self,
        number: int,
        settings: Settings,
        policies: Policies,
        keys: TokenKeys | None,
        sink: Sink,
    ) -> Reception:
        """For the listener ``number`` of the settings; raises ``ValueError`` where there are no
        keys."""
        if keys is None:
            raise ValueError("a listener of role feedback needs [feedback] keys")
        feedback = settings.feedback
        self._all[number] = made = Reception(
            ReceptionConfig(feedback.thread_bytes),
            addresses(keys, settings, settings.smtp[number], policies),
            self._log,
            self._read,
            lambda role, result: self._received.inc((role, result)),
            self._now,
            forwarder(feedback, sink, settings.hostname, self._now),
        )
        return made

    def reload(
        self, settings: Settings, policies: Policies, keys: TokenKeys | None, sink: Sink
    ) -> None:
        """New keys, domains and addresses hold from the next recipient on."""
        for number, one in self._all.items():
            if keys is not None and number < len(settings.smtp):
                one.addresses = addresses(keys, settings, settings.smtp[number], policies)
                one.forward = forwarder(settings.feedback, sink, settings.hostname, self._now)

    def _collect(self) -> None:
        self._pending.set(sum(one.pending for one in self._all.values()))

    def close(self) -> None:
        """After the listeners."""
        for one in self._all.values():
            one.close()
