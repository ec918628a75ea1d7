"""Signed tokens: by them what comes back finds the delivery that it is about.

A token stands in an address or a link that we gave out, and comes back from anybody. It names one
delivery (or one message), says what it is for and the day of its making, and carries a MAC over all
of that, so that nobody can make one, turn one into another, or use one for something else. Its
characters are digits and lower-case letters: mail systems that change the case of an address do it
no harm. Layout, a character being five bits::

    key  what for  day  ref  MAC          key: which key signed; what for: purpose and "exact"
     1      1       3   13   16           MAC: 80 bits of HMAC-SHA256 over the 18 before it

The address is ``b-TOKEN@domain`` for a return path, ``u-`` for unsubscribing, ``c-`` for
complaints: 36 characters of the 64 that a local part may have (RFC 5321 4.5.3.1.1), which leaves
room for those who wrap it (BATV, SRS).
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

BOUNCE, UNSUBSCRIBE, COMPLAINT = PURPOSES = ("b", "u", "c")
TOKEN_CHARS = 34
DAY_S = 86400
REASONS = ("malformed", "unknown-key", "forged", "expired")

_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
_VALUES = {digit: value for value, digit in enumerate(_DIGITS)}
_PAIRS = [a + b for a in _DIGITS for b in _DIGITS]
_ALPHABET = "[0-9a-hjkmnp-tv-z]"
_SHAPE = re.compile(_ALPHABET + f"{{{TOKEN_CHARS}}}")
# In a local part, maybe wrapped: prvs=4711abcdef=b-TOKEN, b-TOKEN/4711abcdef, SRS0=x=y=z=b-TOKEN
_ADDRESSED = re.compile(rf"(?<![0-9a-z])([buc])-({_ALPHABET}{{{TOKEN_CHARS}}})(?![0-9a-z])")
_DAYS = 1 << 15
_SIGNED = 18
_MAC_BYTES = 10


class BadToken(ValueError):
    """``reason`` is one of ``REASONS``."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the token is no good: {reason}")
        self.reason = reason


class Token(NamedTuple):
    """``purpose``: one of ``PURPOSES``. ``ref``: of one recipient's delivery where ``exact``, else
    of the message's first; see :mod:`penstock.mail.envelope`. ``day``: since the epoch, in UTC."""

    purpose: str
    ref: int
    exact: bool
    day: int


class Key(NamedTuple):
    """``id``: the digit by which a token names it; ``made``: a date, for people."""

    id: str
    secret: bytes
    made: str = ""


class TokenKeys:
    """The current key first, then those whose tokens are still good. Raises ``ValueError`` for none
    and for two of one id."""

    __slots__ = ("_secrets", "current", "keys")

    def __init__(self, keys: Sequence[Key]) -> None:
        self.keys = tuple(keys)
        self._secrets = {key.id: key.secret for key in keys}
        if not keys:
            raise ValueError("there is no key")
        if len(self._secrets) != len(keys):
            raise ValueError("two keys have the same id")
        self.current = keys[0]

    def secret(self, id: str) -> bytes | None:
        return self._secrets.get(id)


@lru_cache(maxsize=64)
def _head(key_id: str, purpose: str, exact: bool, day: int) -> str:
    """The part that is the same for all tokens of a kind and day."""
    what = PURPOSES.index(purpose) * 2 + exact
    day %= _DAYS
    return key_id + _DIGITS[what] + _DIGITS[day >> 10] + _PAIRS[day & 1023]


def make_token(keys: TokenKeys, purpose: str, ref: int, exact: bool, now: float) -> str:
    """A token of today, signed with the current key."""
    key = keys.current
    pairs = _PAIRS
    text = (
        _head(key.id, purpose, exact, int(now) // DAY_S)
        + _DIGITS[ref >> 60]
        + pairs[ref >> 50 & 1023]
        + pairs[ref >> 40 & 1023]
        + pairs[ref >> 30 & 1023]
        + pairs[ref >> 20 & 1023]
        + pairs[ref >> 10 & 1023]
        + pairs[ref & 1023]
    )
    return text + _mac(key.secret, text)


def _mac(secret: bytes, text: str) -> str:
    digest = hmac.digest(secret, text.encode("ascii"), "sha256")
    high = int.from_bytes(digest[:5], "big")
    low = int.from_bytes(digest[5:_MAC_BYTES], "big")
    pairs = _PAIRS
    return (
        pairs[high >> 30]
        + pairs[high >> 20 & 1023]
        + pairs[high >> 10 & 1023]
        + pairs[high & 1023]
        + pairs[low >> 30]
        + pairs[low >> 20 & 1023]
        + pairs[low >> 10 & 1023]
        + pairs[low & 1023]
    )


def read_token(keys: TokenKeys, text: str, now: float, max_age_days: float) -> Token:
    """What ``text``, in any case of letters, stands for; raises :class:`BadToken`. One of tomorrow
    is taken: clocks differ."""
    text = text.lower()
    if not _SHAPE.fullmatch(text):
        raise BadToken("malformed")
    what = _VALUES[text[1]]
    if what >= 2 * len(PURPOSES):
        raise BadToken("malformed")
    secret = keys.secret(text[0])
    if secret is None:
        raise BadToken("unknown-key")
    if not hmac.compare_digest(_mac(secret, text[:_SIGNED]), text[_SIGNED:]):
        raise BadToken("forged")
    today = int(now) // DAY_S
    age = (today - _number(text[2:5])) % _DAYS
    if age == _DAYS - 1:
        age = -1
    if age > max_age_days:
        raise BadToken("expired")
    ref = _number(text[5:_SIGNED])
    return Token(PURPOSES[what >> 1], ref, bool(what & 1), today - age)


def _number(digits: str) -> int:
    number = 0
    for digit in digits:
        number = number * 32 + _VALUES[digit]
    return number


class Addressed(NamedTuple):
    """A token and the purpose that its address claims, both in lower case; neither is verified."""

    purpose: str
    token: str


def find_token(text: str) -> Addressed | None:
    """The token in an address, a local part or a path, however it is wrapped; ``None`` where there
    is none. To be looked for in any text: one that it finds by chance is no good."""
    found = _ADDRESSED.search(text.lower())
    return Addressed(found[1], found[2]) if found else None


def address(purpose: str, token: str, domain: str) -> str:
    """The address by which a token comes back."""
    return f"{purpose}-{token}@{domain}"
