"""Making a connection: TCP, banner, EHLO or HELO, STARTTLS. All of it is aiosmtplib's; what is ours
is the protocol, which hands the connection over to a driver once mail flows, and the outcome as a
value.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Protocol, cast

from aiosmtplib import SMTP, SMTPException, SMTPResponse
from aiosmtplib.errors import (
    SMTPConnectResponseError,
    SMTPResponseException,
    SMTPServerDisconnected,
    SMTPTimeoutError,
)
from aiosmtplib.protocol import SMTPProtocol

from penstock.mail.outcome import Phase
from penstock.relay.egress import EgressError, WayOut
from penstock.relay.options import ConnectOptions
from penstock.relay.peer import Peer
from penstock.relay.ports import Host
from penstock.relay.resumption import Handshake, ResumingContext, resumable
from penstock.relay.tls_check import Check, CheckFailed, chain_of, why_failed
from penstock.relay.tls_demand import Fault
from penstock.relay.tls_stream import TlsStream
from penstock.smtp.client_reply import reply_text
from penstock.smtp.reply import Reply


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no connection. ``tls_broken``: it may well work without TLS; ``fault``: what
    was wrong with TLS."""

    phase: Phase
    reply: Reply
    tls_broken: bool = False
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class Securing:
    """How a connection is to be encrypted. ``must``: there is none in the clear; ``check``: what
    its certificates must meet besides; ``why``: who says so, for people; ``name``: what the host is
    asked for, its own name if not given."""

    context: ResumingContext
    handshake: Handshake
    must: bool = False
    check: Check | None = None
    why: str = ""
    name: str = ""


class Driver(Protocol):
    """Who gets a connection's events after the greeting."""

    def data_received(self, data: bytes) -> None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...
    def connection_lost(self) -> None: ...


