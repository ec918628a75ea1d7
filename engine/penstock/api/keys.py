"""API keys: how they look, how they are kept, how one is recognised.

A key is ``psk_ID_SECRET``. The secret is 256 random bits, so a plain hash of it is as hard to turn
back as any other; it is all that is kept. The file is replaced whole by the supervisor, its only
writer; workers look at it once a second, so that a key that is made or revoked is so everywhere
without a restart.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, Final, Literal

from penstock.api.charges import NO_LIMITS, KeyLimits
from penstock.mail.envelope import LABEL_CHARS, is_label
from penstock.policy.rate import Rate
from penstock.whole_file import read_whole

ScopeName = Literal["send", "read", "admin"]
SCOPES: Final[tuple[ScopeName, ...]] = ("send", "read", "admin")
FILE: Final = "keys.json"
KEYS_MAX: Final = 10_000
NETWORKS_MAX: Final = 100
NAME_CHARS_MAX: Final = 100
_VERSION: Final = 1
_PATTERN: Final = re.compile(rb"psk_([a-z0-9]{12})_([A-Za-z0-9_-]{43})")
_BEARER: Final = re.compile(rb"bearer +([^ ]+) *", re.IGNORECASE)
_ID_CHARS: Final = "abcdefghijkmnpqrstuvwxyz23456789"
_NOBODY: Final = bytes(32)


class BadKey(Exception):
    """What was given is no good key; ``reason`` is ``malformed``, ``unknown`` or ``expired``."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class BadKeyFile(ValueError):
    """The file of keys is damaged, or of a later version."""


@dataclass(frozen=True, slots=True)
class Key:
    """``digest``: SHA-256 of the secret; ``expires``: seconds since the epoch, 0.0 for never;
    ``networks`` empty: from anywhere; ``request_bytes_max`` 0: as the listener has it."""

    id: str
    digest: bytes
    created: float
    scopes: frozenset[str]
    tenant: str = ""
    name: str = ""
    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    expires: float = 0.0
    limits: KeyLimits = NO_LIMITS
    request_bytes_max: int = 0

    def shown(self) -> dict[str, Any]:
        """All of it but the digest, in values that JSON knows."""
        return {
            "id": self.id,
            "name": self.name,
            "tenant": self.tenant,
            "scopes": [scope for scope in SCOPES if scope in self.scopes],
            "networks": [str(network) for network in self.networks],
            "created_at": moment(self.created),
            "expires_at": moment(self.expires) if self.expires else None,
            "rate": str(self.limits.requests) if self.limits.requests else None,
            "message_rate": str(self.limits.messages) if self.limits.messages else None,
            "request_bytes_max": self.request_bytes_max or None,
        }

    def row(self) -> dict[str, Any]:
        return {
            **self.shown(),
            "sha256": self.digest.hex(),
            "created": self.created,
            "expires": self.expires,
        }

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Key:
        """Raises ``ValueError``, ``KeyError`` or ``TypeError`` for what :meth:`row` never gave."""
        rate, messages = row["rate"], row["message_rate"]
        tenant, scopes = str(row["tenant"]), frozenset(row["scopes"])
        if not scopes <= set(SCOPES) or (tenant and not is_label(tenant)):
            raise ValueError(f"scopes are {', '.join(SCOPES)}; a tenant is {LABEL_CHARS}")
        digest = bytes.fromhex(row["sha256"])
        if len(digest) != 32:
            raise ValueError("a digest has 32 bytes")
        return cls(
            id=str(row["id"]),
            digest=digest,
            created=float(row["created"]),
            scopes=scopes,
            tenant=tenant,
            name=str(row["name"]),
            networks=tuple(ip_network(text) for text in row["networks"]),
            expires=float(row["expires"]),
            limits=KeyLimits(
                Rate.parse(rate) if rate else None, Rate.parse(messages) if messages else None
            ),
            request_bytes_max=int(row["request_bytes_max"] or 0),
        )


def moment(seconds: float) -> str:
    """RFC 3339, in UTC and whole seconds."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def new_secret() -> tuple[str, str, bytes]:
    """An id, the whole key as it is shown once, and the digest that is kept."""
    number = "".join(secrets.choice(_ID_CHARS) for _ in range(12))
    secret = secrets.token_urlsafe(32)
    return number, f"psk_{number}_{secret}", hashlib.sha256(secret.encode()).digest()


def load_keys(path: str) -> dict[str, Key]:
    """Those in the file, by id; none where there is no file. Raises :class:`BadKeyFile`."""
    try:
        found = read_whole(path)
        if found is None:
            return {}
        if found["version"] != _VERSION:
            raise BadKeyFile(f"{path} was written by another version of Penstock")
        return {key.id: key for key in map(Key.from_row, found["keys"])}
    except BadKeyFile:
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise BadKeyFile(f"{path} is damaged: {error}") from None


def file_of(keys: Mapping[str, Key]) -> dict[str, Any]:
    """What the file holds, for :func:`penstock.whole_file.write_whole`."""
    return {"version": _VERSION, "keys": [key.row() for key in keys.values()]}


class KeyRing:
    """The keys as a worker knows them."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._keys: dict[str, Key] = {}
        self._seen: tuple[int, int, int] | None = None

    def look(self) -> bool:
        """Read the file again where it is another one; whether it was. Raises
        :class:`BadKeyFile` or ``OSError``, once for each such file, and keeps the keys it had."""
        try:
            found = os.stat(self._path)
            seen = (found.st_ino, found.st_mtime_ns, found.st_size)
        except FileNotFoundError:
            seen = None
        if seen == self._seen:
            return False
        self._seen = seen
        self._keys = load_keys(self._path)
        return True

    def find(self, given: bytes, now: float) -> Key:
        """The key of an Authorization header; raises :class:`BadKey`."""
        bearer = _BEARER.fullmatch(given)
        written = _PATTERN.fullmatch(bearer[1]) if bearer else None
        if written is None:
            raise BadKey(
                "malformed", "Authorization has to be Bearer and a key, psk_ and its two parts."
            )
        key = self._keys.get(written[1].decode())
        digest = hashlib.sha256(written[2]).digest()
        if not hmac.compare_digest(digest, key.digest if key else _NOBODY) or key is None:
            raise BadKey("unknown", "The key is mistyped or was revoked.")
        if key.expires and now >= key.expires:
            raise BadKey("expired", f"The key {key.id} has expired.")
        return key

    def __len__(self) -> int:
        return len(self._keys)
