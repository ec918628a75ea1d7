"""Settings of the HTTP API."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from penstock.settings.check import check
from penstock.settings.models import Settings
from penstock.settings.restart import restart_needed

PAIR = 'certificate = "c.pem"\nkey = "k.pem"\n'


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[[api]]\nlisten = "0.0.0.0:80"', "keys would cross the network in the clear"),
        ('[[api]]\nlisten = "[::]:80"', "keys would cross the network in the clear"),
        ('[[api]]\nlisten = "127.0.0.1:80"\nkey = "k"', "a key needs a certificate"),
        ('[[api]]\nlisten = "127.0.0.1:80"\ncertificate = "c"', "a certificate needs a key"),
        ('[[api]]\nlisten = "127.0.0.1:80"\nrequest_bytes_max = "300 MiB"', "could never come in"),
        ('[[api]]\nlisten = "127.0.0.1:80"\n[http]\nlisten = "127.0.0.1:80"', "is taken by"),
        ('[[api]]\nlisten = "127.0.0.1:80"\nrate = "1/s"', "unknown key"),
    ],
)
def test_what_is_wrong_is_said(
    problems_of: Callable[[str], list[str]], text: str, problem: str
) -> None:
    found = problems_of(text)
    assert len(found) == 1, found
    assert problem in found[0]


@pytest.mark.parametrize(
    "text",
    ['listen = "127.0.0.1:80"', 'listen = "[::1]:80"', 'listen = "0.0.0.0:80"\ncleartext = true'],
)
def test_where_keys_are_safe_there_is_nothing_to_say(
    problems_of: Callable[[str], list[str]], text: str
) -> None:
    assert problems_of(f"[[api]]\n{text}") == []


def make_pair(directory: Path, days: float) -> None:
    """A certificate for localhost that is good for so many days from now."""
    private, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=100))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(private, hashes.SHA256())
    )
    (directory / "c.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (directory / "k.pem").write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


@pytest.mark.parametrize(("days", "said"), [(90, ""), (3, "expires on "), (-1, "expired on ")])
def test_a_certificate_that_is_soon_over_is_a_warning(
    tmp_path: Path, days: float, said: str
) -> None:
    make_pair(tmp_path, days)
    config = tmp_path / "config.toml"
    (tmp_path / "policies").mkdir()
    config.write_text(f'[[api]]\nlisten = "0.0.0.0:80"\n{PAIR}')
    found = check(str(config))
    assert [said in str(one) and one.warning for one in found] == ([True] if said else [])


def test_certificates_and_networks_are_taken_up_by_a_reload_and_the_rest_is_not() -> None:
    def settings(**more: object) -> Settings:
        return Settings.model_validate({"api": ({"listen": "127.0.0.1:80", **more},)})

    old = settings(certificate="a", key="b")
    assert restart_needed(old, settings(certificate="c", key="d")) == []
    assert restart_needed(old, settings()) == ["api[0].certificate"]
    assert restart_needed(settings(), settings(connections_max=5)) == ["api[0].connections_max"]
    assert restart_needed(old, Settings()) == ["api"]
