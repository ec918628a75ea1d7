"""What tests of DANE are made of: authorities that issue certificates, and TLSA records of them."""

from __future__ import annotations

import datetime
import ssl
import tempfile
from hashlib import sha256, sha512

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from penstock.relay.tls_demand import Tlsa

NOW = datetime.datetime(2026, 6, 1, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
DER = serialization.Encoding.DER
PEM = serialization.Encoding.PEM


class Certificate:
    """``by=None``: self-signed. ``names``: of hosts; ``authority``: it may issue others."""

    def __init__(
        self,
        common,
        *,
        by=None,
        names=(),
        authority=False,
        depth=None,
        begins=NOW - DAY,
        ends=NOW + 30 * DAY,
        extensions=(),
        key_usage=None,
    ):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
        issuer = by or self
        builder = (
            x509.CertificateBuilder()
            .subject_name(self.subject)
            .issuer_name(issuer.subject)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(ends)
        )
        if names:
            alternative = x509.SubjectAlternativeName([x509.DNSName(one) for one in names])
            builder = builder.add_extension(alternative, False)
        if authority:
            builder = builder.add_extension(x509.BasicConstraints(True, depth), True)
        if key_usage is not None:
            builder = builder.add_extension(key_usage, True)
        for one in extensions:
            builder = builder.add_extension(one, True)
        self.x509 = builder.sign(issuer.key, hashes.SHA256())
        self.der = self.x509.public_bytes(DER)

    @property
    def spki(self):
        return self.x509.public_key().public_bytes(
            DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def tlsa(self, usage, selector=1, matching=1):
        data = self.spki if selector else self.der
        if matching:
            data = {1: sha256, 2: sha512}[matching](data).digest()
        return Tlsa(usage, selector, matching, data)

    def server(self, *above):
        """A server's context that shows this certificate and those ``above``."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.NamedTemporaryFile() as file:
            for one in (self, *above):
                file.write(one.x509.public_bytes(PEM))
            file.write(
                self.key.private_bytes(
                    PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
                )
            )
            file.flush()
            context.load_cert_chain(file.name)
        return context