class ClientProtocol(SMTPProtocol):
    """aiosmtplib's protocol until a driver takes over."""

    driver: Driver | None = None
    handshake: Handshake | None = None

    async def start_tls(
        self,
        tls_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> SMTPResponse:
        """As aiosmtplib's own, with our TLS and the handshake that may resume a session."""
        assert isinstance(tls_context, ResumingContext)
        assert server_hostname is not None
        response = await self.execute_command(b"STARTTLS", timeout=timeout)
        if response.code != 220:
            raise SMTPResponseException(response.code, response.message)
        del self._buffer[:]  # said in the clear, by whomever (RFC 3207 section 4.2)
        if self.transport is None or self.transport.is_closing():
            raise SMTPServerDisconnected("Connection lost")
        raw = cast(asyncio.Transport, self.transport)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        handshake = self.handshake or Handshake()
        engine = tls_context.begin(incoming, outgoing, server_hostname, handshake)
        stream = TlsStream(raw, cast(asyncio.Protocol, self), engine, incoming, outgoing)
        try:
            async with asyncio.timeout(timeout):
                await stream.handshake()
        except TimeoutError as error:
            raise SMTPTimeoutError("Timed out during the handshake") from error
        except ConnectionError as error:
            raise SMTPServerDisconnected("Connection lost during the handshake") from error
        self.transport = stream
        return response

    def data_received(self, data: bytes) -> None:
        if self.driver is not None:
            self.driver.data_received(data)
        else:
            super().data_received(data)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.driver is not None:
            self.driver.pause_writing()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.driver is not None:
            self.driver.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        driver, self.driver = self.driver, None
        if driver is not None:
            driver.connection_lost()
        super().connection_lost(exc)


class Client(SMTP):
    """``phase``: how far the greeting has come. ``resumed``: whether the host took the TLS session
    that it was offered; ``session``: a new one, to offer it next time."""

    protocol: ClientProtocol | None

    def __init__(
        self, host: Host, address: str, options: ConnectOptions, way_out: WayOut | None = None
    ) -> None:
        super().__init__(
            hostname=address,
            port=host.port,
            local_hostname=options.ehlo,
            timeout=options.command_timeout_s,
            start_tls=False,
        )
        self.phase = Phase.CONNECT
        self.tls = ""
        self.session: ssl.SSLSession | None = None
        self.resumed = False
        self._host = host
        self._address = address
        self._options = options
        self._way_out = way_out or WayOut()

    async def _create_connection(self, timeout: float | None) -> SMTPResponse:
        """As aiosmtplib's own, with our protocol and our way out."""
        protocol = ClientProtocol(asyncio.get_running_loop(), self._on_connection_lost)
        self.transport = await self._way_out.connect(
            protocol, self._address, self._host.port, self._options
        )
        self.protocol = protocol
        self.phase = Phase.BANNER
        banner = await protocol.read_response(timeout=timeout)
        if banner.code != 220:
            raise SMTPConnectResponseError(banner.code, banner.message)
        return banner

    async def introduce(self) -> None:
        """EHLO, or HELO where that is refused."""
        self.phase = Phase.EHLO
        await self._ehlo_or_helo_if_needed()

    async def secure(self, securing: Securing) -> None:
        """STARTTLS and the handshake, then EHLO again (RFC 3207)."""
        self.phase = Phase.TLS
        assert self.protocol is not None
        self.protocol.handshake = securing.handshake
        await self.starttls(
            # an address is not sent as a name
            server_hostname=securing.name or self._host.name or self._address,
            tls_context=securing.context,
            timeout=self._options.tls_timeout_s,
        )
        secured: ssl.SSLObject = self.get_transport_info("ssl_object")
        self.resumed = bool(secured.session_reused)
        if securing.check is not None and not self.resumed:  # a session is kept of the good alone
            fault = securing.check(chain_of(secured))
            if fault is not None:
                raise CheckFailed(fault)
        cipher = secured.cipher()
        self.tls = f"{secured.version()} {cipher[0] if cipher else ''}".strip()
        await self._ehlo_or_helo_if_needed()
        if not self.resumed:  # else the one it took is good for more, and a copy is not cheap
            self.session = resumable(secured)  # now: TLS 1.3 gives tickets after the handshake

    def peer(self) -> Peer:
        return Peer.of(self.esmtp_extensions)

    def abort(self) -> None:
        """Close at once."""
        transport = self.transport
        self.close()
        if transport is not None:
            cast(asyncio.WriteTransport, transport).abort()


async def greet(
    host: Host,
    address: str,
    options: ConnectOptions,
    securing: Securing | None,
    way_out: WayOut | None = None,
) -> Client | Refusal:
    """Connect and greet; with STARTTLS if there is a way to secure it and the host offers it."""
    client = Client(host, address, options, way_out)
    ok = False
    try:
        refusal = await _greet(client, options, securing, host.name or address)
        ok = refusal is None
    finally:
        if not ok:
            client.abort()
    return refusal or client


async def _greet(
    client: Client, options: ConnectOptions, securing: Securing | None, host: str
) -> Refusal | None:
    must = securing is not None and securing.must
    try:
        await _unless_cancelled(client.connect())
        await _unless_cancelled(client.introduce())
        if securing is not None and client.supports_extension("starttls"):
            await _unless_cancelled(client.secure(securing))
        elif securing is not None and must:
            text = f"4.7.4 TLS is required, STARTTLS not offered by host{securing.why}"
            fault = Fault("starttls-not-supported", "STARTTLS not offered")
            return Refusal(Phase.TLS, Reply.of(451, text), fault=fault)
    except SMTPResponseException as error:
        in_tls = client.phase is Phase.TLS and not client.tls
        if in_tls and client.is_connected and not must:
            return None  # "454 TLS not available": go on in the clear
        refused = Fault("starttls-not-supported", f"STARTTLS refused: {error.code}")
        return Refusal(
            Phase.EHLO if client.tls else client.phase,
            _refused(error),
            fault=refused if in_tls else None,
        )
    except EgressError as error:
        return Refusal(Phase.EGRESS, error.reply)
    except (SMTPException, OSError) as error:
        if client.phase is not Phase.TLS or securing is None:
            return Refusal(client.phase, _failed(client, error, options))
        fault = why_failed(error, host, securing.handshake.certificate)
        text = f"4.7.5 TLS handshake failed: {fault.text}{securing.why}"
        return Refusal(Phase.TLS, Reply.of(451, text), tls_broken=True, fault=fault)
    return None


async def _unless_cancelled(step: Coroutine[Any, Any, object]) -> None:
    """Before Python 3.12, ``wait_for`` may swallow a cancellation; it must not be lost."""
    task = asyncio.current_task()
    assert task is not None
    cancels = task.cancelling()
    await step
    if task.cancelling() > cancels:
        raise asyncio.CancelledError


def _refused(error: SMTPResponseException) -> Reply:
    """The host's own words, where they are a refusal."""
    text = error.message.encode("utf-8", "surrogateescape")
    if 400 <= error.code <= 599:
        return Reply(error.code, tuple(reply_text(line)[:512] for line in text.split(b"\n")))
    return Reply.of(451, f"4.5.0 Protocol error: {error.code} {reply_text(text[:120])}".rstrip())


def _failed(client: Client, error: Exception, options: ConnectOptions) -> Reply:
    if client.phase is Phase.CONNECT:
        timed_out = isinstance(error, TimeoutError)
        why = "timed out" if timed_out else getattr(error, "strerror", None) or str(error)
        return Reply.of(451, f"4.4.1 Connection failed: {why}")
    where = client.phase.value
    if client.phase is Phase.BANNER and options.proxy is not None:
        where += f", through {options.proxy}"  # it may be all that there was to connect to
    if isinstance(error, SMTPTimeoutError | TimeoutError):
        return Reply.of(451, f"4.4.2 Timed out waiting for the reply: {where}")
    if isinstance(error, SMTPServerDisconnected | ConnectionError):
        return Reply.of(451, f"4.4.2 Connection lost: {where}")
    return Reply.of(451, f"4.5.0 {_words(error)}")


def _words(error: Exception) -> str:
    return reply_text(str(error).encode("utf-8", "replace"))[:120] or type(error).__name__
