"""DKIM key pairs and certificates made for one run."""

from __future__ import annotations

import base64
import datetime
import pathlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

PrivateKey = rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey


def make_rsa(path: pathlib.Path, bits: int = 2048) -> str:
    """Write a private key as PEM; returns the TXT record that publishes it (RFC 6376 3.6.1)."""
    key = rsa.generate_private_key(65537, bits)
    _write(path, key)
    public = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return f"v=DKIM1; k=rsa; p={base64.b64encode(public).decode()}"


def make_ed25519(path: pathlib.Path) -> str:
    """Likewise for Ed25519 (RFC 8463 section 4)."""
    key = ed25519.Ed25519PrivateKey.generate()
    _write(path, key)
    public = key.public_key().public_bytes_raw()
    return f"v=DKIM1; k=ed25519; p={base64.b64encode(public).decode()}"


def _write(path: pathlib.Path, key: PrivateKey) -> None:
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    path.chmod(0o600)


def make_certificate(certificate: pathlib.Path, private: pathlib.Path, name: str) -> None:
    """A self-signed certificate for ``name``, valid for a day."""
    key = ec.generate_private_key(ec.SECP256R1())
    made = _certificate(name, key, name, key)
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    _write(private, key)


def make_chain(
    certificates: pathlib.Path,
    private: pathlib.Path,
    name: str,
    authority: pathlib.Path | None = None,
) -> None:
    """What a mail host of the real world shows: an RSA-2048 certificate, and that of its issuer;
    in ``authority`` whom to trust for both to be good."""
    key, issuer, root = (rsa.generate_private_key(65537, 2048) for _ in range(3))
    by, top = f"issuer.{name}", f"root.{name}"
    chain = (_certificate(name, key, by, issuer), _certificate(by, issuer, top, root, ca=True))
    certificates.write_bytes(
        b"".join(one.public_bytes(serialization.Encoding.PEM) for one in chain)
    )
    _write(private, key)
    if authority is not None:
        itself = _certificate(top, root, top, root, ca=True)
        authority.write_bytes(itself.public_bytes(serialization.Encoding.PEM))


def _certificate(
    name: str,
    key: PrivateKey,
    issuer_name: str,
    issuer: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
    *,
    ca: bool = False,
) -> x509.Certificate:
    subject, by = (
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, one)]) for one in (name, issuer_name)
    )
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(issuer, hashes.SHA256())
    )
