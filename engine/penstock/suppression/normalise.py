"""The one spelling of an address that the suppression list holds and is asked for.

Blanks around it go, the whole address becomes lower case, the domain A-labels (RFC 5890) without a
dot at its end, a local part that is not ASCII NFC, and quotes that RFC 5321 does not need go too.
The local part is lower case although RFC 5321 2.4 leaves that to the receiver: practically nobody
tells ``Ann@`` from ``ann@``, and to write on to somebody who has said no is the worse mistake.

Nothing else is guessed. Dots are never taken out, since only one provider ignores them; what
follows a ``+`` is cut off only where the settings say so.
"""

from __future__ import annotations

import re
import unicodedata

from penstock.mail.address import normal_domain

ADDRESS_BYTES_MAX = 400  # of a key, which LMDB bounds at 511 with the tenant's name
# Nearly every address, in its spelling; possessive, so that nothing is tried twice.
_PLAIN = re.compile(
    r"[a-z0-9!#$%&'*+/=?^_`{|}~.-]++@[a-z0-9_-]++(?:\.[a-z0-9_-]++)*+", re.ASCII
).fullmatch
_PLAIN_CHARS_MAX = 255
_ATOMS = re.compile(r"[^\s\"\\()<>\[\]:;@,.]+(?:\.[^\s\"\\()<>\[\]:;@,.]+)*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def normal_address(address: str) -> str:
    """Raises ``ValueError`` for what is no address."""
    text = address.strip().lower()
    if len(text) < _PLAIN_CHARS_MAX and _PLAIN(text):
        return text
    if text.startswith("<") and text.endswith(">"):
        text = text[1:-1]
    local, at, domain = text.rpartition("@")
    if not at or not local or _CONTROL.search(text):
        raise ValueError(f"not an address: {address[:80]!r}")
    if not local.isascii():
        local = unicodedata.normalize("NFC", unicodedata.normalize("NFC", local).lower())
    if local.startswith('"') and local.endswith('"') and len(local) > 2:
        inner = re.sub(r"\\(.)", r"\1", local[1:-1])
        if _ATOMS.fullmatch(inner):
            local = inner
    elif not _ATOMS.fullmatch(local):
        raise ValueError(f"not an address: {address[:80]!r}")
    normal = f"{local}@{normal_domain(domain)}"
    if len(normal.encode()) > ADDRESS_BYTES_MAX:
        raise ValueError(f"an address longer than {ADDRESS_BYTES_MAX} bytes")
    return normal


def without_tag(address: str) -> str:
    """``user@`` of ``user+anything@``; ``address`` is a normal one."""
    local, _, domain = address.rpartition("@")
    plain = local.partition("+")[0]
    return f"{plain}@{domain}" if plain and not local.startswith('"') else address
