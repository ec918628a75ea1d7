"""Stub of signed tokens. Replaced on merging."""

from __future__ import annotations

from typing import NamedTuple


class Token(NamedTuple):
    purpose: str
    ref: int
    exact: bool
    day: int


class BadToken(ValueError):
    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class TokenKeys: ...


def read_token(keys: TokenKeys, text: str, now: float, max_age_days: float) -> Token:
    raise BadToken("malformed")
