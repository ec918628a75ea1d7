"""MTA-STS policies on disk, shared by the workers and kept over restarts (RFC 8461 section 5.1).

A policy protects mail only while it is remembered: whoever can break a domain's DNS or its policy
host must not be able to make us forget what it asked for. So it is kept until its own ``max_age``
is over, whatever happens meanwhile. LMDB, since each worker must see what the others have fetched.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import lmdb
import msgpack

from penstock.policy.mta_sts import BadPolicy, StsPolicy, parse_policy

_VERSION = 1
_KEY_BYTES_MAX = 400
_POLICY_BYTES = 8 << 10  # room for each; nearly all have less than one
_ROOM_BYTES_MIN = 16 << 20
_READERS_MAX = 256
_DROPPED_AT_ONCE = 100
_CHANCES = 3


class Kept(NamedTuple):
    """A policy with the times at which it was fetched and ends, seconds since the epoch."""

    policy: StsPolicy
    fetched_at: float
    expires_at: float


class StsStore:
    """One process's handle. Where it is full, those go first that end first. Raises ``OSError``
    where the file cannot be opened; :meth:`put` blocks for as long as the disk takes."""

    def __init__(self, directory: str, policies_max: int) -> None:
        self._max = policies_max
        self._writing, self._closed = threading.Lock(), False
        try:
            os.makedirs(directory, mode=0o700, exist_ok=True)
            self._environment = lmdb.open(
                directory,
                map_size=max(_ROOM_BYTES_MIN, policies_max * _POLICY_BYTES),
                max_dbs=3,
                max_readers=_READERS_MAX,
                mode=0o600,
            )
            self._policies = self._environment.open_db(b"policies")
            self._ends = self._environment.open_db(b"ends")
            self._notes = self._environment.open_db(b"notes")
        except lmdb.Error as error:
            raise OSError(f"{directory}: {error}") from None

    def get(self, domain: str, now: float) -> Kept | None:
        """The policy of ``domain`` that holds at ``now``. Raises ``OSError``."""
        key = domain.encode()[:_KEY_BYTES_MAX]
        try:
            with self._begin() as reading:
                value = reading.get(key, db=self._policies)
        except lmdb.Error as error:
            raise OSError(str(error)) from None
        return _unpack(bytes(value), now) if value is not None else None

    def put(self, domain: str, policy: StsPolicy, now: float) -> None:
        """Keep it until its time is over. Raises ``OSError``."""
        with self._writing:
            if not self._closed:
                self._put_somehow(domain, policy, now)

    def _put_somehow(self, domain: str, policy: StsPolicy, now: float) -> None:
        for chance in range(_CHANCES, -1, -1):
            try:
                self._put(domain, policy, now)
                return
            except lmdb.MapFullError as error:
                if not chance:
                    raise OSError(str(error)) from None
                # LMDB uses pages again that were freed two transactions ago
                with self._begin(write=True) as writing:
                    self._drop(writing, _DROPPED_AT_ONCE)
                    writing.put(b"full", str(chance).encode(), db=self._notes)
            except lmdb.Error as error:
                raise OSError(str(error)) from None

    def _put(self, domain: str, policy: StsPolicy, now: float) -> None:
        key, ends = domain.encode()[:_KEY_BYTES_MAX], now + policy.max_age_s
        body = "\n".join(policy.lines).encode()
        with self._begin(write=True) as writing:
            before = writing.get(key, db=self._policies)
            if before is not None:
                writing.delete(_end_key(_times(bytes(before))[1], key), db=self._ends)
            elif writing.stat(self._policies)["entries"] >= self._max:
                self._drop(writing, 1)
            value = msgpack.packb((_VERSION, now, ends, policy.id, body))
            writing.put(key, value, db=self._policies)
            writing.put(_end_key(ends, key), b"", db=self._ends)

    def _drop(self, writing: Any, count: int) -> None:
        """Those that end first."""
        with writing.cursor(self._ends) as cursor:
            found = [bytes(key) for key, _ in zip(_keys(cursor), range(count), strict=False)]
        for key in found:
            writing.delete(key, db=self._ends)
            writing.delete(key[8:], db=self._policies)

    def _begin(self, *, write: bool = False) -> Any:
        """A transaction; a worker with newer settings may have made the map larger."""
        try:
            return self._environment.begin(write=write)
        except lmdb.MapResizedError:
            self._environment.set_mapsize(0)
            return self._environment.begin(write=write)

    def __len__(self) -> int:
        with self._begin() as reading:
            return int(reading.stat(self._policies)["entries"])

    def close(self) -> None:
        """What is being written is written first: LMDB must not be closed under it."""
        with self._writing:
            self._closed = True
            self._environment.close()


def _keys(cursor: Any) -> Iterator[bytes]:
    yield from cursor.iternext(values=False)


def _end_key(ends: float, key: bytes) -> bytes:
    return int(ends).to_bytes(8, "big") + key


def _times(value: bytes) -> tuple[float, float]:
    _, fetched_at, ends, *_ = msgpack.unpackb(value)
    return float(fetched_at), float(ends)


def _unpack(value: bytes, now: float) -> Kept | None:
    """``None`` for what is over, and for what this version cannot read."""
    try:
        version, fetched_at, ends, id, body = msgpack.unpackb(value)[:5]
        if version != _VERSION or ends <= now:
            return None
        return Kept(parse_policy(body, id), float(fetched_at), float(ends))
    except (ValueError, TypeError, msgpack.UnpackException, BadPolicy):
        return None
