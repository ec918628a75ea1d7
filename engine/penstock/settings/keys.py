"""Whether the key files that the settings name can be used: read, understood, and a pair.

Only ``penstock check`` asks this: a daemon reads its keys itself, with fewer rights perhaps.
"""

from __future__ import annotations

from datetime import UTC, datetime

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509 import Certificate, load_pem_x509_certificates

from penstock.mail.dkim_keys import BadKey, load_key
from penstock.policy.problem import Path, Problem, quoted
from penstock.policy.validation import Checked
from penstock.settings.files import Read, reason
from penstock.settings.models import Settings

_WARNED_DAYS = 30
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
    tls = checked.value.tls
    if tls.certificate:
        _pair(checked, ("tls",), tls.certificate, tls.key or tls.certificate, read)
    if tls.ca:
        _authorities(checked, ("tls", "ca"), tls.ca, read)


def _authorities(checked: Checked[Settings], path: Path, file: str, read: Read) -> None:
    pem = _content(checked, path, file, read)
    if pem is not None:
        try:
            load_pem_x509_certificates(pem)
        except ValueError:
            message = f"{quoted(file, 200)} holds no certificate in PEM form"
            checked.contradict(path, message)


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
            public.append(certificate.public_key().public_bytes(*_FORM))
            checked.problems += _ending(checked, certificate_path, certificate)
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


def _ending(checked: Checked[Settings], path: Path, certificate: Certificate) -> list[Problem]:
    """A warning where it has ended, or soon will have."""
    ends = certificate.not_valid_after_utc
    days = (ends - datetime.now(UTC)).days
    if days >= _WARNED_DAYS:
        return []
    if days < 0:
        message = f"the certificate expired on {ends:%Y-%m-%d}"
    else:
        message = f"the certificate expires on {ends:%Y-%m-%d}, in {days} days"
    document = checked.document
    hint = "renew it; the daemon takes up the new file by itself"
    return [Problem(document.file, checked.line(path), path, message, hint, warning=True)]


def _content(checked: Checked[Settings], path: Path, file: str, read: Read) -> bytes | None:
    try:
        return read(file)
    except OSError as error:
        checked.contradict(path, f"{quoted(file, 200)} cannot be read: {reason(error)}")
        return None
