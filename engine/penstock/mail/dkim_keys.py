"""DKIM keys: read, made, and published in DNS (RFC 6376 section 3.6, RFC 8463).

The arithmetic is ``cryptography``'s. Key files are PEM, PKCS#1 or PKCS#8, not encrypted; whatever
else an operator may put there is answered by a sentence that says what it is.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

RSA_BITS_MIN = 1024  # RFC 8301 3.2: verifiers must not take less
RSA_BITS_ADVISED = 2048
RSA_BITS_MAX = 4096  # RFC 8301 3.2: verifiers need not take more
TXT_STRING_MAX = 255
Kind = Literal["rsa", "ed25519"]


class BadKey(ValueError):
    """The key cannot be used for signing; the message says why."""


@dataclass(frozen=True, slots=True, eq=False)
class PrivateKey:
    """``sign`` takes a SHA-256 digest; ``public`` is the base64 text of the record's ``p=`` tag;
    ``warning`` is ``""`` or a sentence for the operator."""

    kind: Kind
    bits: int
    public: str
    warning: str
    sign: Callable[[bytes], bytes] = field(repr=False)


def load_key(pem: bytes | str) -> PrivateKey:
    """The private key in ``pem``; raises :class:`BadKey`."""
    data = pem.encode("utf-8", "replace") if isinstance(pem, str) else pem
    if b"-----BEGIN " not in data:
        raise BadKey("not a PEM file: no '-----BEGIN' line")
    if b"PRIVATE KEY-----" not in data:
        label = data.partition(b"-----BEGIN ")[2].partition(b"-----")[0].decode("ascii", "replace")
        raise BadKey(f"a PEM file of a {label.lower()[:40]}, not of a private key")
    if b"ENCRYPTED" in data:
        raise BadKey("the private key is encrypted; it must be stored without a passphrase")
    try:
        key = load_pem_private_key(data, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BadKey(f"not a readable private key: {str(error).splitlines()[0][:200]}") from None
    if isinstance(key, Ed25519PrivateKey):
        raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return PrivateKey("ed25519", 256, b64encode(raw).decode("ascii"), "", key.sign)
    if isinstance(key, RSAPrivateKey):
        return _rsa(key)
    kind = type(key).__name__.removesuffix("PrivateKey").lstrip("_")
    raise BadKey(f"a key of type {kind}; DKIM knows RSA and Ed25519")


def _rsa(key: RSAPrivateKey) -> PrivateKey:
    bits = key.key_size
    if bits < RSA_BITS_MIN:
        raise BadKey(f"an RSA key of {bits} bits; receivers refuse less than {RSA_BITS_MIN}")
    warning = ""
    if bits < RSA_BITS_ADVISED:
        warning = f"an RSA key of {bits} bits is weak; make one of {RSA_BITS_ADVISED}"
    elif bits > RSA_BITS_MAX:
        warning = f"an RSA key of {bits} bits: receivers need not take more than {RSA_BITS_MAX}"
    padding, algorithm = PKCS1v15(), Prehashed(SHA256())
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return PrivateKey(
        "rsa",
        bits,
        b64encode(public).decode("ascii"),
        warning,
        lambda digest: key.sign(digest, padding, algorithm),
    )


def keygen(kind: Kind = "rsa", bits: int = RSA_BITS_ADVISED) -> str:
    """A new private key as PKCS#8 PEM text; ``bits`` counts for RSA only."""
    key: RSAPrivateKey | Ed25519PrivateKey
    if kind == "ed25519":
        key = Ed25519PrivateKey.generate()
    elif kind == "rsa":
        if not RSA_BITS_ADVISED <= bits <= RSA_BITS_MAX:
            raise BadKey(f"RSA keys are made with {RSA_BITS_ADVISED} to {RSA_BITS_MAX} bits")
        key = generate_private_key(65537, bits)
    else:
        raise BadKey(f"a key of type {kind}; DKIM knows rsa and ed25519")
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")


def record_name(selector: str, domain: str) -> str:
    """Where the record goes: ``s1._domainkey.example.com``."""
    return f"{selector}._domainkey.{domain}"


def record_text(key: PrivateKey, *, testing: bool = False) -> str:
    """The TXT record's content; ``testing`` asks receivers not to act on it yet (``t=y``)."""
    return f"v=DKIM1; k={key.kind}; {'t=y; ' if testing else ''}p={key.public}"


def record_strings(text: str) -> list[str]:
    """``text`` in the pieces of at most 255 characters that a TXT record is made of."""
    return [text[at : at + TXT_STRING_MAX] for at in range(0, len(text), TXT_STRING_MAX)]


def zone_entry(selector: str, domain: str, key: PrivateKey, *, ttl_s: int = 3600) -> str:
    """The record as lines of a zone file."""
    strings = "\n    ".join(f'"{piece}"' for piece in record_strings(record_text(key)))
    return f"{record_name(selector, domain)}. {ttl_s} IN TXT (\n    {strings}\n)\n"
