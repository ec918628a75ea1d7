"""TLSA records: which of them can be used, and what they are about (RFC 6698, RFC 7671). Pure.

For SMTP two usages count (RFC 7672 section 3.1). *DANE-EE* (3) pins the host's own certificate or
key; *DANE-TA* (2) pins an authority above it. Either is about the whole certificate or its public
key (selector 0, 1), given as it is or as a digest (matching type 0; 1, 2).
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256, sha512

from cryptography import x509

from penstock.relay.der import subject_public_key_info
from penstock.relay.tls_demand import Tlsa

DANE_TA, DANE_EE = 2, 3
CERTIFICATE, PUBLIC_KEY = 0, 1
WHOLE, SHA_256, SHA_512 = 0, 1, 2
_DIGEST_BYTES = {SHA_256: 32, SHA_512: 64}


def usable(record: Tlsa) -> bool:
    """Whether the record can be matched at all."""
    if record.usage not in (DANE_TA, DANE_EE) or record.selector not in (CERTIFICATE, PUBLIC_KEY):
        return False
    if record.matching == WHOLE:
        return _readable(record)
    return len(record.data) == _DIGEST_BYTES.get(record.matching, -1)


def usable_of(records: Iterable[Tlsa]) -> tuple[Tlsa, ...]:
    """The usable ones, in a settled order, without digests for which there is a stronger one of the
    same usage and selector (RFC 7671 section 9)."""
    found = sorted({record for record in records if usable(record)})
    strong = {(one.usage, one.selector) for one in found if one.matching == SHA_512}
    return tuple(
        one for one in found if one.matching != SHA_256 or (one.usage, one.selector) not in strong
    )


def fits(record: Tlsa, certificate: bytes) -> bool:
    """Whether the record is about this certificate, given as DER."""
    selected = certificate
    if record.selector == PUBLIC_KEY:
        try:
            selected = subject_public_key_info(certificate)
        except ValueError:
            return False
    if record.matching == SHA_256:
        return sha256(selected).digest() == record.data
    if record.matching == SHA_512:
        return sha512(selected).digest() == record.data
    return selected == record.data


def _readable(record: Tlsa) -> bool:
    """A whole certificate or key that is none can match nothing."""
    if record.selector == PUBLIC_KEY:
        return record.data[:1] == b"\x30"
    try:
        x509.load_der_x509_certificate(record.data)
    except (ValueError, x509.InvalidVersion):
        return False
    return True
