"""What operators ordered for mail by selector and what still holds, kept over restarts.

A small JSON file beside the spool, replaced whole: written aside, synced, renamed, directory
synced. It is bounded, and what has run out is dropped when another is added. Workers get all that
is active whenever something changes: what an order costs does not depend on how many messages fit.

An earlier release kept ``suspensions.json``. That is read where there is no file of ours yet, and
removed with the first change, so that an upgrade that fails leaves the old daemon what it had.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

OPERATIONS_MAX = 1000
SELECTOR_FIELDS = ("tenant", "campaign", "provider", "domain", "source", "pool", "class")
VERBS = ("suspend", "bounce", "reroute", "expire")
_VERSION = 1
_FILE, _FILE_BEFORE = "operations.json", "suspensions.json"


@dataclass(frozen=True, slots=True)
class Operation:
    """``until`` is seconds since the epoch, 0 for until cancelled; ``who`` and ``reason`` are
    shown.

    ``args``: ``pool`` for reroute; ``tell`` for bounce, whether senders get a report;
    ``expires_at`` for expire. ``before``: mail accepted later is not meant, and the operation ends
    when all that is meant was dealt with.
    """

    id: str
    verb: str
    selector: dict[str, str]
    since: float
    until: float = 0.0
    who: str = ""
    reason: str = ""
    args: dict[str, Any] = field(default_factory=dict)

    def active(self, now: float) -> bool:
        return not self.until or self.until > now

    @property
    def ends_by_itself(self) -> bool:
        """When the workers have dealt with all that it is about."""
        return "before" in self.args


class BadFile(Exception):
    """The file is there and makes no sense: nobody knows what must not be sent."""


class Operations:
    """All of them, by id, oldest first. What changes them is on disk when it returns."""

    def __init__(self, directory: str) -> None:
        self._path = os.path.join(directory, _FILE)
        self._before = os.path.join(directory, _FILE_BEFORE)
        self._next = 1
        self._items: dict[str, Operation] = {}
        self._load()

    def __len__(self) -> int:
        return len(self._items)

    def active(self, now: float) -> list[Operation]:
        return [one for one in self._items.values() if one.active(now)]

    def expired(self, now: float) -> list[Operation]:
        return [one for one in self._items.values() if not one.active(now)]

    def find(self, number: str) -> Operation | None:
        return self._items.get(number)

    def exactly(self, verb: str, selector: dict[str, str]) -> list[Operation]:
        """Those of ``verb`` with this selector and no other; all of them where it is empty."""
        return [
            one
            for one in self._items.values()
            if one.verb == verb and selector in ({}, one.selector)
        ]

    def begin(
        self,
        verb: str,
        selector: dict[str, str],
        now: float,
        *,
        until: float = 0.0,
        who: str = "",
        reason: str = "",
        args: dict[str, Any] | None = None,
    ) -> Operation:
        """A new one, with an id that no other ever had. ``ValueError`` if there are too many."""
        kept = {one.id: one for one in self.active(now)}
        if len(kept) >= OPERATIONS_MAX:
            raise ValueError(f"there are {OPERATIONS_MAX} operations already; cancel some first")
        number = f"{verb[0]}{self._next}"
        operation = Operation(number, verb, selector, now, until, who, reason, args or {})
        self._save({**kept, number: operation}, self._next + 1)
        return operation

    def drop(self, ids: Iterable[str]) -> None:
        """They hold no longer, whatever others have the same selector."""
        gone = set(ids)
        kept = {number: one for number, one in self._items.items() if number not in gone}
        if len(kept) != len(self._items):
            self._save(kept, self._next)

    def _load(self) -> None:
        rows: list[dict[str, Any]]
        path = self._path
        try:
            try:
                with open(path, encoding="utf-8") as file:
                    found = json.load(file)
                if found["version"] != _VERSION:
                    raise ValueError(f"version {found['version']!r}, this is {_VERSION}")
                rows, self._next = found["operations"], int(found["next"])
            except FileNotFoundError:
                path = self._before
                with open(path, encoding="utf-8") as file:
                    rows = [{"verb": "suspend", **row} for row in json.load(file)]
            self._items = {row["id"]: Operation(**row) for row in rows}
        except FileNotFoundError:
            return
        except (ValueError, TypeError, KeyError) as error:
            raise BadFile(
                f"{path} is damaged ({error}); what operators have suspended is not known: repair "
                "it, or remove it and suspend again"
            ) from None

    def _save(self, items: dict[str, Operation], number: int) -> None:
        """Replace the file; only then this object, so that both say the same after a failure."""
        rows = [asdict(one) for one in items.values()]
        aside = self._path + ".new"
        with open(aside, "w", encoding="utf-8") as file:
            json.dump({"version": _VERSION, "next": number, "operations": rows}, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, self._path)
        self._items, self._next = items, number
        handle = os.open(os.path.dirname(self._path) or ".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._before)
