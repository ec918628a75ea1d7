"""Just enough of DER (X.690) to take the public key out of a certificate as it stands there.

A TLSA record is about bytes: those of the SubjectPublicKeyInfo in the certificate, whatever the
algorithm, and not what a library would write for the same key. Certificates come from strangers,
so every length is checked against what is there.
"""

from __future__ import annotations

_SEQUENCE, _INTEGER, _VERSION = 0x30, 0x02, 0xA0
_LENGTH_BYTES_MAX = 4


def subject_public_key_info(certificate: bytes) -> bytes:
    """The SubjectPublicKeyInfo of a certificate; raises ``ValueError`` for what is none."""
    outer = _value(certificate, 0, _SEQUENCE)
    at, end = _value(certificate, outer[0], _SEQUENCE, outer[1])
    tag, _, following = _element(certificate, at, end)
    if tag == _VERSION:
        at = following
    at = _value(certificate, at, _INTEGER, end)[1]  # serial number
    for _ in range(4):  # signature algorithm, issuer, validity, subject
        at = _value(certificate, at, _SEQUENCE, end)[1]
    return certificate[at : _value(certificate, at, _SEQUENCE, end)[1]]


def _value(data: bytes, at: int, tag: int, end: int | None = None) -> tuple[int, int]:
    """Where the content of the element at ``at`` begins and ends; it must have this tag."""
    found, begin, following = _element(data, at, len(data) if end is None else end)
    if found != tag:
        raise ValueError("not a certificate")
    return begin, following


def _element(data: bytes, at: int, end: int) -> tuple[int, int, int]:
    """Tag, begin of the content, end of the content."""
    if at + 2 > end:
        raise ValueError("a certificate that is cut off")
    tag, length = data[at], data[at + 1]
    at += 2
    if length >= 0x80:
        size = length & 0x7F
        if not 1 <= size <= _LENGTH_BYTES_MAX or at + size > end:
            raise ValueError("not DER")
        length = int.from_bytes(data[at : at + size], "big")
        at += size
    if at + length > end:
        raise ValueError("a certificate that is cut off")
    return tag, at, at + length
