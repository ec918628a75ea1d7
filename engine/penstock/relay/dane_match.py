"""Whether a host's certificates match its TLSA records (RFC 6698, RFC 7671, RFC 7672).

Where a record pins the host's own certificate or key, that says it all: names and dates in the
certificate mean nothing. Where it pins an authority, the certificates must lead up to it, each good
at this time and allowed to issue, and the host's own must be for one of the names. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256

from penstock.relay.issuing import (
    UNREADABLE,
    Chain,
    chain_of,
    dates_fault,
    names_fault,
    unreadable,
)
from penstock.relay.tls_demand import Fault, Tlsa, TlsaSet
from penstock.relay.tlsa import CERTIFICATE, DANE_EE, DANE_TA, WHOLE, fits

_PRINT_CHARS = 16


def mismatch(tlsa: TlsaSet, chain: Sequence[bytes], now: float) -> Fault | None:
    """``chain``: DER, the host's own certificate first; ``now``: seconds since the epoch. ``None``
    where one of the records matches, and where there is none that could be used."""
    if not tlsa.records:
        return None
    if not chain:
        return Fault("tlsa-invalid", "the host showed no certificate to match TLSA records with")
    if any(fits(one, chain[0]) for one in tlsa.records if one.usage == DANE_EE):
        return None
    authorities = [one for one in tlsa.records if one.usage == DANE_TA]
    if not authorities:
        return Fault(
            "tlsa-invalid", f"certificate {_print(chain[0])} matches no record at {tlsa.name}"
        )
    return _by_authority(tlsa, authorities, chain, datetime.fromtimestamp(now, UTC))


def _by_authority(
    tlsa: TlsaSet, records: Sequence[Tlsa], shown: Sequence[bytes], now: datetime
) -> Fault | None:
    # an authority that is in the record as a whole need not be shown by the host
    published = [
        one.data for one in records if (one.selector, one.matching) == (CERTIFICATE, WHOLE)
    ]
    chain = chain_of(shown, published, lambda der: any(fits(record, der) for record in records))
    if isinstance(chain, Fault):
        return chain
    if chain is None:
        return Fault(
            "tlsa-invalid",
            f"certificate {_print(shown[0])} leads to no authority in the records at {tlsa.name}",
        )
    try:
        return _good(chain, now) or names_fault(chain[0], tlsa.names)
    except UNREADABLE as error:
        return unreadable(error)


def _good(chain: Chain, now: datetime) -> Fault | None:
    return next((fault for one in chain if (fault := dates_fault(one, now))), None)


def _print(certificate: bytes) -> str:
    return f"sha256:{sha256(certificate).hexdigest()[:_PRINT_CHARS]}"
