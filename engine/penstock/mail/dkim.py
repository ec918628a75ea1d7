"""DKIM signing (RFC 6376, RFC 8463): several signatures for the work of one.

A message is parsed once, its body is canonicalised and hashed once per form, its header once per
list of fields; a signature more costs a few microseconds and the arithmetic of its key. What
depends on the key alone is laid out beforehand. Fields are *over-signed*: listed once more than
they occur, so that adding another From or Subject breaks the signature.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from typing import Literal

from penstock.mail import canonical
from penstock.mail.address import normal_domain
from penstock.mail.canonical import Fields
from penstock.mail.dkim_keys import PrivateKey

Form = Literal["relaxed", "simple"]
LINE_CHARS = 76
# Of a field repeated more often than this, so many are signed, from below, and none is over-signed.
REPEATS_MAX = 20
CACHED_HEADER_BYTES_MAX = 16 << 10

OVERSIGNED = (
    "From",
    "Subject",
    "To",
    "Date",
    "Reply-To",
    "Cc",
    "Message-ID",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
)
SIGNED = (
    *OVERSIGNED,
    "Sender",
    "In-Reply-To",
    "References",
    "List-Id",
    "List-Help",
    "List-Subscribe",
    "List-Post",
    "List-Owner",
    "List-Archive",
    "Feedback-ID",
    "CFBL-Address",
    "CFBL-Feedback-ID",
    "X-Postmaster-Msgtype",
    "Auto-Submitted",
)
_NEVER_SIGNED = frozenset({"return-path", "received", "dkim-signature", "comments", "keywords"})
_FIELD_NAME = re.compile(r"[!-9;-~]{1,100}")
_SELECTOR = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?")
_IDENTITY_LOCAL = re.compile(r"[A-Za-z0-9.!#$%&'*+/^_`{|}~-]*")


@dataclass(frozen=True, slots=True)
class Options:
    """``signed``: the fields to sign where present; ``oversigned``: those to list once more,
    present or not. ``lifetime_s``: signatures expire so long after signing (0: never).
    ``identity``: the ``i=`` tag, ``local@domain``, in the signing domain or below (``""``: none).
    Raises ``ValueError`` for what RFC 6376 forbids."""

    header: Form = "relaxed"
    body: Form = "relaxed"
    signed: tuple[str, ...] = SIGNED
    oversigned: tuple[str, ...] = OVERSIGNED
    lifetime_s: int = 0
    identity: str = ""

    def __post_init__(self) -> None:
        names = [name.lower() for name in (*self.signed, *self.oversigned)]
        if "from" not in names:
            raise ValueError("DKIM: From must be among the signed fields (RFC 6376 5.4)")
        for name in names:
            if not _FIELD_NAME.fullmatch(name):
                raise ValueError(f"DKIM: not a field name: {name!r}")
            if name in _NEVER_SIGNED:
                raise ValueError(f"DKIM: {name} changes on the way and must not be signed")
        if self.header not in ("relaxed", "simple") or self.body not in ("relaxed", "simple"):
            raise ValueError("DKIM: canonicalisation is relaxed or simple")
        if self.lifetime_s < 0:
            raise ValueError("DKIM: lifetime_s must not be negative")


DEFAULT = Options()
Plan = tuple[Form, tuple[bytes, ...], frozenset[bytes]]
_NONE: list[int] = []


@dataclass(frozen=True, slots=True, eq=False)
class Signer:
    """One key, ready to sign for one domain; raises ``ValueError`` for what cannot be published."""

    domain: str
    selector: str
    key: PrivateKey
    options: Options = DEFAULT
    head: bytes = field(init=False, repr=False)
    plan: Plan = field(init=False, repr=False)

    def __post_init__(self) -> None:
        options = self.options
        object.__setattr__(self, "domain", normal_domain(self.domain))
        object.__setattr__(self, "selector", self.selector.lower())
        if not all(_SELECTOR.fullmatch(label) for label in self.selector.split(".")):
            raise ValueError(f"DKIM: not a selector: {self.selector!r}")
        form = f"c={options.header}/{options.body};"
        tags = ["v=1;", f"a={self.key.kind}-sha256;", form, f"d={self.domain};"]
        tags.append(f"s={self.selector};")
        if options.identity:
            tags.append(f"i={_identity(options.identity, self.domain)};")
        object.__setattr__(self, "head", _fold("DKIM-Signature:", tags).encode("ascii"))
        once = dict.fromkeys(n.lower().encode() for n in (*options.signed, *options.oversigned))
        over = frozenset(name.lower().encode() for name in options.oversigned)
        object.__setattr__(self, "plan", (options.header, tuple(once), over))


def _identity(identity: str, domain: str) -> str:
    local, at, host = identity.rpartition("@")
    host = normal_domain(host)
    if not at or not (host == domain or host.endswith("." + domain)):
        raise ValueError(f"DKIM: i={identity} is not within d={domain}")
    if not _IDENTITY_LOCAL.fullmatch(local):
        raise ValueError(f"DKIM: i={identity}: only plain characters before the @")
    return f"{local}@{host}"


def _fold(start: str, tokens: Iterable[str]) -> str:
    """``tokens`` parted by one space, on lines of at most ``LINE_CHARS`` where they fit."""
    lines = [start]
    for token in tokens:
        if len(lines[-1]) + 1 + len(token) > LINE_CHARS:
            lines.append("\t" + token)
        else:
            lines[-1] += " " + token
    return "\r\n".join(lines)


def _names_tag(names: Sequence[bytes]) -> bytes:
    """The ``h=`` tag, folded behind colons."""
    *most, last = [name.decode("ascii") for name in names]
    lines = ["\th="]
    for token in (*(name + ":" for name in most), last + ";"):
        if len(lines[-1]) + len(token) > LINE_CHARS:
            lines.append("\t" + token)
        else:
            lines[-1] += token
    return "\r\n".join(lines).encode("ascii")


def _lay_out(names: Sequence[bytes], plan: Plan) -> tuple[bytes, Sequence[int]]:
    """The ``h=`` tag for a header of these names, and which fields it signs, in its order (from
    below where a name repeats: RFC 6376 5.4.2)."""
    _, wanted, over = plan
    places: dict[bytes, list[int]] = {}
    for index, name in enumerate(names):
        places.setdefault(name, []).append(index)
    listed: list[bytes] = []
    chosen: list[int] = []
    for name in wanted:
        found = places.get(name, _NONE)
        picked = found[: -REPEATS_MAX - 1 : -1]
        chosen += picked
        once_more = name in over and len(found) <= REPEATS_MAX
        listed += [name] * (len(picked) + once_more)
    return _names_tag(listed), chosen


# Messages of one origin have the same fields in the same order: the layout is worked out once.
_usual_layout = lru_cache(maxsize=1024)(_lay_out)


def _select(fields: Fields, plan: Plan) -> tuple[bytes, bytes]:
    """The ``h=`` tag, and the signed fields in canonical form."""
    usual = len(fields.block) <= CACHED_HEADER_BYTES_MAX
    names, chosen = (_usual_layout if usual else _lay_out)(tuple(fields.names), plan)
    return names, fields.relaxed(chosen) if plan[0] == "relaxed" else fields.simple(chosen)


def join(content: bytes | Sequence[bytes]) -> bytes:
    """The content in one piece; no copy where it is one."""
    if isinstance(content, bytes):
        return content
    return content[0] if len(content) == 1 else b"".join(content)


def sign(
    content: bytes | Sequence[bytes], headers_end: int, signers: Sequence[Signer], now: float
) -> bytes:
    """The DKIM-Signature fields to put before ``content``, one for each of ``signers``.

    ``content`` is the whole message with CRLF line ends, in one or more pieces; ``headers_end`` the
    offset of its body. Raises nothing for any bytes: what is no header field is not signed.
    """
    if not signers:
        return b""
    whole = join(content)
    return sign_fields(whole, headers_end, canonical.parse(whole, headers_end), signers, now)


def sign_fields(
    content: bytes, headers_end: int, fields: Fields, signers: Sequence[Signer], now: float
) -> bytes:
    """``sign`` for a message whose header has been parsed already."""
    bodies: dict[Form, bytes] = {}
    selections: dict[object, tuple[bytes, bytes]] = {}
    out = []
    for signer in signers:
        form = signer.options.body
        if form not in bodies:
            text = canonical.body(content, headers_end, form == "relaxed")
            bodies[form] = b64encode(sha256(text).digest())
        if signer.plan not in selections:
            selections[signer.plan] = _select(fields, signer.plan)
        names, signed = selections[signer.plan]
        out.append(_field(signer, names, signed, bodies[form], int(now)))
    return b"".join(out)


def _field(signer: Signer, names: bytes, signed: bytes, body_hash: bytes, now: int) -> bytes:
    lifetime = signer.options.lifetime_s
    expiry = b" x=%d;" % (now + lifetime) if lifetime else b""
    text = b"%b\r\n\tt=%d;%b\r\n%b\r\n\tbh=%b;\r\n\tb=" % (
        signer.head,
        now,
        expiry,
        names,
        body_hash,
    )
    if signer.options.header == "relaxed":
        _, _, value = text.partition(b":")
        own = b"dkim-signature:" + canonical.relaxed_value(value)
    else:
        own = text
    signature = b64encode(signer.key.sign(sha256(signed + own).digest()))
    step = LINE_CHARS - 4
    lines = [signature[at : at + step] for at in range(0, len(signature), step)]
    return text + b"\r\n\t ".join(lines) + b"\r\n"
