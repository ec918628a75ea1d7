"""The PROXY header: who may send it, and whom it names."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.intake.proxy import BadProxyHeader, Proxied, read_proxy

Run = Callable[..., Any]
SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


def v2(command: int, family: int, body: bytes) -> bytes:
    return SIGNATURE + struct.pack("!BBH", 0x20 | command, family, len(body)) + body


def inet(source: str) -> bytes:
    packed = socket.inet_aton(source) + socket.inet_aton("192.0.2.99")
    return v2(1, 0x11, packed + struct.pack("!HH", 1, 2))


def inet6(source: str) -> bytes:
    packed = socket.inet_pton(socket.AF_INET6, source) * 2
    return v2(1, 0x21, packed + struct.pack("!HH", 1, 2))


HEADERS = [
    (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 25\r\n", "192.0.2.1"),
    (b"PROXY TCP6 2001:db8::1 2001:db8::2 1 25\r\n", "2001:db8::1"),
    (b"PROXY UNKNOWN\r\n", ""),
    (inet("192.0.2.1"), "192.0.2.1"),
    (inet6("2001:db8::1"), "2001:db8::1"),
    (v2(0, 0, b""), ""),
    (v2(1, 0, b"anything"), ""),
]
BAD = [
    b"EHLO x\r\n",
    b"PROXY TCP4 192.0.2.1\r\n",
    b"PROXY TCP4 999.0.2.1 192.0.2.2 1 25\r\n",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 1 99999\r\n",
    b"PROXY " + b"x" * 200,
    SIGNATURE + b"\x31\x11\x00\x00",
    v2(1, 0x11, b"short"),
    v2(1, 0x11, b"x" * 5000),
    b"\r\n\r\nNOOP\r\n",
]


@pytest.mark.parametrize(("header", "address"), HEADERS)
def test_headers(header: bytes, address: str) -> None:
    assert read_proxy(header + b"EHLO") == Proxied(address, len(header))
    for cut in range(len(header)):
        assert read_proxy(header[:cut]) is None


@pytest.mark.parametrize("junk", BAD)
def test_what_is_none(junk: bytes) -> None:
    with pytest.raises(BadProxyHeader):
        read_proxy(junk)


@given(
    st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE, SIGNATURE + b"\x21\x11\0"]),
    st.binary(),
)
def test_any_bytes(start: bytes, junk: bytes) -> None:
    with contextlib.suppress(BadProxyHeader):
        assert isinstance(read_proxy(start + junk), Proxied | None)


@pytest.mark.parametrize("bytewise", [False, True])
async def test_the_client_is_who_the_proxy_says(
    connect: Run, sink: Any, observer: Any, bytewise: bool
) -> None:
    line = connect("10.0.0.1", proxy_from=("10.0.0.0/8",), relay_from=("192.0.2.0/24",))
    assert await line.said() == []
    line.send(HEADERS[0][0] + b"HELO x\r\n", bytewise)
    assert [row[:3] for row in await line.said(2)] == ["220", "250"]
    await line.ask("MAIL FROM:<a@b>\nRCPT TO:<a@b>\nDATA\n.")
    assert sink.messages[0][0].client == "192.0.2.1"
    assert observer.of("connect") == [("connect", "192.0.2.1")]


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", v2(0, 0, b"")])
async def test_a_proxy_itself_is_not_trusted(connect: Run, header: bytes) -> None:
    line = connect("127.0.0.1", proxy_from=("127.0.0.1",))
    line.send(header + b"HELO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<a@b>\r\n")
    assert (await line.said(4))[3].startswith("550 5.7.1")


async def test_others_bring_no_header(connect: Run) -> None:
    line = connect("192.0.2.1", proxy_from=("10.0.0.0/8",))
    assert (await line.said(1))[0].startswith("220")
    assert (await line.ask("PROXY TCP4 127.0.0.1 127.0.0.1 1 2"))[0].startswith("500 5.5.1")


async def test_a_bad_header_ends_it(connect: Run, observer: Any) -> None:
    line = connect("10.0.0.1", proxy_from=("10.0.0.0/8",))
    line.send(b"EHLO x\r\n")
    assert await line.said() == []
    assert line.transport.closed
    assert observer.heard == []
    assert len(line.shared.sessions) == 0


async def test_no_header_in_time(connect: Run) -> None:
    line = connect("10.0.0.1", proxy_from=("10.0.0.0/8",), handshake_timeout_s=10.0)
    line.send(b"PROXY")
    line.session.sweep(0.0)
    line.session.sweep(10.0)
    assert line.transport.closed
    assert await line.said() == []
