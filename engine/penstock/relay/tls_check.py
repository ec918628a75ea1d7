"""Whether a handshake met its demand, and if not, why: one value for the reply and the reports."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from penstock.relay.tls_finding import ResultType


class Fault(NamedTuple):
    """``text``: for people, as it stands behind ``TLS handshake failed:``."""

    result_type: ResultType
    text: str


# The certificates of a finished handshake, DER, the host's own first, to what is wrong with them.
Check = Callable[[Sequence[bytes]], Fault | None]
