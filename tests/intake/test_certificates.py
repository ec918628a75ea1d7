"""Certificates of listeners that are renewed while we run."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import shutil
import ssl
import weakref
from pathlib import Path

import pytest
from bench.keys import make_certificate

from penstock.intake import certificates
from penstock.intake.certificates import server_context


class Files:
    """A certificate and its key, which :meth:`renew` replaces."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.certificate, self.key = directory / "tls.crt", directory / "tls.key"
        self._renewals = 0

    def make(self, name: str) -> Files:
        make_certificate(self.certificate, self.key, name)
        self._age()
        return self

    def put(self, name: str, *, certificate: bool = True, key: bool = True) -> None:
        """Only one of the two, as in the middle of a renewal."""
        other = self.directory / name
        other.mkdir(exist_ok=True)
        if not (other / "tls.crt").exists():
            make_certificate(other / "tls.crt", other / "tls.key", name)
        for wanted, file in ((certificate, "tls.crt"), (key, "tls.key")):
            if wanted:
                shutil.copyfile(other / file, self.directory / file)
        self._age()

    def _age(self) -> None:
        """Renewed within the clock's grain is renewed all the same."""
        self._renewals += 1
        for file in (self.certificate, self.key):
            if file.exists():
                os.utime(file, (self._renewals, self._renewals))


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path).make("one.example")


def shown(context: ssl.SSLContext, **client: object) -> str:
    """The name in the certificate that a client is shown, and the cipher."""
    dial = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    dial.check_hostname, dial.verify_mode = False, ssl.CERT_NONE
    for name, value in client.items():
        setattr(dial, name, value)
    ours, theirs = (ssl.MemoryBIO(), ssl.MemoryBIO()), (ssl.MemoryBIO(), ssl.MemoryBIO())
    server = context.wrap_bio(*ours, server_side=True)
    host = dial.wrap_bio(*theirs)
    for _ in range(4):
        for end, out, into in ((host, theirs[1], ours[0]), (server, ours[1], theirs[0])):
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
            into.write(out.read())
    from cryptography import x509

    certificate = x509.load_der_x509_certificate(host.getpeercert(True) or b"")
    cipher = host.cipher()
    return f"{certificate.subject.rfc4514_string()} {cipher[0] if cipher else ''}"


def test_a_renewed_certificate_is_taken_up(files: Files) -> None:
    context = server_context(str(files.certificate), str(files.key))
    assert shown(context).startswith("CN=one.example")
    assert not context.look()
    files.put("two.example")
    assert context.look()
    assert shown(context).startswith("CN=two.example")
    assert not context.look()


def test_half_of_a_renewal_changes_nothing(files: Files) -> None:
    context = server_context(str(files.certificate), str(files.key))
    files.put("two.example", key=False)
    assert not context.look()
    assert shown(context).startswith("CN=one.example")
    files.put("two.example", certificate=False)
    assert context.look()
    assert shown(context).startswith("CN=two.example")


def test_files_that_go_or_break_change_nothing(files: Files) -> None:
    context = server_context(str(files.certificate), str(files.key))
    files.certificate.write_text("nonsense")
    assert not context.look()
    files.certificate.unlink()
    assert not context.look()
    assert shown(context).startswith("CN=one.example")


async def test_it_looks_by_itself_for_as_long_as_somebody_has_it(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificates, "LOOK_S", 0.001)
    context = server_context(str(files.certificate), str(files.key))
    files.put("two.example")
    async with asyncio.timeout(5):
        while not shown(context).startswith("CN=two.example"):  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    gone = weakref.ref(context)
    del context
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_every_cipher_is_forward_secret(files: Files, version: ssl.TLSVersion) -> None:
    context = server_context(str(files.certificate), str(files.key))
    names = [str(one["name"]) for one in context.get_ciphers()]
    assert all(name.startswith(("TLS_", "ECDHE-", "DHE-")) for name in names), names
    assert shown(context, maximum_version=version)


def test_old_versions_are_refused(files: Files) -> None:
    context = server_context(str(files.certificate), str(files.key))
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
