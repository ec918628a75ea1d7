"""Real sockets on both event loops: TLS, reload, and shutting down."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import inspect
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from penstock.intake.listener import Listener, ListenerConfig, serve

MESSAGE = b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nSubject: x\r\n\r\nbody\r\n.\r\n"


def on_both_loops(test: Callable[..., Any]) -> Callable[..., None]:
    """Run an async test that wants ``served`` on asyncio's own loop and on uvloop."""

    def run(loop_factory: Any, sink: Any, observer: Any, **others: Any) -> None:
        own = {"sink": sink, "observer": observer}
        given = others | {name: own[name] for name in own.keys() & wanted}

        async def inside() -> None:
            async with serving(sink, observer) as served:
                await test(served, **given)

        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(inside())

    wanted = set(inspect.signature(test).parameters) - {"served"}
    names = sorted({"loop_factory", "sink", "observer"} | wanted)
    kind = inspect.Parameter.KEYWORD_ONLY
    run.__name__ = test.__name__
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(name, kind) for name in names]
    )
    run.pytestmark = list(getattr(test, "pytestmark", []))  # type: ignore[attr-defined]
    factories = pytest.mark.parametrize(
        "loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
    )
    return factories(run)


def certificate(folder: Path, name: str) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=36500))
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def client_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def common_name(writer: asyncio.StreamWriter) -> str:
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    subject = x509.load_der_x509_certificate(der).subject
    return str(subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


async def until(true: Callable[[], bool]) -> None:
    for _ in range(5000):
        if true():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("never came true")


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def hear(self) -> list[str]:
        """One reply."""
        rows = []
        while not rows or rows[-1][3:4] == "-":
            rows.append(
                (await asyncio.wait_for(self.reader.readuntil(b"\r\n"), 10)).decode().strip()
            )
        return rows

    async def ask(self, data: bytes) -> list[str]:
        self.writer.write(data)
        return await self.hear()

    async def start_tls(self, context: ssl.SSLContext) -> None:
        await self.writer.start_tls(context)

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError, ssl.SSLError):
            await self.writer.wait_closed()


@contextlib.asynccontextmanager
async def serving(sink: Any, observer: Any) -> AsyncIterator[Callable[..., Any]]:
    listeners: list[Listener] = []
    clients: list[Client] = []

    async def make(**config: Any) -> tuple[Listener, Callable[..., Any]]:
        sock = socket.create_server(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        made = await serve(sock, ListenerConfig(**config), sink, observer)
        listeners.append(made)

        async def dial(first: bytes = b"", **options: Any) -> Client:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, **options)
            clients.append(Client(reader, writer))
            if first:
                writer.write(first)
            return clients[-1]

        return made, dial

    try:
        yield make
    finally:
        await tidy_up(listeners, clients)


async def tidy_up(listeners: list[Listener], clients: list[Client]) -> None:
    for client in clients:
        await client.close()
    for made in listeners:
        await made.close(0)
        assert made.stats()["connections"] == 0


@on_both_loops
async def test_a_message_over_a_socket(served: Any, sink: Any) -> None:
    listener, dial = await served()
    client = await dial()
    assert (await client.hear())[0].startswith("220")
    assert "250-PIPELINING" in await client.ask(b"EHLO x\r\n")
    client.writer.write(MESSAGE + b"QUIT\r\n")
    assert [(await client.hear())[0][:3] for _ in range(5)] == ["250", "250", "354", "250", "221"]
    assert await client.reader.read() == b""
    assert listener.stats()["messages_total"] == 1
    assert sink.messages[0][0].client == "127.0.0.1"


@on_both_loops
async def test_starttls(served: Any, sink: Any, tmp_path: Path) -> None:
    listener, dial = await served(tls="starttls", tls_context=certificate(tmp_path, "one"))
    client = await dial()
    await client.hear()
    assert (await client.ask(b"STARTTLS\r\n"))[0].startswith("503 5.5.1")
    assert "250-STARTTLS" in await client.ask(b"EHLO x\r\n")
    assert (await client.ask(b"STARTTLS now\r\n"))[0].startswith("501 5.5.4")
    assert (await client.ask(b"STARTTLS\r\n")) == ["220 2.0.0 Ready to start TLS"]
    await client.start_tls(client_context())
    assert (await client.ask(b"MAIL FROM:<a@b>\r\n"))[0].startswith("503 5.5.1")
    assert "250-STARTTLS" not in await client.ask(b"EHLO y\r\n")
    assert (await client.ask(b"STARTTLS\r\n"))[0].startswith("503 5.5.1")
    client.writer.write(MESSAGE)
    assert [(await client.hear())[0][:3] for _ in range(4)] == ["250", "250", "354", "250"]
    body = sink.messages[0][1]
    assert b"from y " in body
    assert b"with ESMTPS id" in body
    assert b"(TLSv1.3 TLS_" in body
    listener.reload_tls(certificate(tmp_path, "two"))
    assert common_name(client.writer) == "one"
    other = await dial()
    await other.hear()
    await other.ask(b"EHLO x\r\n")
    await other.ask(b"STARTTLS\r\n")
    await other.start_tls(client_context())
    assert common_name(other.writer) == "two"


