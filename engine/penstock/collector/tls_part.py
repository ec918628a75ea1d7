"""Reports on TLS, put together: counting, sending, and what ``penstock tls report`` asks."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from penstock.collector.part import Parts, Surroundings
from penstock.collector.tls_counting import TlsCounting, TlsCountingConfig
from penstock.collector.tls_post import TlsReportPost
from penstock.collector.tls_sending import TlsSending, TlsSendingConfig
from penstock.collector.tls_tables import FILE
from penstock.control import ControlError
from penstock.mail.tls_report import DAY_S, Submitter, report_object
from penstock.mail.tlsrpt_record import Destination, destinations, record_name
from penstock.relay.dnssec import DnssecConfig, NoAnswer, ask, config_of
from penstock.settings.models import Settings
from penstock.webhooks.resolve import HostResolver

_ROWS_MAX = 1000


def add_tls_reports(parts: Parts, around: Surroundings) -> None:
    """All of it, where the settings say who reports."""
    settings = around.settings.tls_report
    if settings is None:
        parts.methods["tls"] = _no_reports
        return
    path = os.path.join(around.settings.spool, FILE)
    counting = TlsCounting(
        TlsCountingConfig(path, settings.keep_s, settings.domains_max, settings.failures_max),
        around.registry,
    )
    resolve = HostResolver()
    sent = around.registry.counter("penstock_tls_reports_total")
    sending = TlsSending(
        TlsSendingConfig(
            path,
            submitter(around.settings),
            settings.spread_s,
            settings.retry_max_s,
            settings.report_bytes_max,
            settings.sends_max,
        ),
        LookUp(config_of(around.settings.dns.nameservers))
        if around.settings.delivery == "live"
        else nobody_asks,
        Mailing(around, settings.sender),
        TlsReportPost(resolve, settings.timeout_s).post,
        lambda result: sent.inc((result,)),
    )
    due = around.registry.gauge("penstock_tls_reports_due")
    around.registry.on_snapshot(lambda: due.set(sending.waiting))
    parts.consumers.append(counting)
    parts.services["tls-reports"] = sending.run
    parts.methods["tls"] = TlsAnswers(sending).handle
    parts.closing += [counting.close, sending.close]


def submitter(settings: Settings) -> Submitter:
    """Who reports; raises ``ValueError`` where the settings do not say."""
    found = settings.tls_report
    if found is None:
        raise ValueError("there is no [tls_report] in the settings")
    return Submitter(found.organization, found.contact, found.sender, settings.hostname)


def _no_reports(method: str, params: Any) -> Any:
    raise ControlError("off", "there is no [tls_report] in the settings, so nothing is counted")


async def nobody_asks(domain: str) -> tuple[Destination, ...] | str:
    """In the sandbox, out of which nothing may leave."""
    return ()


class LookUp:
    """What a domain wants to be told, and how."""

    def __init__(self, config: DnssecConfig) -> None:
        self._config = config

    async def __call__(self, domain: str) -> tuple[Destination, ...] | str:
        name = record_name(domain)
        found = await ask(self._config, name, "TXT")
        if isinstance(found, NoAnswer):
            return f"{name}: {found.why}"
        texts: list[Any] = [one for one in found.records if hasattr(one, "strings")]
        return destinations(b"".join(one.strings).decode("utf-8", "replace") for one in texts)


class Mailing:
    """Puts a report into our own queue, by way of the supervisor and a worker."""

    def __init__(self, around: Surroundings, sender: str) -> None:
        self._around, self._sender = around, sender

    async def __call__(self, to: str, content: bytes) -> str:
        asked = {"sender": self._sender, "recipient": to, "content": content, "tls": "relax"}
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(None, self._around.ask, "mail.submit", asked)
        except (ControlError, OSError, TimeoutError) as error:
            return f"mailto:{to}: {error or type(error).__name__}"
        return ""


class TlsAnswers:
    """The methods ``tls.report`` and ``tls.send``. ``day``: ``2026-11-28`` in UTC, the day before
    today if not given."""

    def __init__(self, sending: TlsSending) -> None:
        self._sending = sending

    async def handle(self, method: str, params: Mapping[str, Any] | None) -> dict[str, Any]:
        params = params or {}
        domain = str(params.get("domain") or "").lower().rstrip(".")
        day = _day(str(params.get("day") or ""), time.time())
        if method == "tls.report":
            limit = min(int(params.get("limit") or 100), _ROWS_MAX)
            return await self._report(day, domain, limit)
        if method == "tls.send":
            return await self._send(day, domain)
        raise ControlError("unknown-method", f"no method {method!r}")

    async def _report(self, day: int, domain: str, limit: int) -> dict[str, Any]:
        rows, total = await self._sending.shown(day, domain, limit)
        answer: dict[str, Any] = {
            "day": _text(day),
            "domains": [row._asdict() for row in rows],
            "total": total,
        }
        if domain:
            report = await self._sending.report(day, domain)
            answer["report"] = report_object(report) if report is not None else None
        return answer

    async def _send(self, day: int, domain: str) -> dict[str, Any]:
        if day + DAY_S > time.time():
            raise ControlError("bad-day", f"{_text(day)} is not over; a report is on a whole day")
        if domain:
            found = await self._sending.send_now(day, domain)
            if found is None:
                raise ControlError("not-found", f"nothing was seen of {domain} on {_text(day)}")
            return {"day": _text(day), "sent": [_result(domain, found)]}
        rows, _ = await self._sending.shown(day, "", _ROWS_MAX)
        results = []
        for row in rows:
            if row.state != "sent":
                found = await self._sending.send_now(day, row.domain)
                results.append(_result(row.domain, found or ("", "")))
        return {"day": _text(day), "sent": results}


def _result(domain: str, found: tuple[str, str]) -> dict[str, str]:
    return {"domain": domain, "state": found[0], "note": found[1]}


def _text(day: int) -> str:
    return datetime.fromtimestamp(day, UTC).strftime("%Y-%m-%d")


def _day(text: str, now: float) -> int:
    """Its first second."""
    if not text:
        return int(now) // DAY_S * DAY_S - DAY_S
    try:
        return int(datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).timestamp())
    except ValueError:
        raise ControlError("bad-day", f"not a day like 2026-11-28: {text!r}") from None
