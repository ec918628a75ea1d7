"""Signatures of Standard Webhooks (https://www.standardwebhooks.com), version 1.

A secret is ``whsec_`` and base64 of 24 to 64 random bytes. While one is exchanged for another, both
sign: the receiver takes whichever it knows.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence

PREFIX = "whsec_"
SECRET_BYTES_MIN = 24
SECRET_BYTES_MAX = 64
SECRETS_MAX = 8


class BadSecret(ValueError):
    """Why a file of secrets cannot be used; says no secret."""


def parse_secrets(content: bytes) -> tuple[bytes, ...]:
    """The secrets in a file, one in a line; empty lines and those that begin with ``#`` do not
    count. Raises :class:`BadSecret`."""
    secrets = []
    for number, line in enumerate(content.splitlines(), 1):
        text = line.strip()
        if text and not text.startswith(b"#"):
            secrets.append(_secret(text, number))
    if not secrets:
        raise BadSecret(f'holds no secret, a line like "{PREFIX}..."')
    if len(secrets) > SECRETS_MAX:
        raise BadSecret(f"holds more than {SECRETS_MAX} secrets")
    return tuple(secrets)


def _secret(text: bytes, number: int) -> bytes:
    if not text.startswith(PREFIX.encode()):
        raise BadSecret(f'line {number} does not begin with "{PREFIX}"')
    try:
        coded = text[len(PREFIX) :]
        secret = base64.b64decode(coded + b"=" * (-len(coded) % 4), validate=True)
    except binascii.Error:
        raise BadSecret(f'line {number} is not base64 after "{PREFIX}"') from None
    if not SECRET_BYTES_MIN <= len(secret) <= SECRET_BYTES_MAX:
        raise BadSecret(
            f"line {number} holds {len(secret)} bytes; a secret has {SECRET_BYTES_MIN} to "
            f"{SECRET_BYTES_MAX}"
        )
    return secret


def signature_headers(
    secrets: Sequence[bytes], message: str, at: float, body: bytes
) -> dict[str, str]:
    """The three headers that let a receiver verify ``body``; ``at`` is the time of the attempt."""
    stamp = str(int(at))
    signed = b"%s.%s.%s" % (message.encode(), stamp.encode(), body)
    signatures = [hmac.digest(secret, signed, hashlib.sha256) for secret in secrets]
    return {
        "webhook-id": message,
        "webhook-timestamp": stamp,
        "webhook-signature": " ".join(f"v1,{base64.b64encode(one).decode()}" for one in signatures),
    }
