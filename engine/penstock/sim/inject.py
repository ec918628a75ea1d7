"""A lean injector: many SMTP sessions that hand over many messages and remember every promise.

For the demo, tests and benchmarks. Each session keeps one transaction under way, pipelined (RFC
2920): MAIL, RCPT and DATA in one write, then the content and its dot. What was acknowledged is
recorded with the id that the server gave, so that a loss can be named.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

REPLY_BYTES_MAX = 64 << 10
DISMISSALS_MAX = 10
_QUEUED = re.compile(r"queued as (\S+)")


@dataclass(frozen=True, slots=True)
class Mail:
    """One message to inject. ``content`` ends with CRLF and is dot-stuffed already."""

    sender: str
    recipients: tuple[str, ...]
    message_id: str
    content: bytes


@dataclass(slots=True)
class Injection:
    """What came of it. ``acknowledged``: Message-ID -> id given by the server; ``recipients``: how
    many were taken, by domain; ``refusals``: reply -> times; ``unsure``: Message-IDs whose
    connection went away before the answer."""

    acknowledged: dict[str, str] = field(default_factory=dict)
    recipients: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    unsure: list[str] = field(default_factory=list)


class InjectionFailed(Exception):
    """The server greeted us with a refusal or went away at once."""


class _Dismissed(Exception):
    """The server answered 421: this connection ends, the message was not taken."""


async def inject(
    host: str,
    port: int,
    mails: Iterator[Mail],
    *,
    sessions: int = 20,
    timeout_s: float = 30.0,
    injection: Injection | None = None,
) -> Injection:
    """Hand over ``mails`` by ``sessions`` connections; each takes the next mail when it is free.

    Give an ``injection`` of your own to watch it grow. A refused message is counted and not tried
    again, except that 421 moves it to another connection, ``DISMISSALS_MAX`` times. Raises
    :class:`InjectionFailed` or ``OSError`` where no session can be had.
    """
    result = injection if injection is not None else Injection()
    async with asyncio.TaskGroup() as group:
        for _ in range(sessions):
            group.create_task(_session(host, port, mails, result, timeout_s))
    return result


async def _session(
    host: str, port: int, mails: Iterator[Mail], result: Injection, timeout_s: float
) -> None:
    """One connection after the other, until there is no more mail."""
    mail = next(mails, None)
    dismissals = 0
    while mail is not None:
        client = await _Client.open(host, port, timeout_s)
        try:
            while mail is not None:
                await client.send(mail, result)
                mail = next(mails, None)
                dismissals = 0
            await client.quit()
        except _Dismissed:
            dismissals += 1
            if dismissals > DISMISSALS_MAX:
                mail, dismissals = next(mails, None), 0
        except (OSError, asyncio.IncompleteReadError):
            if mail is not None:
                result.unsure.append(mail.message_id)
                mail = next(mails, None)
        finally:
            client.close()


class _Client:
    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, timeout_s: float
    ) -> None:
        self._reader, self._writer, self._timeout_s = reader, writer, timeout_s
        self._notify = b""

    @classmethod
    async def open(cls, host: str, port: int, timeout_s: float) -> _Client:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(host, port, limit=REPLY_BYTES_MAX)
        client = cls(reader, writer, timeout_s)
        try:
            await client._expect("220")
            writer.write(b"EHLO localhost\r\n")
            hello = await client._expect("250")
        except (OSError, asyncio.IncompleteReadError) as error:
            client.close()
            raise InjectionFailed(f"no session at {host}:{port}: {error}") from error
        except InjectionFailed:
            client.close()
            raise
        if any(line[4:].upper().startswith("DSN") for line in hello):
            client._notify = b" NOTIFY=NEVER"  # nobody reads the reports
        return client

    async def send(self, mail: Mail, result: Injection) -> None:
        """One transaction; raises for a connection that is gone or about to go."""
        lines = [b"MAIL FROM:<%b> SIZE=%d" % (mail.sender.encode(), len(mail.content))]
        for address in mail.recipients:
            lines.append(b"RCPT TO:<%b>%b" % (address.encode(), self._notify))
        lines += [b"DATA", b""]
        self._writer.write(b"\r\n".join(lines))
        replies = [await self._answer(result) for _ in range(len(mail.recipients) + 2)]
        refused = [reply for reply in replies if reply[0][0] not in "23"]
        if replies[-1][0][:3] == "354":
            # with no recipient taken a dot alone gets 554 (RFC 2920 section 3.1)
            self._writer.write(mail.content + b".\r\n")
            final = await self._answer(result)
            if final[0][0] == "2":
                found = _QUEUED.search(final[-1])
                result.acknowledged[mail.message_id] = found[1] if found else ""
                for address, reply in zip(mail.recipients, replies[1:-1], strict=True):
                    if reply[0][0] == "2":
                        result.recipients[address.rpartition("@")[2]] += 1
            else:
                refused.append(final)
        for reply in refused:
            result.refusals[_text(reply)] += 1
        if refused:
            self._writer.write(b"RSET\r\n")
            await self._reply()

    async def quit(self) -> None:
        self._writer.write(b"QUIT\r\n")
        await self._reply()

    def close(self) -> None:
        self._writer.close()

    async def _reply(self) -> Sequence[str]:
        lines: list[str] = []
        async with asyncio.timeout(self._timeout_s):
            while not lines or lines[-1][3:4] == "-":
                line = await self._reader.readuntil(b"\n")
                lines.append(line.decode("utf-8", "replace").rstrip("\r\n"))
        return lines

    async def _answer(self, result: Injection) -> Sequence[str]:
        reply = await self._reply()
        if reply[0].startswith("421"):
            result.refusals[_text(reply)] += 1
            raise _Dismissed
        return reply

    async def _expect(self, code: str) -> Sequence[str]:
        reply = await self._reply()
        if not reply[0].startswith(code):
            raise InjectionFailed(f"the server answered: {reply[0]}")
        return reply


def _text(reply: Sequence[str]) -> str:
    return " ".join(line[4:] if number else line for number, line in enumerate(reply))
