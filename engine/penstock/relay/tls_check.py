"""Whether a handshake met its demand, and if not, why: one value for the reply and the reports."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import cast

from cryptography import x509

from penstock.relay.tls_demand import Fault
from penstock.smtp.client_reply import reply_text

_NAMES_SHOWN_MAX = 3
# X509_V_ERR_...: stable numbers of OpenSSL's
_NOT_YET, _EXPIRED, _SELF_SIGNED, _SELF_SIGNED_IN_CHAIN = 9, 10, 18, 19
_UNKNOWN_ISSUER = frozenset({2, 20, 21, 27})
_OTHER_NAME = frozenset({62, 63, 64})
_VERSION_REASONS = frozenset(
    {"UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION", "WRONG_SSL_VERSION"}
)


class CheckFailed(OSError):
    """A handshake that went well, with somebody who does not meet the demand."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.text)
        self.fault = fault


# The certificates of a finished handshake, DER, the host's own first, to what is wrong with them.
Check = Callable[[Sequence[bytes]], Fault | None]


def chain_of(connection: ssl.SSLObject) -> list[bytes]:
    """What the host showed, DER, its own certificate first; not there when a session was resumed,
    but for the first one."""
    public = getattr(connection, "get_unverified_chain", None)  # Python 3.13
    if public is not None:
        return cast(list[bytes], public())
    inner = getattr(connection, "_sslobj", None)
    if inner is not None and hasattr(inner, "get_unverified_chain"):
        shown = inner.get_unverified_chain() or ()
        return [ssl.PEM_cert_to_DER_cert(one.public_bytes()) for one in shown]
    own = connection.getpeercert(True)
    return [own] if own else []


def why_failed(error: BaseException, host: str, certificate: bytes) -> Fault:
    """What a handshake broke over. ``certificate``: what the host showed, as far as known."""
    if isinstance(error, CheckFailed):
        return error.fault
    if isinstance(error, ssl.SSLCertVerificationError):
        return _not_verified(error, host, certificate)
    reason = getattr(error, "reason", None)
    if isinstance(error, ssl.SSLError) and reason in _VERSION_REASONS:
        return Fault("validation-failure", "its version of TLS is too low")
    text = reply_text(str(error).encode("utf-8", "replace"))[:120] or type(error).__name__
    return Fault("validation-failure", text)


def _not_verified(error: ssl.SSLCertVerificationError, host: str, certificate: bytes) -> Fault:
    code = error.verify_code
    shown = _read(certificate)
    if code == _EXPIRED:
        if shown is None:
            return Fault("certificate-expired", "certificate expired")
        if shown.not_valid_after_utc > datetime.now(UTC):  # OpenSSL goes by the same clock
            return Fault("certificate-expired", "a certificate of its issuers has expired")
        when = f"{shown.not_valid_after_utc:%Y-%m-%d}"
        return Fault("certificate-expired", f"certificate expired on {when}")
    if code == _NOT_YET:
        when = f" before {shown.not_valid_before_utc:%Y-%m-%d}" if shown is not None else " yet"
        return Fault("validation-failure", f"certificate is not valid{when}")
    if code in _OTHER_NAME:
        names = f"certificate is for {_names(shown)}, not {host}"
        return Fault("certificate-host-mismatch", names)
    if code == _SELF_SIGNED:
        return Fault("certificate-not-trusted", "certificate is self-signed")
    if code == _SELF_SIGNED_IN_CHAIN:
        return Fault("certificate-not-trusted", "certificate is of an authority not trusted here")
    if code in _UNKNOWN_ISSUER:
        issuer = reply_text(shown.issuer.rfc4514_string().encode())[:80] if shown else "unknown"
        return Fault("certificate-not-trusted", f"certificate's issuer is not known here: {issuer}")
    return Fault("certificate-not-trusted", f"certificate is not good: {error.verify_message}")


def _read(certificate: bytes) -> x509.Certificate | None:
    try:
        return x509.load_der_x509_certificate(certificate) if certificate else None
    except ValueError:
        return None


def _names(shown: x509.Certificate | None) -> str:
    """The first few names that a certificate is for."""
    if shown is None:
        return "another name"
    try:
        found = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = [*found.get_values_for_type(x509.DNSName)]
        names += map(str, found.get_values_for_type(x509.IPAddress))
    except (x509.ExtensionNotFound, ValueError):
        names = []
    if not names:
        return "no name"
    more = len(names) - _NAMES_SHOWN_MAX
    text = ", ".join(names[:_NAMES_SHOWN_MAX]) + (f" and {more} more" if more > 0 else "")
    return reply_text(text.encode("utf-8", "replace"))[:200]
