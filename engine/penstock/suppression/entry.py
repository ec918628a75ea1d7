"""One line of the suppression list, and the compact form in which the store holds it.

A value of the store holds all entries that an address has with one tenant, as one flat msgpack
array of five items each. Scopes and reasons that are known are numbers in it: ten bytes an entry
rather than forty, which is what ten million of them need.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from penstock.mail.envelope import CLASSES, is_label

GLOBAL = ""  # the tenant of entries that hold for all tenants
ALL_CLASSES = ""
LIST_PREFIX = "list:"  # a scope that is one mailing list of the tenant's, "list:news"
# Positions are what the store holds: only ever append.
_SCOPES = ("", "transactional", "triggered", "bulk")
_REASONS = (
    *("manual", "complaint", "unsubscribe", "bounce", "import"),
    *("bounce:bad-mailbox", "bounce:inactive-mailbox", "bounce:bad-domain", "bounce:mailbox-full"),
)
_SCOPE_NUMBERS = {scope: number for number, scope in enumerate(_SCOPES)}
_REASON_NUMBERS = {reason: number for number, reason in enumerate(_REASONS)}
_REASON = re.compile(r"[a-z][a-z0-9:._-]{0,63}")
REASON_CHARS = "1 to 64 of a-z 0-9 : . _ -, a letter first"
CAUSE_CHARS_MAX = 80
SECONDS_MAX = 1 << 32
_FIELDS = 5
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Any]).decode


class Entry(NamedTuple):
    """``tenant`` ``""``: for all of them; ``scope``: a class of mail, ``list:NAME``, or ``""`` for
    everything; ``cause``: the id of the event that made it, or ``""``; ``since`` and ``until`` are
    seconds since the epoch, whole in the store; ``until`` 0 is never."""

    address: str
    tenant: str = GLOBAL
    scope: str = ALL_CLASSES
    reason: str = "manual"
    cause: str = ""
    since: float = 0.0
    until: float = 0.0

    def live(self, now: float) -> bool:
        return not self.until or self.until > now

    def covers(self, class_: str, mailing_list: str, now: float) -> bool:
        """Whether it keeps mail of this class, for this list of its tenant, from the address."""
        scope = self.scope
        if scope and scope != class_ and (not mailing_list or scope != LIST_PREFIX + mailing_list):
            return False
        return self.live(now)

    @property
    def of_bounce(self) -> bool:
        """The mailbox is the reason, not what its owner wants."""
        return self.reason.partition(":")[0] == "bounce"


def problem_of(entry: Entry) -> str:
    """What is wrong with the entry, apart from its address; ``""``: nothing."""
    if entry.tenant and not is_label(entry.tenant):
        return f"tenant: {entry.tenant[:80]!r} is no tenant's name"
    scope = entry.scope
    named = scope.startswith(LIST_PREFIX) and is_label(scope[len(LIST_PREFIX) :])
    if scope and scope not in CLASSES and not named:
        known = ", ".join(CLASSES)
        return f"scope: {scope[:80]!r} is none of {known}, {LIST_PREFIX}NAME, nor empty for all"
    if not _REASON.fullmatch(entry.reason):
        return f"reason: {entry.reason[:80]!r} is not {REASON_CHARS}"
    if len(entry.cause) > CAUSE_CHARS_MAX or not entry.cause.isprintable():
        return f"cause: not at most {CAUSE_CHARS_MAX} printable characters"
    if not (0 <= entry.since < SECONDS_MAX and 0 <= entry.until < SECONDS_MAX):
        return "since, until: not times that can be kept"
    return ""


def pack(entries: Iterable[Entry]) -> bytes:
    """Of one address and one tenant: neither is in the value."""
    flat: list[Any] = []
    for _, _, scope, reason, cause, since, until in entries:
        flat += (
            _SCOPE_NUMBERS.get(scope, scope),
            _REASON_NUMBERS.get(reason, reason),
            int(since),
            int(until),
            cause,
        )
    return _encode(flat)


def unpack(address: str, tenant: str, value: bytes) -> list[Entry]:
    """The inverse; raises ``ValueError`` for what :func:`pack` never wrote."""
    try:
        flat, found = _decode(value), []
        for start in range(0, len(flat), _FIELDS):
            scope, reason, since, until, cause = flat[start : start + _FIELDS]
            if type(scope) is int:
                scope = _SCOPES[scope]
            if type(reason) is int:
                reason = _REASONS[reason]
            found.append(Entry(address, tenant, scope, reason, cause, float(since), float(until)))
        return found
    except (msgspec.DecodeError, ValueError, IndexError, TypeError) as error:
        raise ValueError(f"a damaged entry of {address}: {error}") from None


def merged(old: Sequence[Entry], new: Iterable[Entry]) -> list[Entry]:
    """One entry for each scope and reason, the newer for the older; in a fixed order."""
    found = {(one.scope, one.reason): one for one in old}
    for one in new:
        found[one.scope, one.reason] = one
    return [found[key] for key in sorted(found)]
