"""Mail over a small internet: a real daemon, a real resolver that validates, and a real Postfix
with a name, an address and a certificate for each domain, at the ports of the real world.

DANE and MTA-STS from the look-up to the reply, to those that keep to what they publish and to those
that do not; and what is reported of them afterwards.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib
import smtplib
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from bench import keys, postfix
from bench.daemon import Daemon
from bench.harness import NotThere, wait_until
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.interop.hosts import TestHost, connect
from tests.interop.unbound import Unbound, signed
from tests.tls.rfc8460 import check_report

OURS, RESOLVER, WEB = "45.79.0.1", "45.79.0.53", "45.79.0.80"
# Domain: the address of its MX host. Nothing of it leaves these two hosts.
MX = {
    "dane.example": "45.79.0.11",  # TLSA records that match
    "forged.example": "45.79.0.12",  # TLSA records of another key
    "sts.example": "45.79.0.13",  # MTA-STS, and a certificate for it
    "strict.example": "45.79.0.14",  # MTA-STS, and another's certificate
    "plain.example": "45.79.0.15",  # no TLS at all
    "stripped.example": "45.79.0.16",  # MTA-STS, and no STARTTLS
    "own.example": "45.79.0.17",  # nothing published, a certificate that nobody knows
}
SIGNED = ("dane.example", "forged.example")
STS = ("sts.example", "strict.example", "stripped.example")
IN_CLEAR = ("plain.example", "stripped.example")
ZONE = """\
@ 300 IN SOA ns.{zone}. admin.{zone}. 1 3600 600 86400 300
@ 300 IN NS ns.{zone}.
ns 300 IN A {resolver}
@ 300 IN MX 10 mx.{zone}.
mx 300 IN A {address}
mta-sts 300 IN A {web}
"""
TLSA = "_25._tcp.mx 300 IN TLSA 3 1 1 {pin}\n"
RECORD = '_mta-sts 300 IN TXT "v=STSv1; id=1"\n'
POLICY = "version: STSv1\r\nmode: enforce\r\nmx: mx.{zone}\r\nmax_age: 86400\r\n"
EXTRA = """\
[dns]
nameservers = ["{resolver}"]
[tls]
ca = "{ca}"
dane = true
dane_nameservers = ["{resolver}"]
[tls_report]
organization = "Example"
contact = "postmaster@mta.example"
sender = "tls-reports@mta.example"
flush_s = "1s"
"""


class Internet:
    """``sender`` and ``receivers``: the two hosts; ``ca``: whom to trust. Raises ``NotThere`` where
    there can be no such hosts."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        self.ca = directory / "ca.pem"
        self.sender, self.receivers = TestHost(), TestHost()
        self.open = contextlib.ExitStack()
        self.open.callback(self.sender.close)
        self.open.callback(self.receivers.close)
        self.mailboxes = directory / "mail"
        connect(self.sender, [OURS], self.receivers, [RESOLVER, WEB, *MX.values()])

    def start(self) -> None:
        roots, pins, listeners = [], {}, []
        for zone, address in MX.items():
            shown = "other.example" if zone == "strict.example" else f"mx.{zone}"
            paths = [self.directory / f"{zone}.{end}" for end in ("crt", "key", "ca")]
            keys.make_chain(paths[0], paths[1], shown, paths[2])
            if zone != "own.example":
                roots.append(paths[2].read_text())
            pins[zone] = _pin(paths[0]) if zone != "forged.example" else "ab" * 32
            level = "none" if zone in IN_CLEAR else "may"
            listeners.append(
                f"{address}:25 inet n - n - - smtpd -o myhostname=mx.{zone}\n"
                f"  -o smtpd_tls_cert_file={paths[0]} -o smtpd_tls_key_file={paths[1]}\n"
                f"  -o smtpd_tls_security_level={level}"
            )
        with self.receivers.entered():
            roots += self._web()
            self._resolver(pins)
            self._postfix(listeners)
        self.ca.write_text("".join(roots))

    def _web(self) -> list[str]:
        """HTTPS for the policies of each domain by name; the roots of its certificates."""
        policies = {f"mta-sts.{zone}": POLICY.format(zone=zone) for zone in STS}
        contexts: dict[str, ssl.SSLContext] = {}
        roots = []
        for name in policies:
            paths = [self.directory / f"{name}.{end}" for end in ("crt", "key", "ca")]
            keys.make_chain(paths[0], paths[1], name, paths[2])
            contexts[name] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            contexts[name].load_cert_chain(paths[0], paths[1])
            roots.append(paths[2].read_text())

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                text = policies.get(self.headers["Host"] or "", "").encode()
                self.send_response(200 if text else 404)
                self.send_header("Content-Type", "text/plain")
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        def choose(connection: Any, name: str | None, _: ssl.SSLContext) -> None:
            connection.context = contexts[name or ""]

        server = ThreadingHTTPServer((WEB, 443), Handler)
        context = contexts[next(iter(contexts))]
        context.sni_callback = choose
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        self.open.callback(server.server_close)
        self.open.callback(thread.join)
        self.open.callback(server.shutdown)
        return roots

    def _resolver(self, pins: dict[str, str]) -> None:
        zones, anchors = {}, []
        for zone, address in MX.items():
            text = ZONE.format(zone=zone, resolver=RESOLVER, address=address, web=WEB)
            text += RECORD if zone in STS else ""
            if zone in SIGNED:
                text, key = signed(zone, text + TLSA.format(pin=pins[zone]))
                anchors.append(f'trust-anchor: "{key}"')
            else:
                text = text.replace("@ ", f"{zone}. ")
                anchors.append(f'domain-insecure: "{zone}"')
            zones[zone] = text
        self.open.enter_context(Unbound(self.directory / "dns", RESOLVER, 53, zones, anchors))

    def _postfix(self, listeners: list[str]) -> None:
        nobody = 65534
        self.mailboxes.mkdir()
        os.chown(self.mailboxes, nobody, nobody)
        home = self.directory / "postfix"
        home.mkdir()
        settings = {
            "inet_interfaces": "all",
            "virtual_mailbox_domains": ", ".join(MX),
            "virtual_mailbox_base": str(self.mailboxes),
            "virtual_mailbox_maps": "static:inbox/",
            "virtual_uid_maps": f"static:{nobody}",
            "virtual_gid_maps": f"static:{nobody}",
            "smtpd_relay_restrictions": "reject_unauth_destination",
            "smtpd_tls_received_header": "yes",
        }
        one = postfix.Postfix(home, settings, host=RESOLVER, port=2525, services=listeners)
        self.open.callback(lambda: print(one.log_text()[-6000:]))
        self.open.enter_context(one)

    def taken(self) -> dict[str, str]:
        """What Postfix took, by the domain of its recipient."""
        found = {}
        for path in (self.mailboxes / "inbox/new").glob("*"):
            text = path.read_text()
            domain = text.split("Delivered-To: u@", 1)[1].split("\n", 1)[0]
            found[domain] = text
        return found


