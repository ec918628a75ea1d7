"""A line-by-line SMTP client: the least that can see every reply."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace

import pytest

from penstock.sim.providers import GENERIC, Profile, patient
from penstock.sim.server import Provider


class Line:
    """``say`` sends a command and returns the whole reply, lines joined by ``\\n``."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def reply(self) -> str:
        lines: list[str] = []
        async with asyncio.timeout(5):
            while not lines or lines[-1][3:4] == "-":
                lines.append((await self.reader.readuntil(b"\n")).decode().rstrip("\r\n"))
        return "\n".join(lines)

    async def say(self, text: str) -> str:
        self.writer.write(text.encode() + b"\r\n")
        return await self.reply()

    async def deliver(self, to: str = "ann@example.net", content: str = "Subject: x\r\n\r\nhi\r\n"):
        """One transaction; the reply that ended it."""
        for command in ("MAIL FROM:<news@example.com>", f"RCPT TO:<{to}>", "DATA"):
            reply = await self.say(command)
            if reply[0] not in "23":
                if command.startswith("RCPT"):
                    await self.say("RSET")
                return reply
        self.writer.write(content.encode() + b".\r\n")
        return await self.reply()

    async def ended(self) -> bool:
        async with asyncio.timeout(5):
            return await self.reader.read(1) == b""

    async def starttls(self) -> None:
        assert (await self.say("STARTTLS")).startswith("220")
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        await self.writer.start_tls(context)


@pytest.fixture
async def dial() -> AsyncGenerator[Callable]:
    """``await dial(port)`` connects; ``greet=False`` leaves the banner to be read."""
    writers = []

    async def connect(port: int, greet: bool = True) -> Line:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writers.append(writer)
        line = Line(reader, writer)
        if greet:
            assert (await line.reply()).startswith("220")
            assert (await line.say("EHLO client.example")).startswith("250")
        return line

    yield connect
    for writer in writers:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@pytest.fixture
async def provide() -> AsyncGenerator[Callable]:
    """``await provide(profile, field=…)`` starts a provider without latency or moods of its own."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(profile: Profile = GENERIC, *, tls=None, on_message=None, **fields):
            latency = fields.pop("latency", 0.0)
            changed = replace(patient(profile), **fields)
            provider = Provider(changed, latency=latency, tls=tls, on_message=on_message)
            await provider.start()
            stack.push_async_callback(provider.close)
            return provider

        yield start
