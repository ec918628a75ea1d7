"""One daemon with mail of two tenants in its queue, and clients of it: by key and by socket."""

from __future__ import annotations

import http.server
import json
import pathlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from tests.api.conftest import ApiDaemon
from tests.collector.conftest import write_events

from penstock.api.keys import FILE, Key, file_of, new_secret
from penstock.events import records
from penstock.mail.dkim_keys import keygen

SHOP, NEWS = "shop", "news"
POLICIES = {
    "default.toml": "[limits]\nconnections = 7\n",
    "providers/gmail.toml": 'mx = [".google.com"]\ndomains = ["gmail.com"]\n',
    "sources.toml": """\
[source.cold]
ipv4 = "127.0.0.2"
warmup = "slow"
[source.plain]
ipv4 = "127.0.0.3"
[pool.default]
sources = ["plain"]
[pool.other]
sources = ["cold"]
""",
    "warmup/slow.toml": "messages = [10, 1000]\n",
    "guards.toml": '[guard.complaints]\nmetric = "complaints"\nabove = "1%"\n',
}
WEBHOOK = """\
[[webhook]]
name = "{name}"
url = "http://127.0.0.1:{port}/{name}"
tenant = "{tenant}"
secret_file = "{secret}"
allow_private = true
"""


class Receiver(http.server.BaseHTTPRequestHandler):
    """Takes whatever a webhook is given."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


class Steered(ApiDaemon):
    """``keys``: by name, each as its owner has it."""

    def __init__(self, home: pathlib.Path, receiver_port: int) -> None:
        secret = home / "hook.whsec"
        secret.write_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")
        secret.chmod(0o600)
        dkim = home / "dkim.pem"
        dkim.write_text(keygen("ed25519", 2048))
        dkim.chmod(0o600)
        hooks = "".join(
            WEBHOOK.format(name=f"of-{who}", tenant=who, port=receiver_port, secret=secret)
            for who in (SHOP, NEWS)
        )
        signing = f'[[dkim]]\ndomain = "shop.example"\nselector = "s1"\nkey = "{dkim}"\n'
        reports = (
            '[tls_report]\norganization = "Shop"\ncontact = "tls@shop.example"\n'
            'sender = "tls@shop.example"\n'
        )
        extra = f"{hooks}{signing}{reports}[collector]\npoll_s = 0.1\n"
        super().__init__(home, extra=extra)
        for name, text in POLICIES.items():
            path = self.policies / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        self.keys: dict[str, str] = {}
        self._kept: dict[str, Key] = {}
        self.messages: dict[str, str] = {}

    @property
    def socket(self) -> str:
        return str(self.home / "spool" / "api.sock")

    def make_key(self, name: str, scopes: str, tenant: str = "") -> str:
        number, text, digest = new_secret()
        key = Key(number, digest, time.time(), frozenset(scopes.split(",")), tenant, name)
        self._kept[number] = key
        self.keys[name] = text
        (self.home / "spool").mkdir(exist_ok=True)
        aside = self.home / "keys.new"
        aside.write_text(json.dumps(file_of(self._kept)))
        aside.rename(self.home / "spool" / FILE)
        return text

    def of(self, name: str) -> httpx.Client:
        """The client that has this key."""
        return self.client(self.keys[name])

    def local(self) -> httpx.Client:
        """By way of the supervisor's Unix socket."""
        transport = httpx.HTTPTransport(uds=self.socket)
        return httpx.Client(transport=transport, base_url="http://penstock", timeout=30.0)

    def fill(self) -> None:
        """A message of each tenant that waits, an event of each, an address of each suppressed."""
        with self.local() as client:
            for who in (SHOP, NEWS):
                domain = f"{who}-held.example"
                held = {"verb": "suspend", "selector": {"domain": domain}, "who": "operator"}
                assert client.post("/api/v1/operations", json=held).status_code == 200
                text = f"X-Penstock-Tenant: {who}\r\nX-Penstock-Campaign: spring\r\n"
                self.send(f"ann@{domain}", text=f"{text}Subject: hi\r\n\r\nhello\r\n")
                added = {"addresses": [f"bob@{who}.example"], "tenant": who, "why": "he asked"}
                self.until(
                    lambda body=added: (  # type: ignore[misc]
                        client.post("/api/v1/suppression", json=body).status_code == 200
                    ),
                    "collecting",
                )
            everyone = {"addresses": ["eve@everyone.example"]}
            assert client.post("/api/v1/suppression", json=everyone).status_code == 200
            rows = client.get("/api/v1/queue").json()["rows"]
            self.messages = {row["tenant"]: row["id"] for row in rows}
            assert set(self.messages) == {SHOP, NEWS}
        told = [
            (
                records.Complained,
                {"recipient": f"c@{who}.example", "feedback_type": "abuse", "tenant": who},
            )
            for who in (SHOP, NEWS)
        ]
        write_events(self.home / "spool", "feedback", *told)


@pytest.fixture(scope="session")
def receiver() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield int(server.server_address[1])
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="session")
def steered(tmp_path_factory: pytest.TempPathFactory, receiver: int) -> Iterator[Steered]:
    one = Steered(tmp_path_factory.mktemp("steered"), receiver)
    one.make_key("reader", "read")
    one.make_key("admin", "read,admin")
    one.make_key("shop", "read,admin", SHOP)
    one.make_key("news", "read,admin", NEWS)
    one.make_key("sender", "send")
    try:
        one.start()
        one.fill()
        yield one
    finally:
        one.end()


@pytest.fixture
def local(steered: Steered) -> Iterator[httpx.Client]:
    with steered.local() as client:
        yield client


@pytest.fixture
def of(steered: Steered) -> Iterator[Callable[[str], httpx.Client]]:
    """``of("shop")``: the client with that key."""
    made: list[httpx.Client] = []

    def client(name: str) -> httpx.Client:
        made.append(steered.of(name))
        return made[-1]

    yield client
    for one in made:
        one.close()


def refused(answer: httpx.Response, status: int) -> str:
    """The detail of a problem document."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert document["status"] == status
    return str(document["detail"])
