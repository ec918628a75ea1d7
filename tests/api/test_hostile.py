"""Bodies and heads that are meant to hurt: each gets a 4xx, soon, and costs little memory.

They are sent as bytes over a plain socket where a client library would not send them.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import pathlib
import socket
import time
from collections.abc import Callable, Iterator

import pytest
from tests.api.conftest import ApiDaemon

SOON_S = 5.0
MEMORY_MAX = 200 << 20  # what a worker may have grown by, the largest body included
_AT = "/api/v1/keys"


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiDaemon]:
    """Small limits, so that they can be run into."""
    api = 'request_bytes_max = "8 MiB"\nreceiving_bytes_max = "12 MiB"\nrequest_timeout_s = 2\n'
    one = ApiDaemon(tmp_path_factory.mktemp("strict"), f"{api}connections_max = 20\n")
    try:
        yield one.start()
    finally:
        one.end()


def head(path: str = _AT, method: str = "POST", **headers: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def post(body: bytes, kind: str = "application/json", **headers: str) -> bytes:
    return head(Content_Type=kind, Content_Length=str(len(body)), **headers) + body


def chunked(size: int, total: int) -> bytes:
    chunk = b"%x\r\n%s\r\n" % (size, b"a" * size)
    start = head(Content_Type="application/json", Transfer_Encoding="chunked")
    return start + chunk * (total // size) + b"0\r\n\r\n"


class Answer:
    """Status, headers in lower case, and the document of an answer."""

    def __init__(self, raw: bytes) -> None:
        top, _, body = raw.partition(b"\r\n\r\n")
        lines = top.decode("latin-1").split("\r\n")
        self.status = int(lines[0].split()[1])
        self.headers = dict(line.lower().split(": ", 1) for line in lines[1:])
        self.document = json.loads(body)
        assert self.headers["content-type"] == "application/problem+json"
        assert self.document["status"] == self.status


def ask(daemon: ApiDaemon, request: bytes) -> Answer:
    """Send all of it, however long the server listens, and read one answer."""
    with socket.create_connection(("127.0.0.1", daemon.api_port), timeout=SOON_S) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(request)
        return Answer(read(connection))


def read(connection: socket.socket) -> bytes:
    raw = b""
    while b"\r\n\r\n" not in raw:
        part = connection.recv(65536)
        assert part, f"no answer: {raw!r}"
        raw += part
    size = int(raw.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    end = raw.index(b"\r\n\r\n") + 4 + size
    while len(raw) < end:
        part = connection.recv(65536)
        assert part
        raw += part
    return raw[:end]


DEEP = b"[" * 100_000 + b"]" * 100_000
KEY = b'{"scopes":["read"],"name":"%s"}'

BODIES: dict[str, tuple[Callable[[], bytes], int, str]] = {
    "deep arrays": (lambda: post(DEEP), 400, "recursion limit"),
    "deep objects": (lambda: post(b'{"a":' * 50_000 + b"1" + b"}" * 50_000), 400, "recursion"),
    "deep in a field": (lambda: post(b'{"name":' + DEEP + b"}"), 400, "recursion limit"),
    "empty": (lambda: post(b""), 422, "field"),
    "no JSON": (lambda: post(b"{"), 400, "EOF while parsing an object"),
    "two documents": (lambda: post(b"{}{}"), 400, "trailing characters"),
    "NaN": (lambda: post(b'{"request_bytes_max":NaN}'), 400, "not JSON"),
    "a number of a million digits": (
        lambda: post(b'{"request_bytes_max":' + b"9" * 1_000_000 + b"}"),
        400,
        "number out of range",
    ),
    "a huge exponent": (lambda: post(b'{"request_bytes_max":1e999999}'), 422, "field"),
    "a number over the bound": (
        lambda: post(b'{"request_bytes_max":' + b"9" * 4000 + b',"scopes":["read"]}'),
        422,
        "field",
    ),
    "not UTF-8": (lambda: post(KEY % b"\xff\xfe"), 400, "invalid unicode code point"),
    "an overlong encoding": (lambda: post(KEY % b"\xc0\x80"), 400, "invalid unicode code point"),
    "half a surrogate pair": (lambda: post(KEY % rb"\ud800"), 400, "hex escape"),
    "UTF-16": (lambda: post('{"scopes":["read"]}'.encode("utf-16")), 400, "not JSON"),
    "NUL in a value": (lambda: post(KEY % rb"a\u0000b"), 422, "field"),
    "CR and LF in a value": (lambda: post(KEY % rb"a\r\nSet-Cookie: b"), 422, "field"),
    "millions of empty values": (
        lambda: post(b"[" + b"[]," * 2_500_000 + b"[]]"),
        413,
        "more than 500000 JSON values",
    ),
    "millions of fields": (
        lambda: post(b"{" + b",".join(b'"%d":0' % n for n in range(600_000)) + b"}"),
        413,
        "more than 500000 JSON values",
    ),
    "too many items": (
        lambda: post(json.dumps({"scopes": ["read"] * 400_000}).encode()),
        422,
        "field",
    ),
    "too long, as it says": (
        lambda: head(Content_Type="application/json", Content_Length=str(1 << 40)),
        413,
        "has more than 8 MiB",
    ),
    "too long, chunked": (lambda: chunked(1 << 16, 16 << 20), 413, "has more than 8 MiB"),
    "chunks of one byte": (lambda: chunked(1, 300_000), 400, "not JSON"),
    "a compressed bomb": (
        lambda: post(gzip.compress(bytes(50 << 20)), Content_Encoding="gzip"),
        415,
        "without a Content-Encoding",
    ),
    "a form": (
        lambda: post(b"scopes=read", "application/x-www-form-urlencoded"),
        415,
        'has to be "application/json"',
    ),
    "another charset": (
        lambda: post(b"{}", "application/json; charset=utf-16"),
        415,
        'has to be "application/json"',
    ),
}
HEADS: dict[str, tuple[Callable[[], bytes], int, str]] = {
    "a long header": (lambda: head(X_Bomb="a" * 100_000), 431, "have more than 32 KiB"),
    "many headers": (
        lambda: head(**{f"X_{n}": "a" for n in range(5_000)}),
        431,
        "have more than 32 KiB",
    ),
    "a header without an end": (
        lambda: head()[:-4] + b"\r\nX-Endless: " + b"a" * 1_000_000,
        431,
        "have more than 32 KiB",
    ),
    "a long URL": (lambda: head(f"/{'a' * 100_000}"), 431, "have more than 32 KiB"),
    "no HTTP": (lambda: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "no HTTP/1.1"),
    "two lengths": (
        lambda: head()[:-2] + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        400,
        "no HTTP/1.1",
    ),
    "length and chunks": (
        lambda: head(Content_Length="2", Transfer_Encoding="chunked") + b"{}",
        400,
        "no HTTP/1.1",
    ),
    "a folded header": (lambda: head()[:-2] + b"X: a\r\n b\r\n\r\n", 400, "no HTTP/1.1"),
    "a key of control characters": (
        lambda: head(Authorization="Bearer \x01\x02"),
        400,
        "no HTTP/1.1",
    ),
    "a key of a thousand parts": (
        lambda: head(Authorization="Bearer psk" + "_a" * 1000),
        401,
        "psk_ and its two parts",
    ),
}


@pytest.mark.parametrize("name", [*BODIES, *HEADS])
def test_it_is_refused_soon_and_the_next_request_is_answered(strict: ApiDaemon, name: str) -> None:
    make, status, text = {**BODIES, **HEADS}[name]
    request = make()
    before = memory(strict)
    began = time.monotonic()
    answer = ask(strict, request)
    assert time.monotonic() - began < SOON_S
    said = answer.document["detail"]
    assert (answer.status, text in said) == (status, True), answer.document
    assert memory(strict) - before < MEMORY_MAX
    with strict.client() as client:
        assert client.get("/api/v1/status").status_code == 200


def memory(daemon: ApiDaemon) -> int:
    """Resident bytes of the worker."""
    (pid,) = daemon.worker_pids()
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) << 10
    raise AssertionError("no VmRSS")


def test_where_a_body_is_no_json_is_said_with_line_and_column(strict: ApiDaemon) -> None:
    answer = ask(strict, post(b'{\n  "scopes": [read]\n}'))
    assert answer.document["detail"] == (
        "The body is not JSON: expected value at line 2 column 14."
    )
    assert (answer.document["line"], answer.document["column"]) == (2, 14)


def test_of_many_errors_the_first_are_shown(strict: ApiDaemon) -> None:
    order = {"scopes": ["read"]} | {f"x{n}": 1 for n in range(1000)}
    answer = ask(strict, post(json.dumps(order).encode()))
    assert len(answer.document["errors"]) == 100
    assert answer.document["detail"] == "1000 fields are wrong. The first 100 are shown."


def test_a_body_that_stops_is_told_and_forgotten(strict: ApiDaemon) -> None:
    request = head(Content_Type="application/json", Content_Length="1000") + b'{"name":'
    with socket.create_connection(("127.0.0.1", strict.api_port), timeout=20) as connection:
        connection.sendall(request)
        answer = Answer(read(connection))
        assert answer.status == 408
        assert answer.document["detail"] == "The body did not come within 2 s."
        assert connection.recv(1) == b""


@pytest.mark.parametrize("sent", [b"", b"GET /api/v1/status HTTP/1.1\r\nHost: loc"])
def test_a_head_that_does_not_come_ends_the_connection(strict: ApiDaemon, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", strict.api_port), timeout=20) as connection:
        connection.sendall(sent)
        assert connection.recv(1) == b""


def test_a_head_that_trickles_in_after_a_good_request_ends_too(strict: ApiDaemon) -> None:
    with socket.create_connection(("127.0.0.1", strict.api_port), timeout=0.5) as connection:
        connection.sendall(head("/api/v1/status", "GET"))
        assert read(connection).startswith(b"HTTP/1.1 200")
        began = time.monotonic()
        connection.sendall(b"GET /api/v1/status HTTP/1.1\r\nX: ")
        while time.monotonic() - began < 20:
            try:
                connection.sendall(b"a")
                if connection.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except ConnectionError:
                break
        assert time.monotonic() - began < 8


def test_bodies_that_come_in_at_once_are_bounded_together(strict: ApiDaemon) -> None:
    """Two of 7 MiB are more than the 12 MiB there are: one of them hears so."""
    large = KEY % (b"a" * (7 << 20))
    with contextlib.ExitStack() as stack:
        connections = [
            stack.enter_context(
                socket.create_connection(("127.0.0.1", strict.api_port), timeout=10)
            )
            for _ in range(2)
        ]
        for one in connections:  # all but the end
            one.sendall(post(large)[: 6 << 20])
        strict.until(
            lambda: strict.metric("penstock_api_receiving_bytes") > 11.5 * (1 << 20), "held"
        )
        answers = []
        for one in connections:
            with contextlib.suppress(ConnectionError):
                one.sendall(post(large)[6 << 20 :])
            answers.append(Answer(read(one)))
    assert sorted(answer.status for answer in answers) == [422, 503]
    (busy,) = [answer for answer in answers if answer.status == 503]
    assert busy.headers["retry-after"] == "5"


def test_more_connections_than_allowed_hear_so(strict: ApiDaemon) -> None:
    with contextlib.ExitStack() as stack:
        connections = [
            stack.enter_context(socket.create_connection(("127.0.0.1", strict.api_port), 5))
            for _ in range(25)
        ]
        connections[-1].sendall(head("/api/v1/status", "GET"))
        answer = Answer(read(connections[-1]))
    assert answer.status == 503
    assert answer.document["detail"] == "Too many connections to this server; try again later."
    assert answer.headers["retry-after"] == "5"
