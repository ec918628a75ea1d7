"""Mail to an unsubscribe address: whom it comes from decides whether it counts."""

from __future__ import annotations

import pytest

from penstock.mail.automatic import is_answer
from penstock.mail.headers import scan


def answer(header: str) -> bool:
    content = header.replace("\n", "\r\n").encode() + b"\r\n\r\nAuto-Submitted: auto-replied\r\n"
    return is_answer(content, scan(content).end)


@pytest.mark.parametrize(
    "header",
    [
        "Subject: unsubscribe",
        "Subject: unsubscribe\nAuto-Submitted: no",
        "Subject: unsubscribe\nAuto-Submitted: auto-generated",  # a provider, in somebody's name
        "Subject: Re: news\nIn-Reply-To: <1@a.example>",  # a person who pressed Reply
        "Subject: unsubscribe\nPrecedence: bulk",
    ],
)
def test_people_and_their_providers_are_heard(header: str) -> None:
    assert not answer(header)


@pytest.mark.parametrize(
    "header",
    [
        "Subject: I am away\nAuto-Submitted: auto-replied (vacation)",
        "Subject: Automatic reply\nAUTO-SUBMITTED:\n auto-generated\nIn-Reply-To: <1@a.example>",
        "Subject: away\nPrecedence: auto_reply",
        "Subject: away\nX-Autoreply: yes",
        "Subject: failed\nContent-Type: multipart/report; report-type=delivery-status",
        "Subject: failed\nX-Failed-Recipients: a@b.example",
    ],
)
def test_machines_that_answer_are_not(header: str) -> None:
    assert answer(header)
