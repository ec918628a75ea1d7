"""Passing for somebody else: as a client, as an account, as a domain, as another tenant."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.fuzz.wire import ANN, Doorman, Sink, play

from penstock.intake.accept import Origin, prepare
from penstock.intake.auth import Account, Authenticator
from penstock.intake.config import ListenerConfig
from penstock.intake.ports import NoObserver
from penstock.intake.shared import Shared
from penstock.mail.address import normal
from penstock.mail.envelope import Envelope, Recipient
from penstock.smtp.reply import Reply

Say = Callable[..., Any]
GOOD = "AUTH PLAIN AGFubgBzZWNyZXQ="  # ann, secret


@pytest.fixture
def say() -> Say:
    """``replies, stored = await say(lines, client=..., **config)``: one reply a line."""

    async def run(
        *lines: str, client: str = "192.0.2.7", door: Any = None, **config: Any
    ) -> tuple[list[str], list[bytes]]:
        sink = Sink(late=False)
        loop = asyncio.get_running_loop()
        made = ListenerConfig(**{"hostname": "mx.example"} | config)
        shared = Shared(made, sink, NoObserver(), loop, authenticator=door)
        turns = ["".join(f"{line}\r\n" for line in lines).encode("utf-8", "surrogateescape")]
        transport = await play(shared, client, turns)
        said = transport.out.decode().split("\r\n")[:-1]
        return [row for row in said[1:] if row[3] == " "], sink.messages

    return run


HIDDEN = [  # each asks a careless system to send on to example.net
    ("<@mx.example:victim@example.net>", "553 5.1.3 Source routes"),
    ("<@mx.example,@b.example:victim@example.net>", "553 5.1.3 Source routes"),
    ("<victim@example.net@mx.example>", "553 5.1.3"),
    ("<mx.example!victim@example.net@mx.example>", "553 5.1.3"),
    ('<"victim@example.net">', "553 5.1.3"),
    ("<victim@example.net,x@mx.example>", "553 5.1.3"),
    ("<victim@example.net;x@mx.example>", "553 5.1.3"),
    ("<victim@example.net x@mx.example>", "553 5.1.3"),
    ("<victim(@mx.example)@example.net>", "553 5.1.3"),
    ("<victim@example.net#@mx.example>", "553 5.1.3"),
    ("<victim@example.net.>", "553 5.1.3"),
    ("<victim@[mx.example]>", "553 5.1.3"),
    ("<victim@[IPv6:fe80::1%eth0]>", "553 5.1.3"),
    ("<victim@mx.example\x0b@example.net>", "553 5.1.3"),
    ("<victim@mx.example\x7f.example.net>", "553 5.1.3"),
]
LOOK_ALIKES = [  # with SMTPUTF8
    "<victim\uff20example.net>",  # a wide @
    "<victim@mx\u3002example>",  # full stops that IDNA takes for a dot
    "<victim@mx\uff0eexample>",
    "<victim@mx\uff61example>",
    "<victim@mx\u2024example>",
    "<victim@\uff4d\uff58.example>",  # wide letters
    "<victim@mx.ex\u00adample>",  # a soft hyphen
    "<victim@mx.ex\u200bample>",  # no width at all
    "<victim@mx.\u202eelpmaxe>",  # from right to left
    "<victim@mx.example\u2028>",
    "<victim\u0085@mx.example>",
    "<victim@\u212amx.example>",  # the Kelvin sign folds to k
    "<victim@xn--mx.example\u3002net>",
]


@pytest.mark.parametrize(("path", "reply"), HIDDEN)
async def test_two_readings_of_an_address_are_none(say: Say, path: str, reply: str) -> None:
    """Not even from a client that may relay: the next system might read it otherwise."""
    said, stored = await say(
        "EHLO x", "MAIL FROM:<a@b.example>", f"RCPT TO:{path}", "DATA", client="127.0.0.1"
    )
    assert said[2].startswith(reply)
    assert said[3].startswith("554 5.5.1")
    assert stored == []


@pytest.mark.parametrize("path", LOOK_ALIKES)
async def test_what_only_looks_like_an_address(say: Say, path: str) -> None:
    said, _ = await say(
        "EHLO x", "MAIL FROM:<a@b.example> SMTPUTF8", f"RCPT TO:{path}", client="127.0.0.1"
    )
    assert said[2].startswith("553 5.1.3")


async def test_a_domain_in_other_letters_is_another_domain(say: Say) -> None:
    cyrillic = "v@ex\u0430mple.net"  # its third letter is not an a
    said, _ = await say(
        "EHLO x", "MAIL FROM:<a@b.example> SMTPUTF8", f"RCPT TO:<{cyrillic}>", client="127.0.0.1"
    )
    assert said[2].startswith("250")
    assert normal(cyrillic) == "v@xn--exmple-4nf.net" != normal("v@example.net")


@pytest.mark.parametrize("local", ["v%mx.example", "mx.example!v", '"v@mx.example"', '"v\\"@x"'])
async def test_local_parts_are_never_interpreted(say: Say, local: str) -> None:
    said, stored = await say(
        "EHLO x", "MAIL FROM:<a@b.example>", f"RCPT TO:<{local}@example.net>", "DATA", ".",
        client="127.0.0.1",
    )  # fmt: skip
    assert said[2].startswith("250")
    assert said[4].startswith("250 2.6.0")
    assert len(stored) == 1


@pytest.mark.parametrize(
    "line",
    [
        "PROXY TCP4 127.0.0.1 127.0.0.1 1 25",
        "XCLIENT ADDR=127.0.0.1",
        "XFORWARD ADDR=127.0.0.1",
        "LHLO localhost",
        "ETRN mx.example",
        "TURN",
        "SEND FROM:<a@b>",
    ],
)
async def test_nobody_says_who_they_are_but_a_proxy(say: Say, line: str) -> None:
    said, stored = await say(
        line, "EHLO localhost", line, "MAIL FROM:<a@mx.example>", "RCPT TO:<v@example.net>", "DATA"
    )
    assert said[0].startswith("500 5.5.1")
    assert said[2].startswith("500 5.5.1")
    assert said[4].startswith("550 5.7.1 Relaying denied")
    assert stored == []


@pytest.mark.parametrize("name", ["127.0.0.1", "[127.0.0.1]", "localhost", "mx.example"])
async def test_a_name_in_ehlo_opens_nothing(say: Say, name: str) -> None:
    said, _ = await say(f"EHLO {name}", "MAIL FROM:<a@mx.example>", "RCPT TO:<v@example.net>")
    assert said[-1].startswith("550 5.7.1 Relaying denied")


@pytest.mark.parametrize("verb", ["GET / HTTP/1.1", "POST /x HTTP/1.1", "CONNECT mx:25 HTTP/1.1"])
async def test_a_browser_is_no_mail_client(say: Say, verb: str) -> None:
    """What a page makes a browser post to us must not be mail, near as the browser may be."""
    said, stored = await say(
        verb, "Host: mx", "", "EHLO x", "MAIL FROM:<a@b>", "RCPT TO:<c@d>", "DATA", "x", ".",
        client="127.0.0.1",
    )  # fmt: skip
    assert said == ["421 4.7.0 This is SMTP"]
    assert stored == []


# -- accounts -------------------------------------------------------------------------------------


async def test_no_password_in_the_clear(say: Say, certified: Any) -> None:
    """Refused before it is asked for, so that no client sends it."""
    for line in (GOOD, "AUTH LOGIN", "AUTH PLAIN", "auth login YW5u"):
        said, stored = await say(
            "EHLO x", line, "MAIL FROM:<a@b>", "RCPT TO:<c@d>", "DATA",
            door=Doorman(), tls="starttls", tls_context=certified,
        )  # fmt: skip
        assert said[1].startswith("538 5.7.11")
        assert said[3].startswith("550 5.7.1")
        assert stored == []


@pytest.mark.parametrize(
    "name", ["ANN", "ann ", " ann", "a\u0430nn", "\uff41nn", "ann\0x", "an\u0144"]
)
async def test_account_names_are_taken_as_they_are(name: str) -> None:
    authenticator = Authenticator([ANN, Account("ann x", ANN.password)])
    verdict = await authenticator.check("192.0.2.1", name.encode(), b"secret")
    assert not isinstance(verdict, Account)
    assert not authenticator.knows(name)
    authenticator.close()


# -- control fields -------------------------------------------------------------------------------


FIELDS = [
    b"X-Penstock-Tenant: other\r\n",
    b"x-PENSTOCK-tenant : other\r\n",
    b"X-Penstock-Tenant:\r\n other\r\n",
    b"X-Penstock-Tenant: other\r\nX-Penstock-Tenant: third\r\n",
]
OWN = Envelope("a@b", [Recipient("c@d")], 0.0, tenant="acme", account="ann")


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("trusted", [False, True])
def test_nobody_sends_in_the_name_of_another_tenant(field: bytes, trusted: bool) -> None:
    """An account sends for its own; what a stranger says has no effect, and goes no further."""
    envelope = replace(OWN) if trusted else replace(OWN, account="", tenant="")
    origin = Origin("x", "192.0.2.1", trusted=trusted)
    content = field + b"A: b\r\n\r\nhello\r\n"
    made = prepare(envelope, content, origin, hostname="mx.example", now=0.0)
    if trusted:
        assert isinstance(made, Reply)
        assert made.enhanced == "5.7.1"
    else:
        assert not isinstance(made, Reply)
        assert b"penstock-tenant" not in b"".join(made).lower()
        assert envelope.tenant == ""


@pytest.mark.parametrize("field", [b"X-Penstock-Tenant: a\r\n", b" X-Penstock-Tenant: a\r\n"])
def test_no_control_field_behind_the_first_is_let_through(field: bytes) -> None:
    """Nor one that another field hides: folded lines go with the field that they continue."""
    content = b"Subject: x\r\n" + field * 3 + b"A: b\r\n\r\n" + field
    made = prepare(replace(OWN, account=""), content, Origin("x", "y"), hostname="h", now=0.0)
    assert not isinstance(made, Reply)
    head, _, body = b"".join(made).partition(b"\r\n\r\n")
    assert b"\nX-Penstock" not in head
    assert body == field


@pytest.mark.parametrize(
    "value",
    [
        "a\r\n\tBcc: x@example.net",
        "a\rBcc: x",
        "a\x00b",
        "a\u2028Bcc: x",
        "a\u0085Bcc: x",
        "=?utf-8?q?a=0D=0ABcc:_x?=",
        '"a"',
        "a;b",
        "../../etc",
        "a" * 65,
        "",
    ],
)
@pytest.mark.parametrize("name", ["Tenant", "Campaign"])
async def test_a_control_value_is_a_label_or_nothing(say: Say, name: str, value: str) -> None:
    """It becomes part of names, logs and metrics: nothing in it can start a field or a line."""
    said, stored = await say(
        "EHLO x", "MAIL FROM:<a@b> SMTPUTF8", "RCPT TO:<c@d>", "DATA",
        f"X-Penstock-{name}: {value}", "Subject: x", "", "hello", ".",
        client="127.0.0.1",
    )  # fmt: skip
    assert said[4].startswith("550 5.6.")
    assert stored == []