def _pin(certificate: pathlib.Path) -> str:
    read = x509.load_pem_x509_certificates(certificate.read_bytes())[0]
    public = read.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(public).hexdigest()


@pytest.fixture
def internet(need: Any, directory: pathlib.Path) -> Iterator[Internet]:
    need("unbound", "postfix", "ip")
    try:
        one = Internet(directory)
    except NotThere as error:  # a right that not every machine gives its root
        pytest.skip(str(error))
    with one.open:
        one.start()
        yield one


def send(port: int) -> None:
    with smtplib.SMTP("127.0.0.1", port) as client:
        for domain in MX:
            client.sendmail("a@mta.example", [f"u@{domain}"], f"Subject: to {domain}\r\n\r\nhi\r\n")


def told(daemon: Daemon, *words: str) -> Any:
    command = [sys.executable, "-m", "penstock", *words, "--config", str(daemon.config)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return json.loads(done.stdout)


def test_each_domain_gets_its_mail_as_it_published_or_not_at_all(internet: Internet) -> None:
    extra = EXTRA.format(resolver=RESOLVER, ca=internet.ca)
    good = {"dane.example", "sts.example", "plain.example", "own.example"}
    why = {
        "forged.example": "matches no record at _25._tcp.mx.forged.example",
        "strict.example": "certificate is for other.example, not mx.strict.example",
        "stripped.example": "TLS is required, STARTTLS not offered",
    }
    daemon = Daemon(internet.directory, "", workers=1, extra=extra)
    internet.open.callback(lambda: print(daemon.log_tail()))
    with internet.sender.entered(), daemon:
        send(daemon.port)
        wait_until(lambda: set(internet.taken()) >= good, 30, "what can be delivered is")
        for domain, text in why.items():
            wait_until(lambda: reply(daemon, domain), 30, f"{domain} was tried")  # noqa: B023
            assert text in reply(daemon, domain)
        taken = internet.taken()
        assert set(taken) == good, "and nothing else"
        for domain, text in taken.items():
            assert ("using TLSv1.3" in text) == (domain != "plain.example"), text
        check_reports(daemon)


def reply(daemon: Daemon, domain: str) -> str:
    """Why mail to this domain waits, as ``penstock explain`` has it from the last attempt."""
    (one,) = told(daemon, "explain", f"u@{domain}", "--json")["explanations"]
    replies = one["last_replies"]
    return str(replies[0]["reply"]) if replies else ""


def check_reports(daemon: Daemon) -> None:
    """RFC 8460, of the day that is not over."""
    day = time.strftime("%Y-%m-%d", time.gmtime())

    def seen(domain: str) -> list[tuple[str, int, list[str]]]:
        report = told(daemon, "tls", "report", "--day", day, "--domain", domain)
        check_report(json.dumps(report).encode())
        return [
            (
                one["policy"]["policy-type"],
                one["summary"]["total-successful-session-count"],
                [row["result-type"] for row in one.get("failure-details", ())],
            )
            for one in report["policies"]
        ]

    expected = {
        "dane.example": [("tlsa", 1, [])],
        "sts.example": [("sts", 1, [])],
        "own.example": [("no-policy-found", 1, [])],
        "forged.example": [("tlsa", 0, ["tlsa-invalid"])],
        "strict.example": [("sts", 0, ["certificate-host-mismatch"])],
        "stripped.example": [("sts", 0, ["starttls-not-supported"])],
    }
    wait_until(
        lambda: told(daemon, "tls", "report", "--day", day, "--json")["total"] == len(MX),
        30,
        "all are counted",
    )
    assert {domain: seen(domain) for domain in expected} == expected
