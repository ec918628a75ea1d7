"""Who may relay: every known way to ask for it from outside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Run = Callable[..., Any]

ATTEMPTS = [
    ("<victim@example.net>", "550 5.7.1 Relaying denied"),
    ("<victim%example.net@mx.example>", "550 5.7.1 Relaying denied"),
    ("<victim%example.net@[127.0.0.1]>", "550 5.7.1 Relaying denied"),
    ('<"victim@example.net"@mx.example>', "550 5.7.1 Relaying denied"),
    ('<"victim%example.net">', "553 5.1.3"),
    ("<@mx.example:victim@example.net>", "553 5.1.3 Source routes"),
    ("<@[127.0.0.1]:victim@example.net>", "553 5.1.3 Source routes"),
    ("<example.net!victim@mx.example>", "550 5.7.1 Relaying denied"),
    ("<example.net!victim>", "553 5.1.3"),
    ("<victim@example.net@mx.example>", "553 5.1.3"),
    ("<victim@example.net>@mx.example", "501 5.5.4"),
    ("<victim@example.net> <x@mx.example>", "501 5.5.4"),
    ("<victim@example.net", "553 5.1.3"),
    ("victim@example.net", "501 5.5.4"),
    ("<victim@example.net\x00@mx.example>", "553 5.1.3"),
    ("<victim@example。net>", "553 5.1.3"),
    ("<victim＠example.net>", "553 5.1.3"),
    ("<Postmaster>", "550 5.7.1 Relaying denied"),
]


@pytest.mark.parametrize(("path", "reply"), ATTEMPTS)
async def test_strangers_may_not_relay(connect: Run, sink: Any, path: str, reply: str) -> None:
    line = connect("192.0.2.7")
    await line.greet()
    await line.ask("MAIL FROM:<a@mx.example> SMTPUTF8")
    said = await line.ask("RCPT TO:" + path)
    assert len(said) == 1
    assert said[0].startswith(reply)
    assert (await line.ask("DATA"))[0].startswith("554 5.5.1")
    assert sink.messages == []


@pytest.mark.parametrize("client", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
async def test_near_clients_may_relay(connect: Run, client: str) -> None:
    line = connect(client)
    await line.greet()
    assert (await line.ask("MAIL FROM:<a@b>\nRCPT TO:<c@d>"))[1] == "250 2.1.5 Ok"


@pytest.mark.parametrize("client", ["10.1.2.3", "::2", "2001:db8::1", ""])
async def test_relay_from_is_what_it_says(connect: Run, client: str) -> None:
    line = connect(client, relay_from=("10.1.2.0/30", "fd00::/8"))
    await line.greet()
    near = client == "10.1.2.3"
    said = await line.ask("MAIL FROM:<a@b>\nRCPT TO:<c@d>")
    assert said[1].startswith("250" if near else "550 5.7.1")
