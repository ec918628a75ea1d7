"""The ring of DKIM keys: which of them sign a message.

The signing domain must agree with the author's for the signature to count with DMARC, so keys are
found by the domain of the From field: those of the domain itself, else those of the nearest domain
above it that has any. A ring never changes; a reload makes another one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from email.utils import getaddresses
from types import MappingProxyType

from penstock.mail import canonical
from penstock.mail.address import normal_domain, split
from penstock.mail.canonical import Fields
from penstock.mail.dkim import Signer, join, sign_fields

FROM_BYTES_MAX = 8192
SIGNERS_PER_DOMAIN_MAX = 8
# An atom or quoted phrase and <address>, or the address alone: nearly every From there is.
_USUAL = re.compile(
    rb'\s*+(?:"[^"\\<>]*+"\s*+<|[^"\\<>()@,:;]*+<)?[^\s"\\<>()@,:;]++@([A-Za-z0-9._-]++)(>?)\s*+'
)


def author_domain(value: bytes) -> str:
    """The domain of the first address of a From field's value, normalised; ``""`` if none."""
    usual = _USUAL.fullmatch(value)
    if usual and (b"<" in value) == bool(usual[2]):
        domain = usual[1].decode("ascii")
    else:
        text = value[:FROM_BYTES_MAX].decode("utf-8", "replace")
        addresses = getaddresses([" ".join(text.split())])
        domain = next((split(address)[1] for _, address in addresses if address), "")
    try:
        return normal_domain(domain)
    except ValueError:
        return ""


class KeyRing:
    """Signers by domain, immutable. Raises ``ValueError`` where one selector of a domain is given
    twice or a domain has more than ``SIGNERS_PER_DOMAIN_MAX``."""

    __slots__ = ("_by_domain",)

    def __init__(self, signers: Iterable[Signer] = ()) -> None:
        by_domain: dict[str, tuple[Signer, ...]] = {}
        for signer in signers:
            others = by_domain.get(signer.domain, ())
            if any(other.selector == signer.selector for other in others):
                raise ValueError(f"DKIM: {signer.domain}: selector {signer.selector} given twice")
            if len(others) == SIGNERS_PER_DOMAIN_MAX:
                raise ValueError(f"DKIM: {signer.domain}: over {SIGNERS_PER_DOMAIN_MAX} keys")
            by_domain[signer.domain] = (*others, signer)
        self._by_domain = by_domain

    @property
    def domains(self) -> Mapping[str, Sequence[Signer]]:
        return MappingProxyType(self._by_domain)

    def __bool__(self) -> bool:
        return bool(self._by_domain)

    def __len__(self) -> int:
        return sum(map(len, self._by_domain.values()))

    def find(self, domain: str) -> Sequence[Signer]:
        """The signers for mail from ``domain`` (normalised): its own, else the nearest parent's."""
        while domain:
            found = self._by_domain.get(domain)
            if found:
                return found
            domain = domain.partition(".")[2]
        return ()

    def sign(self, content: bytes | Sequence[bytes], headers_end: int, now: float) -> bytes:
        """The DKIM-Signature fields for ``content`` by its From; ``b""`` where no key is its own.

        Of several From fields the topmost counts. See :func:`penstock.mail.dkim.sign`.
        """
        if not self._by_domain:
            return b""
        whole = join(content)
        return self.sign_fields(whole, headers_end, canonical.parse(whole, headers_end), now)

    def sign_fields(
        self, content: bytes, headers_end: int, fields: Fields, now: float, also: str = ""
    ) -> bytes:
        """``sign`` for a header that is parsed already, which need not be that of ``content``: only
        the body is taken from there. ``also``: a domain whose keys sign too, unless it is that of
        the From or below it, as RFC 9477 3.1 wants for a complaint address elsewhere."""
        if b"from" not in fields.names:
            return b""
        author = author_domain(fields.values[fields.names.index(b"from")])
        signers = self.find(author)
        if also and also != author and not also.endswith("." + author):
            others = [one for one in self.find(also) if one not in signers]
            signers = [*signers, *others]
        return sign_fields(content, headers_end, fields, signers, now) if signers else b""
