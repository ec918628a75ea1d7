"""TLSA records and whether a host's certificates match them (RFC 6698, RFC 7671, RFC 7672).

Pure: certificates as DER, time as an argument. For SMTP two usages count. *DANE-EE* (3) pins the
host's own certificate or key: the record says it all, so names and dates in the certificate mean
nothing. *DANE-TA* (2) pins an authority: the certificates must lead up to it, each good at this
time and allowed to issue, and the host's own must be for one of the names. Anything else is not
usable; a host all of whose records are unusable must be encrypted to, unauthenticated.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from hashlib import sha256, sha512
from typing import NamedTuple

from cryptography import x509

from penstock.relay.der import subject_public_key_info
from penstock.relay.issuing import Chain, Flaw, chain_of, dates_flaw, names_flaw

DANE_TA, DANE_EE = 2, 3
CERTIFICATE, PUBLIC_KEY = 0, 1
WHOLE, SHA_256, SHA_512 = 0, 1, 2
_DIGEST_BYTES = {SHA_256: 32, SHA_512: 64}


class Tlsa(NamedTuple):
    """One record: certificate usage, selector, matching type, data."""

    usage: int
    selector: int
    matching: int
    data: bytes

    def __str__(self) -> str:
        return f"{self.usage} {self.selector} {self.matching} {self.data.hex()}"


class Match(NamedTuple):
    """``result``: ``""`` for a match, else what RFC 8460 section 4.3 calls the failure;
    ``reason`` for people."""

    result: str = ""
    reason: str = ""


MATCHED = Match()


def usable(record: Tlsa) -> bool:
    """Whether the record can be matched at all (RFC 7672 section 3.1)."""
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


def match(
    records: Sequence[Tlsa], chain: Sequence[bytes], names: Sequence[str], now: datetime
) -> Match:
    """Whether what the host showed (``chain``, its own certificate first) is what the usable
    ``records`` ask for. ``names``: lower case, any of which an authority may have vouched for."""
    if not chain:
        return Match("tlsa-invalid", "the host showed no certificate")
    if any(_fits(one, chain[0]) for one in records if one.usage == DANE_EE):
        return MATCHED
    authorities = [one for one in records if one.usage == DANE_TA]
    if not authorities:
        return Match("tlsa-invalid", f"certificate {_shown(chain[0])} matches no TLSA record")
    return _by_authority(authorities, chain, names, now)


def _by_authority(
    records: Sequence[Tlsa], shown: Sequence[bytes], names: Sequence[str], now: datetime
) -> Match:
    # an authority that is in the record as a whole need not be shown by the host
    published = [one.data for one in records if (one.selector, one.matching) == (0, WHOLE)]
    try:
        chain = chain_of(
            shown, published, lambda der: any(_fits(record, der) for record in records)
        )
    except Flaw as flaw:
        return Match(flaw.result, flaw.reason)
    if chain is None:
        return Match(
            "tlsa-invalid",
            f"certificate {_shown(shown[0])} leads to no authority that a TLSA record names",
        )
    return _checked(chain, names, now)


def _checked(chain: Chain, names: Sequence[str], now: datetime) -> Match:
    flaw = next((found for one in chain if (found := dates_flaw(one, now))), None)
    flaw = flaw or names_flaw(chain[0], names)
    return Match(flaw.result, flaw.reason) if flaw is not None else MATCHED


def _fits(record: Tlsa, certificate: bytes) -> bool:
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
    except ValueError:
        return False
    return True


def _shown(certificate: bytes) -> str:
    return f"sha256:{sha256(certificate).hexdigest()[:16]}"