@on_both_loops
async def test_requiretls_is_offered_and_taken_under_tls_only(
    served: Any, sink: Any, tmp_path: Path
) -> None:
    _, dial = await served(tls="starttls", tls_context=certificate(tmp_path, "one"))
    client = await dial()
    await client.hear()
    assert "250-REQUIRETLS" not in await client.ask(b"EHLO x\r\n")
    said = await client.ask(b"MAIL FROM:<a@b.example> REQUIRETLS\r\n")
    assert said == ["555 5.5.4 Unsupported parameter REQUIRETLS"]
    await client.ask(b"STARTTLS\r\n")
    await client.start_tls(client_context())
    assert "250-REQUIRETLS" in await client.ask(b"EHLO x\r\n")
    said = await client.ask(b"MAIL FROM:<a@b.example> REQUIRETLS=yes\r\n")
    assert said == ["501 5.5.4 Malformed REQUIRETLS"]
    for sender in (b"a@b.example", b""):
        await client.ask(b"MAIL FROM:<%b> RET=FULL REQUIRETLS\r\n" % sender)
        await client.ask(b"RCPT TO:<c@d.example>\r\n")
        await client.ask(b"DATA\r\n")
        await client.ask(b"TLS-Required: No\r\n\r\nx\r\n.\r\n")
    (envelope, body), (report, _) = sink.messages
    assert (envelope.tls, envelope.ret) == ("require", "HDRS")
    assert b"TLS-Required: No" in body
    assert report.tls == "relax", "a report is not kept back (RFC 8689 section 5)"


@on_both_loops
@pytest.mark.parametrize("injected", [b"NOOP\r\n", b"EHLO x\r\n" + MESSAGE])
async def test_nothing_is_injected_before_starttls(
    served: Any, sink: Any, tmp_path: Path, injected: bytes
) -> None:
    _, dial = await served(tls="starttls", tls_context=certificate(tmp_path, "one"))
    client = await dial()
    await client.hear()
    await client.ask(b"EHLO x\r\n")
    await client.ask(b"STARTTLS\r\n" + injected)
    await client.start_tls(client_context())
    assert (await client.ask(b"VRFY x\r\n"))[0].startswith("252")
    assert sink.messages == []


@on_both_loops
async def test_a_handshake_that_fails(served: Any, observer: Any, tmp_path: Path) -> None:
    listener, dial = await served(tls="starttls", tls_context=certificate(tmp_path, "one"))
    client = await dial()
    await client.hear()
    await client.ask(b"EHLO x\r\n")
    await client.ask(b"STARTTLS\r\n")
    client.writer.write(b"this is no handshake\r\n")
    await client.reader.read()
    await until(lambda: not listener.stats()["connections"])
    assert observer.of("close") == [("close", "127.0.0.1", "tls")]


@on_both_loops
async def test_implicit_tls(served: Any, sink: Any, tmp_path: Path) -> None:
    listener, dial = await served(tls="implicit", tls_context=certificate(tmp_path, "one"))
    client = await dial(ssl=client_context())
    assert (await client.hear())[0].startswith("220")
    assert "250-STARTTLS" not in await client.ask(b"EHLO x\r\n")
    client.writer.write(MESSAGE)
    assert [(await client.hear())[0][:3] for _ in range(4)] == ["250", "250", "354", "250"]
    assert b"with ESMTPS id" in sink.messages[0][1]
    assert common_name(client.writer) == "one"
    listener.reload_tls(certificate(tmp_path, "two"))
    assert common_name((await dial(ssl=client_context())).writer) == "two"


