"""Attempts to log, made the short way."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from penstock.events.types import Attempt
from penstock.mail.outcome import Kind, Outcome, Phase
from penstock.smtp.reply import Reply


@pytest.fixture
def attempt() -> Callable[..., Attempt]:
    def make(reply: Reply | None = None, **fields: object) -> Attempt:
        outcome = Outcome(
            Kind.DEFERRED,
            Phase.RCPT,
            reply or Reply.of(450, "4.2.1 try later"),
            "mx.example.net",
            "192.0.2.1",
            "TLSv1.3",
        )
        values = Attempt(
            at=1_700_000_000.25,
            id="0abc",
            recipient="ann@example.net",
            sender="news@example.com",
            tenant="t1",
            campaign="spring",
            provider="generic",
            site="mx.example.net",
            outcome=outcome,
            attempt=2,
            age_s=61.5,
            duration_s=0.125,
            source="s1",
        )
        return values._replace(**fields)

    return make
