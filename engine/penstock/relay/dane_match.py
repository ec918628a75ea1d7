"""Whether a host's certificates match its TLSA records (RFC 6698, RFC 7671, RFC 7672)."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.relay.tls_demand import Fault, TlsaSet


def mismatch(tlsa: TlsaSet, chain: Sequence[bytes], now: float) -> Fault | None:
    """``chain``: DER, the host's own certificate first; ``now``: seconds since the epoch. ``None``
    where one of the records matches, and where there is none that could be used."""
    return Fault("validation-failure", "TLSA records are not understood yet") if tlsa else None