def hello(context: ssl.SSLContext) -> tuple[ssl.SSLObject, ssl.MemoryBIO, ssl.MemoryBIO]:
    """A TLS client without a socket, so that its first bytes can ride behind a header."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    return context.wrap_bio(incoming, outgoing), incoming, outgoing


@on_both_loops
@pytest.mark.parametrize("together", [True, False])
async def test_implicit_tls_behind_a_proxy(
    served: Any, sink: Any, observer: Any, tmp_path: Path, together: bool
) -> None:
    _, dial = await served(
        tls="implicit",
        tls_context=certificate(tmp_path, "one"),
        proxy_from=("127.0.0.0/8",),
        relay_from=("192.0.2.0/24",),
    )
    client = await dial()
    secured, incoming, outgoing = hello(client_context())
    with pytest.raises(ssl.SSLWantReadError):
        secured.do_handshake()
    client.writer.write(b"PROXY TCP4 192.0.2.1 127.0.0.1 1 25\r\n")
    if not together:
        await client.writer.drain()
        await asyncio.sleep(0.01)
    client.writer.write(outgoing.read())
    said = b""
    asked = False
    while said.count(b"\r\n") < 5:
        incoming.write(await asyncio.wait_for(client.reader.read(65536), 10))
        try:
            if not asked:
                secured.do_handshake()
                secured.write(b"HELO x\r\n" + MESSAGE)
                asked = True
            while True:
                said += secured.read(65536)
        except ssl.SSLWantReadError:
            pass
        client.writer.write(outgoing.read())
    assert said.startswith(b"220 ")
    assert sink.messages[0][0].client == "192.0.2.1"
    assert observer.of("connect") == [("connect", "192.0.2.1")]


@on_both_loops
async def test_junk_instead_of_tls_behind_a_proxy(
    served: Any, observer: Any, tmp_path: Path
) -> None:
    listener, dial = await served(
        tls="implicit", tls_context=certificate(tmp_path, "one"), proxy_from=("127.0.0.0/8",)
    )
    client = await dial(b"PROXY TCP4 192.0.2.1 127.0.0.1 1 25\r\nEHLO x\r\n")
    await client.reader.read()
    await until(lambda: not listener.stats()["connections"])
    assert observer.heard == []


@on_both_loops
async def test_tls_without_a_header_where_only_others_have_one(served: Any, tmp_path: Path) -> None:
    _, dial = await served(
        tls="implicit", tls_context=certificate(tmp_path, "one"), proxy_from=("192.0.2.0/24",)
    )
    client = await dial(ssl=client_context())
    assert (await client.hear())[0].startswith("220")


@on_both_loops
async def test_reload_needs_tls(served: Any, tmp_path: Path) -> None:
    listener, _ = await served()
    with pytest.raises(ValueError, match="TLS"):
        listener.reload_tls(certificate(tmp_path, "one"))


@on_both_loops
async def test_an_orderly_end(served: Any, sink: Any, observer: Any) -> None:
    listener, dial = await served()
    idle, running, committing = await dial(), await dial(), await dial()
    for client in (idle, running, committing):
        await client.hear()
        await client.ask(b"EHLO x\r\n")
    sink.held = True
    head, tail = MESSAGE[:-5], MESSAGE[-5:]
    running.writer.write(head)
    committing.writer.write(MESSAGE)
    for _ in range(3):
        await running.hear()
        await committing.hear()
    closing = asyncio.create_task(listener.close(10))
    assert (await idle.hear())[0].startswith("421 4.3.2")
    assert await idle.reader.read() == b""
    running.writer.write(tail)
    await until(lambda: len(sink.messages) == 2)
    assert not closing.done()
    sink.commit()
    for client in (running, committing):
        assert (await client.hear())[0].startswith("250 2.6.0")
        assert (await client.hear())[0].startswith("421 4.3.2")
    await closing
    assert {heard[2] for heard in observer.of("close")} == {"shutdown"}


@on_both_loops
async def test_an_end_that_cannot_wait(served: Any, sink: Any) -> None:
    listener, dial = await served()
    client = await dial()
    await client.hear()
    await client.ask(b"HELO x\r\n")
    await client.ask(b"MAIL FROM:<a@b>\r\n")
    await listener.close(0.01)
    assert (await client.reader.read()).startswith(b"421 4.3.2")
    assert listener.stats()["connections"] == 0


@on_both_loops
async def test_the_listener_looks_at_the_time_by_itself(served: Any) -> None:
    _, dial = await served(sweep_s=0.01, idle_timeout_s=0.05)
    client = await dial()
    await client.hear()
    assert (await client.hear())[0].startswith("421 4.4.2")
    assert await client.reader.read() == b""


@on_both_loops
async def test_nobody_need_listen(served: Any, sink: Any) -> None:
    sock = socket.create_server(("127.0.0.1", 0))
    quiet = await serve(sock, ListenerConfig(), sink)
    reader, writer = await asyncio.open_connection(*sock.getsockname())
    client = Client(reader, writer)
    await client.hear()
    writer.write(b"FOO\r\nHELO x\r\n" + MESSAGE + b"QUIT\r\n")
    heard = [(await client.hear())[0][:3] for _ in range(7)]
    assert heard == ["500", "250", "250", "250", "354", "250", "221"]
    await client.close()
    await quiet.close(1)
    assert quiet.stats()["messages_total"] == 1
