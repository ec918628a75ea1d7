"""Whether the key files that the settings name can be used: read, understood, and a pair.

Only ``penstock check`` asks this: a daemon reads its keys itself, with fewer rights perhaps.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509 import load_pem_x509_certificates

from penstock.mail.dkim_keys import BadKey, load_key
from penstock.policy.problem import Path, Problem, quoted
from penstock.policy.validation import Checked
from penstock.settings.files import Read, reason
from penstock.settings.models import Settings

_EXPIRES_SOON = timedelta(days=14)
_FORM = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def check(checked: Checked[Settings], read: Read) -> None:
    """Add a problem to ``checked`` for every file that is missing or wrong."""
    if checked.value is None:
        return
    for index, dkim in enumerate(checked.value.dkim):
        path: Path = ("dkim", index, "key")
        if checked.bad(path):
            continue
        pem = _content(checked, path, dkim.key, read)
        if pem is not None:
            try:
                load_key(pem)
            except BadKey as error:
                checked.contradict(path, f"{quoted(dkim.key, 200)}: {error}")
    for index, smtp in enumerate(checked.value.smtp):
        if smtp.tls != "none" and smtp.certificate and smtp.key:
            _pair(checked, ("smtp", index), smtp.certificate, smtp.key, read)
    for index, api in enumerate(checked.value.api):
        if api.certificate and api.key:
            _pair(checked, ("api", index), api.certificate, api.key, read)
    page = checked.value.unsubscribe
    if page is not None and page.certificate and page.key:
        _pair(checked, ("unsubscribe",), page.certificate, page.key, read)


def _pair(
    checked: Checked[Settings], here: Path, certificate_file: str, key_file: str, read: Read
) -> None:
    """A certificate and its key; whatever OpenSSL cannot use is said in one sentence."""
    certificate_path: Path = (*here, "certificate")
    key_path: Path = (*here, "key")
    certificate_pem = _content(checked, certificate_path, certificate_file, read)
    key_pem = _content(checked, key_path, key_file, read)
    public: list[bytes] = []
    if certificate_pem is not None:
        try:
            certificate = load_pem_x509_certificates(certificate_pem)[0]
            _expiry(checked, certificate_path, certificate_file, certificate.not_valid_after_utc)
            public.append(certificate.public_key().public_bytes(*_FORM))
        except (ValueError, IndexError):
            message = f"{quoted(certificate_file, 200)} holds no certificate in PEM form"
            checked.contradict(certificate_path, message)
    if key_pem is not None:
        try:
            private = load_pem_private_key(key_pem, password=None)
            public.append(private.public_key().public_bytes(*_FORM))
        except (ValueError, TypeError):
            message = f"{quoted(key_file, 200)} holds no private key in PEM form, not encrypted"
            checked.contradict(key_path, message)
    if len(set(public)) == 2:
        checked.contradict(key_path, "the key is not that of the certificate")


def _expiry(checked: Checked[Settings], path: Path, file: str, until: datetime) -> None:
    """A warning where it is over, or nearly so: clients that look will turn away."""
    left = until - datetime.now(UTC)
    if left > _EXPIRES_SOON:
        return
    when = f"{until:%Y-%m-%d %H:%M} UTC"
    what = f"expires at {when}" if left > timedelta() else f"expired at {when}"
    where = checked.original(path)
    message = f"the certificate in {quoted(file, 200)} {what}"
    checked.problems.append(
        Problem(checked.document.file, checked.line(path), where, message, "renew it", warning=True)
    )


def _content(checked: Checked[Settings], path: Path, file: str, read: Read) -> bytes | None:
    try:
        return read(file)
    except OSError as error:
        checked.contradict(path, f"{quoted(file, 200)} cannot be read: {reason(error)}")
        return None
