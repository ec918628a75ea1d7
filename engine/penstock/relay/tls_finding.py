"""What one try at a connection showed of a domain's TLS, for those who count it (RFC 8460)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

PolicyType = Literal["sts", "tlsa", "no-policy-found"]
ResultType = Literal[
    "",
    "starttls-not-supported",
    "certificate-host-mismatch",
    "certificate-expired",
    "certificate-not-trusted",
    "validation-failure",
    "tlsa-invalid",
    "dnssec-invalid",
    "dane-required",
    "sts-policy-fetch-error",
    "sts-policy-invalid",
    "sts-webpki-invalid",
]
RESULT_TYPES: tuple[ResultType, ...] = ResultType.__args__  # type: ignore[attr-defined]


class TlsFinding(NamedTuple):
    """``policy_domain``: the recipients' domain; ``policy_string``: the lines of the policy, or the
    TLSA records in text form; ``mx_patterns``: those of an MTA-STS policy. ``result_type`` is
    ``""`` for a session that meets the policy; ``detail`` says more of a failure, for people."""

    policy_domain: str
    policy_type: PolicyType
    policy_string: tuple[str, ...] = ()
    mx_patterns: tuple[str, ...] = ()
    result_type: ResultType = ""
    mx_host: str = ""
    mx_address: str = ""
    source_address: str = ""
    detail: str = ""


TlsSeen = Callable[[TlsFinding], None]


def nobody_counts(finding: TlsFinding) -> None:
    """Where no report is wanted."""
