"""What a client says and hears: sequences, parameters, codes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Run = Callable[..., Any]

DIALOGUES = {
    "a message": """
        S: 220 mx.example ESMTP Penstock
        C: EHLO client.example
        S: 250-mx.example
        S: 250-SIZE 33554432
        S: 250-8BITMIME
        S: 250-SMTPUTF8
        S: 250-PIPELINING
        S: 250-ENHANCEDSTATUSCODES
        S: 250-CHUNKING
        S: 250-DSN
        S: 250 HELP
        C: MAIL FROM:<a@example.com> SIZE=10
        S: 250 2.1.0 Ok
        C: RCPT TO:<b@example.net>
        S: 250 2.1.5 Ok
        C: DATA
        S: 354 ...
        C: Subject: x
        C:
        C: ..dot
        C: .
        S: 250 2.6.0 Message queued as ...
        C: QUIT
        S: 221 2.0.0 Bye
        S: <closed>
        """,
    "HELO, no extensions": """
        S: 220 ...
        C: HELO client.example
        S: 250 mx.example
        C: MAIL FROM:<a@b> SIZE=1
        S: 555 5.5.4 ...
        C: MAIL FROM:<a@b>
        S: 250 2.1.0 Ok
        C: RCPT TO:<a@b> NOTIFY=NEVER
        S: 555 5.5.4 ...
        C: RCPT TO:<a@b>
        S: 250 2.1.5 Ok
        C: AUTH PLAIN AAA=
        S: 502 5.5.1 ...
        """,
    "out of order": """
        S: 220 ...
        C: MAIL FROM:<a@b>
        S: 503 5.5.1 ...
        C: RCPT TO:<a@b>
        S: 503 5.5.1 ...
        C: DATA
        S: 503 5.5.1 ...
        C: EHLO x
        S: 250-...
        S: 250-...
        S: 250-...
        S: 250-...
        S: 250-...
        S: 250-...
        S: 250-...
        S: 250-...
        S: 250 HELP
        C: RCPT TO:<a@b>
        S: 503 5.5.1 ...
        C: DATA
        S: 503 5.5.1 ...
        C: MAIL FROM:<a@b>
        S: 250 2.1.0 ...
        C: MAIL FROM:<a@b>
        S: 503 5.5.1 ...
        C: DATA
        S: 503 5.5.1 ...
        C: RCPT TO:<>
        S: 553 5.1.3 ...
        C: DATA
        S: 554 5.5.1 No valid recipients
        C: RSET
        S: 250 2.0.0 Ok
        C: RCPT TO:<a@b>
        S: 503 5.5.1 ...
        """,
    "EHLO resets": """
        S: 220 ...
        C: HELO x
        S: 250 mx.example
        C: MAIL FROM:<a@b>
        S: 250 2.1.0 Ok
        C: HELO x
        S: 250 mx.example
        C: RCPT TO:<a@b>
        S: 503 5.5.1 Send MAIL first
        """,
    "small commands": """
        S: 220 ...
        C: NOOP
        S: 250 2.0.0 Ok
        C: noop with argument
        S: 250 2.0.0 Ok
        C: RSET
        S: 250 2.0.0 Ok
        C: rset
        S: 250 2.0.0 Ok
        C: RSET now
        S: 501 5.5.4 ...
        C: VRFY postmaster
        S: 252 2.1.5 ...
        C: VRFY
        S: 501 5.5.4 ...
        C: EXPN list
        S: 502 5.5.1 EXPN not implemented
        C: HELP
        S: 214 2.0.0 Commands: ...
        C: QUIT now
        S: 501 5.5.4 ...
        C: TURN
        S: 500 5.5.1 ...
        C: NOOPE
        S: 500 5.5.1 ...
        C: RSETX
        S: 500 5.5.1 ...
        C: DATAX
        S: 500 5.5.1 ...
        C: DATA x
        S: 501 5.5.4 ...
        C:
        S: 500 5.5.1 ...
        C: STARTTLS
        S: 502 5.5.1 ...
        C!: \\xff\\xfe\\r\\n
        S: 500 5.5.2 ...
        """,
    "names that are none": """
        S: 220 ...
        C: EHLO
        S: 501 5.5.4 ...
        C: HELO
        S: 501 5.5.4 ...
        C: EHLO a b
        S: 501 5.5.4 ...
        C: EHLO x(y)
        S: 501 5.5.4 ...
        C!: EHLO x\\x00y\\r\\n
        S: 501 5.5.4 ...
        C: HELO [127.0.0.1]
        S: 250 mx.example
        C: HELO [IPv6:::1]
        S: 250 mx.example
        C: HELO with_underscore
        S: 250 mx.example
        """,
    "chunks": """
        S: 220 ...
        C: HELO x
        S: 250 ...
        C: BDAT 4
        C!: NOOP
        S: 503 5.5.1 Send MAIL first
        C: MAIL FROM:<a@b>
        S: 250 2.1.0 Ok
        C: BDAT 3 LAST
        C!: abc
        S: 503 5.5.1 Send RCPT first
        C: RCPT TO:<a@b>
        S: 250 2.1.5 Ok
        C: BDAT 6
        C!: abc\\r\\n.
        S: 250 2.0.0 6 octets received
        C: RCPT TO:<c@d>
        S: 503 5.5.1 ...
        C: DATA
        S: 503 5.5.1 ...
        C: BDAT 2
        C!: \\r\\n
        S: 250 2.0.0 2 octets received
        C: BDAT 0 LAST
        S: 250 2.6.0 Message queued as ...
        C: MAIL FROM:<a@b>
        S: 250 2.1.0 Ok
        C: RCPT TO:<a@b>
        S: 250 2.1.5 Ok
        C: BDAT 3
        C!: abc
        S: 250 2.0.0 3 octets received
        C: RSET
        S: 250 2.0.0 Ok
        C: BDAT 3 LAST
        C!: abc
        S: 503 5.5.1 ...
        """,
    "a chunk of unknown length": """
        S: 220 ...
        C: HELO x
        S: 250 ...
        C: BDAT many
        S: 501 5.5.4 ...
        S: 421 4.5.0 ...
        S: <closed>
        """,
    "an empty message, a null sender": """
        S: 220 ...
        C: HELO x
        S: 250 ...
        C: MAIL FROM:<>
        S: 250 2.1.0 Ok
        C: RCPT TO:<Postmaster>
        S: 250 2.1.5 Ok
        C: DATA
        S: 354 ...
        C: .
        S: 250 2.6.0 ...
        """,
    "line ends": """
        S: 220 ...
        C!: NOOP\\n
        S: 500 5.5.2 ...
        C!: \\r\\n
        S: 500 5.5.1 ...
        C!: NOOP\\rNOOP\\r\\n
        S: 250 2.0.0 Ok
        """,
    "addresses": """
        S: 220 ...
        C: EHLO x
        S: 250-...
        S: 250-...
        S: 250-...
        S: 250-...
        S: 250-...
        S: 250-...
        S: 250-...
        S: 250-...
        S: 250 HELP
        C: MAIL FROM:<ä@example.com>
        S: 553 5.6.7 ...
        C: MAIL FROM:<ä@example.com> SMTPUTF8
        S: 250 2.1.0 Ok
        C: RCPT TO:<用户@例え.jp> NOTIFY=SUCCESS ORCPT=rfc822;x@y
        S: 250 2.1.5 Ok
        C: RCPT TO:<@evil.example:a@b>
        S: 553 5.1.3 Source routes ...
        C: RSET
        S: 250 2.0.0 Ok
        C: MAIL FROM:<a@b>
        S: 250 2.1.0 Ok
        C: RCPT TO:<用户@例え.jp>
        S: 553 5.6.7 ...
        """,
}


@pytest.mark.parametrize("name", DIALOGUES)
async def test_dialogue(name: str, connect: Run, converse: Run) -> None:
    assert await converse(connect(), DIALOGUES[name])


async def test_what_a_dialogue_leaves(connect: Run, converse: Run, sink: Any) -> None:
    line = connect()
    await line.greet()
    await converse(
        line,
        """
        C: MAIL FROM:<ä@b> SMTPUTF8 BODY=8BITMIME RET=HDRS ENVID=q+2B
        S: 250 2.1.0 Ok
        C: RCPT TO:<c@d> NOTIFY=DELAY,FAILURE ORCPT=rfc822;e@f
        S: 250 2.1.5 Ok
        C: RCPT TO:<POSTMASTER>
        S: 250 2.1.5 Ok
        C: DATA
        S: 354 ...
        C!: S: \\xe9\\r\\n\\r\\n..\\r\\n.\\r\\n
        S: 250 2.6.0 Message queued as 2
        """,
    )
    envelope, body = sink.messages[0]
    assert envelope.sender == "ä@b"
    assert envelope.smtputf8
    assert envelope.eightbit
    assert (envelope.ret, envelope.envid, envelope.client) == ("HDRS", "q+2B", "127.0.0.1")
    first, second = envelope.recipients
    assert (first.address, first.notify, first.orcpt) == (
        "c@d",
        ("DELAY", "FAILURE"),
        "rfc822;e@f",
    )
    assert second.address == "postmaster@mx.example"
    assert body.endswith(b"S: \xe9\r\n\r\n.\r\n")
    assert b"with UTF8SMTP id 2" in body


async def test_lf_commands_where_bare_newlines_are_accepted(connect: Run, sink: Any) -> None:
    line = connect(bare_newlines="accept")
    line.send(b"HELO x\nMAIL FROM:<a@b>\nRCPT TO:<a@b>\nDATA\na: b\n.\n\r\n.\r\n")
    assert [said[:3] for said in await line.said(5)] == ["220", "250", "250", "250", "354", "250"]
    assert sink.messages[0][1].endswith(b"a: b\r\n\r\n\r\n")


async def test_a_pipelined_group_is_answered_in_one_write(connect: Run) -> None:
    line = connect()
    await line.greet()
    before = len(line.transport.writes)
    line.send(b"MAIL FROM:<a@b>\r\nRCPT TO:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n")
    assert len(await line.said(4)) == 4
    assert len(line.transport.writes) == before + 1
