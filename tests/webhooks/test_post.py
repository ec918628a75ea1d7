"""One attempt: who may be connected to, what is signed, how much of an answer is read."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook
from starlette.responses import Response, StreamingResponse

from penstock.sim.certificate import certificate_pem
from penstock.webhooks.address import is_public
from penstock.webhooks.retry import ATTEMPTS_MAX, WAIT_MAX_S, retry_after_s, wait_s
from penstock.webhooks.signature import BadSecret, parse_secrets, signature_headers

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwZ4Kx"
OTHER_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDrPp3"
START_S = 1_800_000_000.0


async def post(stage: Any, **more: Any) -> Any:
    resolve = more.pop("resolve", None)
    endpoint = stage.endpoint(**more)
    hooks = stage.open(endpoint, resolve=resolve)
    return await hooks.posters["shop"].post("msg_1", b"[]")


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "0.0.0.0", "10.1.2.3", "172.31.255.255", "192.168.0.1", "169.254.169.254"),
        *("100.64.0.1", "198.18.0.1", "224.0.0.1", "255.255.255.255", "192.0.2.1", "::1", "::"),
        *("fd00:ec2::254", "fe80::1%eth0", "fec0::1", "ff02::1", "2001:db8::1", "::ffff:10.0.0.1"),
        *("64:ff9b::7f00:1", "2002:7f00:1::", "::127.0.0.1", "2001::1", "64:ff9b:1::1", "x", ""),
    ],
)
def test_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::1", "::ffff:8.8.8.8"],
)
def test_public(address: str) -> None:
    assert is_public(address)


async def test_a_name_that_leads_inside_is_refused(stage: Any, receiver: Any) -> None:
    async def resolve(host: str) -> list[str]:
        return ["127.0.0.1", "169.254.169.254"]

    url = f"http://app.example.com:{receiver.port}/hook"
    answer = await post(stage, url=url, allow_private=False, resolve=resolve)
    assert answer.kind == "address"
    assert "allow_private" in answer.text
    assert receiver.got == []


async def test_the_address_that_was_judged_is_the_one_used(stage: Any, receiver: Any) -> None:
    """A name server that changes its mind is asked once in an attempt."""
    answers = [["127.0.0.1"]]

    async def resolve(host: str) -> list[str]:
        return answers.pop()

    url = f"http://app.example.com:{receiver.port}/hook"
    answer = await post(stage, url=url, resolve=resolve)
    assert answer.kind == "delivered"
    assert receiver.got[0][0]["host"] == f"app.example.com:{receiver.port}"


async def test_the_next_address_is_tried(stage: Any, receiver: Any) -> None:
    async def resolve(host: str) -> list[str]:
        return ["127.0.0.9", "127.0.0.1"]

    url = f"http://app.example.com:{receiver.port}/hook"
    assert (await post(stage, url=url, resolve=resolve)).kind == "delivered"


async def test_no_address(stage: Any) -> None:
    async def resolve(host: str) -> list[str]:
        raise OSError("app.example.com: no such name")

    answer = await post(stage, url="https://app.example.com/", resolve=resolve)
    assert (answer.kind, answer.text) == ("unreachable", "app.example.com: no such name")


@pytest.fixture
async def secure(tmp_path: Path) -> AsyncIterator[tuple[int, Path]]:
    """The port of a server with TLS for app.example.com, and its certificate."""
    file = tmp_path / "server.pem"
    file.write_bytes(certificate_pem(("app.example.com",)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    yield server.sockets[0].getsockname()[1], file
    server.close()


@pytest.mark.parametrize(
    ("host", "trusted", "kind"),
    [
        ("app.example.com", True, "delivered"),
        ("app.example.com", False, "tls"),
        ("other.example.com", True, "tls"),
    ],
)
async def test_tls_is_verified_for_the_name(
    stage: Any, secure: tuple[int, Path], host: str, trusted: bool, kind: str
) -> None:
    port, file = secure

    async def resolve(host: str) -> list[str]:
        return ["127.0.0.1"]

    answer = await post(
        stage,
        url=f"https://{host}:{port}/",
        authorities_file=str(file) if trusted else "",
        resolve=resolve,
    )
    assert answer.kind == kind


async def test_an_endless_answer_is_not_read_to_its_end(stage: Any, receiver: Any) -> None:
    sent = 0

    async def answer() -> Response:
        async def parts() -> AsyncIterator[bytes]:
            nonlocal sent
            while True:
                sent += 65536
                yield b"x" * 65536
                await asyncio.sleep(0)

        return StreamingResponse(parts(), 500)

    receiver.answer = answer
    got = await post(stage)
    assert (got.kind, got.status) == ("failed", 500)
    assert len(got.text) <= 200
    assert sent < 50_000_000


async def test_an_answer_that_does_not_end_counts(stage: Any, receiver: Any) -> None:
    stuck = asyncio.Event()

    async def answer() -> Response:
        async def parts() -> AsyncIterator[bytes]:
            yield b"thanks"
            await stuck.wait()

        return StreamingResponse(parts(), 200)

    receiver.answer = answer
    got = await post(stage, timeout_s=0.2)
    stuck.set()
    assert got.kind == "delivered"


async def test_no_cookies_and_our_own_headers(stage: Any, receiver: Any) -> None:
    receiver.answering(200, set_cookie="a=b")
    hooks = stage.open(stage.endpoint(headers=(("X-Api-Key", "1234"),)))
    for _ in range(2):
        await hooks.posters["shop"].post("msg_1", b"[]")
    headers = receiver.got[1][0]
    assert "cookie" not in headers
    assert headers["x-api-key"] == "1234"
    assert headers["content-type"] == "application/json"


async def test_an_exchange_of_secrets(stage: Any, receiver: Any) -> None:
    hooks = stage.open()
    stage.secret_file.write_text(f"# new first\n{OTHER_SECRET}\n{SECRET}\n")
    receiver.secrets = [SECRET, OTHER_SECRET]
    assert (await hooks.posters["shop"].post("msg_1", b"[]")).kind == "delivered"
    stage.secret_file.write_text("broken by an editor")
    assert (await hooks.posters["shop"].post("msg_2", b"[]")).kind == "delivered"
    stage.secret_file.write_text(OTHER_SECRET)
    receiver.secrets = [OTHER_SECRET]
    assert (await hooks.posters["shop"].post("msg_3", b"[]")).kind == "delivered"


async def test_without_a_secret_nothing_is_sent(stage: Any, receiver: Any) -> None:
    stage.secret_file.unlink()
    answer = await post(stage)
    assert answer.kind == "secret"
    assert receiver.got == []


@given(st.lists(st.binary(min_size=24, max_size=64), min_size=1, max_size=3), st.text(max_size=50))
def test_the_public_library_verifies_each_signature(secrets: list[bytes], text: str) -> None:
    body = json.dumps([{"id": text}]).encode()
    headers = signature_headers(secrets, "msg_1", time.time(), body)
    for secret in secrets:
        assert Webhook(secret).verify(body, headers) == [{"id": text}]


@given(st.binary(max_size=200))
def test_secrets_of_any_bytes(content: bytes) -> None:
    try:
        secrets = parse_secrets(content)
    except BadSecret:
        return
    assert all(24 <= len(secret) <= 64 for secret in secrets)


@given(st.text(max_size=80), st.floats(0, 4e9))
def test_retry_after_of_any_text(value: str, now: float) -> None:
    asked = retry_after_s(value, now)
    assert asked is None or 0 <= asked <= WAIT_MAX_S


def test_retry_after_as_a_date() -> None:
    assert retry_after_s("Fri, 15 Jan 2027 08:01:00 GMT", START_S) == 60.0
    assert retry_after_s("999999999", START_S) == WAIT_MAX_S


@given(st.integers(1, 20), st.floats(0, 1), st.none() | st.floats(0, 1e6))
def test_waits_are_bounded(attempts: int, chance: float, asked: float | None) -> None:
    wait = wait_s(attempts, chance, asked)
    assert (wait is None) == (attempts >= ATTEMPTS_MAX)
    assert wait is None or 1 <= wait <= 1.2 * WAIT_MAX_S
