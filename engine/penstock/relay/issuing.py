"""How certificates lead up to an authority, and what each of them may and is for (RFC 5280).

Only what trust in one given authority needs: signatures, who may issue, dates, names. A critical
extension that is not understood here makes a certificate useless, as it must: name constraints
among them. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from penstock.relay.tls_demand import Fault

CERTIFICATES_MAX = 10
SIGNATURES_MAX = 40
Chain = Sequence[x509.Certificate]
UNREADABLE = (  # what reading a stranger's certificate may raise
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
_UNDERSTOOD = (
    x509.BasicConstraints,
    x509.KeyUsage,
    x509.ExtendedKeyUsage,
    x509.SubjectAlternativeName,
    x509.CertificatePolicies,
)


def unreadable(error: Exception) -> Fault:
    return Fault("validation-failure", f"a certificate that cannot be read: {str(error)[:100]}")


def chain_of(
    shown: Sequence[bytes], published: Sequence[bytes], trusted: Callable[[bytes], bool]
) -> Chain | Fault | None:
    """From the first certificate shown up to one above it that is ``trusted``, over others that
    were shown or are ``published``; ``None`` where there is no way."""
    if len(shown) > CERTIFICATES_MAX:
        return Fault("validation-failure", f"more than {CERTIFICATES_MAX} certificates")
    try:
        leaf = x509.load_der_x509_certificate(shown[0])
    except UNREADABLE as error:
        return unreadable(error)
    others: list[tuple[x509.Certificate, bool]] = []
    for der in (*shown[1:], *published[:CERTIFICATES_MAX]):
        try:
            others.append((x509.load_der_x509_certificate(der), trusted(der)))
        except UNREADABLE:
            continue  # the way may do without it
    return _Search(others).up([leaf])


class _Search:
    """``left``: signatures that may still be checked, so that a hostile host costs no time."""

    def __init__(self, others: Sequence[tuple[x509.Certificate, bool]]) -> None:
        self._others = others
        self._left = SIGNATURES_MAX

    def up(self, chain: list[x509.Certificate]) -> Chain | None:
        for other, trusted in self._others:
            if any(other == one for one in chain) or not self._issued(chain[-1], other):
                continue
            if not _may_issue(other, len(chain) - 1, trusted):
                continue
            found = [*chain, other] if trusted else self.up([*chain, other])
            if found is not None:
                return found
        return None

    def _issued(self, certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
        try:
            if certificate.issuer != issuer.subject:
                return False
            if self._left == 0:
                return False
            self._left -= 1
            certificate.verify_directly_issued_by(issuer)
        except (InvalidSignature, *UNREADABLE):
            return False
        return _understood(certificate)


def _may_issue(certificate: x509.Certificate, below: int, trusted: bool) -> bool:
    """``below``: how many authorities are between it and the host's own certificate. One that the
    record names needs no mark of an authority if it has no extensions at all (version 1)."""
    try:
        extensions = certificate.extensions
        if trusted and not len(extensions):
            return True
        basic = extensions.get_extension_for_class(x509.BasicConstraints).value
    except (x509.ExtensionNotFound, *UNREADABLE):
        return False
    if not basic.ca or (basic.path_length is not None and below > basic.path_length):
        return False
    try:
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return _understood(certificate)
    return usage.key_cert_sign and _understood(certificate)


def _understood(certificate: x509.Certificate) -> bool:
    try:
        return all(
            isinstance(one.value, _UNDERSTOOD) for one in certificate.extensions if one.critical
        )
    except UNREADABLE:
        return False


def dates_fault(certificate: x509.Certificate, now: datetime) -> Fault | None:
    """Whether it is good at this time; raises one of ``UNREADABLE``."""
    who = certificate.subject.rfc4514_string()[:100]
    if now > certificate.not_valid_after_utc:
        at = certificate.not_valid_after_utc
        return Fault("certificate-expired", f"certificate of {who} expired {at:%Y-%m-%d}")
    if now < certificate.not_valid_before_utc:
        at = certificate.not_valid_before_utc
        return Fault("certificate-expired", f"certificate of {who} is good from {at:%Y-%m-%d} only")
    return None


def names_fault(certificate: x509.Certificate, names: Sequence[str]) -> Fault | None:
    """Whether it is a server's and for one of ``names``; where it has no alternative names of
    hosts, its common name counts (RFC 7672 section 3.2.2). Raises one of ``UNREADABLE``."""
    extensions = certificate.extensions
    try:
        usages = set(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
        if not usages & {
            ExtendedKeyUsageOID.SERVER_AUTH,
            ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
        }:
            return Fault("validation-failure", "the certificate is not for a server")
    except x509.ExtensionNotFound:
        pass
    found = _host_names(certificate, extensions)
    if any(_names(pattern, name) for pattern in found for name in names):
        return None
    listed = ", ".join(found[:5]) or "nothing"
    return Fault(
        "certificate-host-mismatch", f"the certificate is for {listed}, not {' or '.join(names)}"
    )


def _host_names(certificate: x509.Certificate, extensions: x509.Extensions) -> list[str]:
    try:
        alternative = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found = alternative.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        found = []
    if not found:
        common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        found = [str(one.value) for one in common]
    return [name.rstrip(".").lower() for name in found]


def _names(pattern: str, name: str) -> bool:
    """Whether a name in a certificate is ``name``; its whole first label may be a wildcard."""
    if pattern.startswith("*."):
        label, dot, above = name.partition(".")
        return bool(label and dot) and "." in above and above == pattern[2:]
    return bool(pattern) and pattern == name
