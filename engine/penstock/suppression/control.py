"""What is asked of the suppression list through the daemon: the methods ``suppression.*``.

The process that writes the list answers, each question in a thread of its own kind: looking waits
for no import, and imports wait for each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import lmdb

from penstock.control import ControlError
from penstock.suppression.decide import SuppressionRules
from penstock.suppression.entry import Entry
from penstock.suppression.rows import Form, Meaning, Row, read_rows
from penstock.suppression.store import Store, SuppressionError, SuppressionFull, Suppressions
from penstock.suppression.transfer import import_rows, row_of
from penstock.suppression.writer import SuppressionWriter

ROWS_MAX = 5000  # of one answer
ADDRESSES_MAX = 1000  # of one order
BAD_SHOWN_MAX = 100
UPLOAD = "upload-"  # what the files begin with that lists come in
ASKED_MAX = 32  # questions that wait, over all of them
_LOOKED_AT_MAX = 200_000  # entries for one answer, however few of them are meant
_THREADS = 2
_LEFT_S = 86_400.0


class SuppressionControl:
    """``now`` is the time of day. What is asked with a ``tenant`` is about that one alone; ``None``
    is all of them, ``""`` the list for all tenants."""

    def __init__(
        self, writer: SuppressionWriter, rules: SuppressionRules, now: Callable[[], float]
    ) -> None:
        self._writer, self._rules, self._now = writer, rules, now
        self._lists = Suppressions(writer.store)
        self._looking = ThreadPoolExecutor(_THREADS, "suppression-look")
        self._changing = ThreadPoolExecutor(1, "suppression-change")
        self.asked = 0
        self._methods: dict[str, tuple[ThreadPoolExecutor, Callable[..., Any]]] = {
            "suppression.list": (self._looking, self._list),
            "suppression.lookup": (self._looking, self._lookup),
            "suppression.statistics": (self._looking, self._statistics),
            "suppression.add": (self._changing, self._add),
            "suppression.remove": (self._changing, self._remove),
            "suppression.import": (self._changing, self._import),
        }

    async def handle(self, method: str, params: Mapping[str, Any] | None) -> Any:
        """Raises :class:`ControlError`."""
        if method not in self._methods:
            raise ControlError("unknown-method", f"no such method: {method}")
        if self.asked >= ASKED_MAX:
            raise ControlError("unavailable", "too much is asked of the suppression list at once")
        threads, answer = self._methods[method]
        self.asked += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(threads, answer, params or {})
        except ValueError as error:
            raise ControlError("bad-value", str(error)) from None
        except SuppressionFull as error:
            raise ControlError("full", str(error)) from None
        except (SuppressionError, lmdb.Error) as error:
            raise ControlError("failed", str(error)) from None
        finally:
            self.asked -= 1

    def close(self) -> None:
        self._looking.shutdown()
        self._changing.shutdown(cancel_futures=True)

    # seeing

    def _list(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """``{"entries": [...], "next": key}``: in the order of addresses; ``next`` is ``""`` at the
        end, else what to give as ``after``."""
        limit = max(1, min(int(params.get("limit") or 100), ROWS_MAX))
        wanted = _Wanted(params)
        rows: list[dict[str, str]] = []
        after, looked = str(params.get("after") or ""), 0
        last = after
        for entry in walk_after(self._writer.store, after):
            key = key_text(entry)
            if key != last and (len(rows) >= limit or looked >= _LOOKED_AT_MAX):
                return {"entries": rows, "next": last}  # all of one address and tenant, or none
            last, looked = key, looked + 1
            if wanted.fits(entry):
                rows.append(row_of(entry))
        return {"entries": rows, "next": ""}

    def _lookup(self, params: Mapping[str, Any]) -> dict[str, Any]:
        address = str(params.get("address", ""))
        spelt = self._writer.store.spelling(address)
        wanted = _Wanted(params)
        found = [entry for entry in self._lists.lookup(address) if wanted.fits(entry)]
        return {"address": spelt, "entries": [row_of(entry) for entry in found]}

    def _statistics(self, params: Mapping[str, Any]) -> dict[str, Any]:
        tenant, usage = params.get("tenant"), self._writer.store.usage()
        counts = [
            one._asdict() for one in self._writer.count() if tenant is None or one.tenant == tenant
        ]
        return {**(usage._asdict() if tenant is None else {}), "counts": counts}

    # changing

    def _add(self, params: Mapping[str, Any]) -> dict[str, Any]:
        addresses, now = _addresses(params), self._now()
        tenant, reason = str(params.get("tenant") or ""), str(params.get("reason") or "manual")
        ttl_s = float(params.get("ttl_s") or 0)
        until = now + ttl_s if ttl_s else self._rules.until(reason, now)
        scope = params.get("scope")
        scopes = self._rules.scopes(reason) if scope is None else (str(scope),)
        entries = [
            Entry(one, tenant, each, reason, "", now, until) for one in addresses for each in scopes
        ]
        about = {"addresses": shown(addresses), "reason": reason}
        new = self._writer.add(entries, note_of("add", params, tenant, about))
        return {"entries": len(entries), "addresses": len(addresses), "new": new}

    def _remove(self, params: Mapping[str, Any]) -> dict[str, Any]:
        tenant, scope, reason = (params.get(name) for name in ("tenant", "scope", "reason"))
        removed = 0
        for address in _addresses(params):
            about = {"address": address, "scope": scope or "", "reason": reason or ""}
            note = note_of("remove", params, tenant or "", about)
            removed += self._writer.remove(address, tenant, scope, reason, note)
        return {"removed": removed}

    def _import(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The rows of the file at ``path``, which is ours to read. With ``only`` rows of another
        tenant are wrong."""
        form, tenant = str(params.get("form")), str(params.get("tenant") or "")
        if form not in ("csv", "ndjson"):
            raise ControlError("bad-value", "form: csv or ndjson")
        scope = params.get("scope")
        meaning = Meaning(
            self._writer.store.spelling,
            self._rules,
            self._now(),
            tenant,
            None if scope is None else str(scope),
            str(params.get("reason") or ""),
        )
        bad: list[dict[str, Any]] = []

        def tell(row: Row) -> None:
            if len(bad) < BAD_SHOWN_MAX:
                bad.append({"line": row.line, "problem": row.problem})

        only = tenant if params.get("only") else None
        _tidy(self._writer.store.directory, self._now())
        with open(os.fspath(params["path"]), "rb") as file:
            rows = (_own(row, only) for row in read_rows(file, cast(Form, form), meaning))
            note = note_of("import", params, tenant, {"file": str(params.get("name") or "")})
            done = import_rows(self._writer, rows, bad=tell, note=note)
        counts = {"rows": done.rows, "bad": done.bad, "written": done.written, "new": done.new}
        return {**counts, "problems": bad}


def _tidy(directory: str, now: float) -> None:
    """Forget lists that came in a day ago: whoever should have done so has ended before."""
    with os.scandir(directory) as found:
        for one in found:
            with contextlib.suppress(FileNotFoundError):
                if one.name.startswith(UPLOAD) and one.stat().st_mtime < now - _LEFT_S:
                    os.unlink(one.path)


class _Wanted:
    """Which entries: what is ``None`` may be anything."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        self._tenant, self._scope, self._reason = (
            params.get(name) for name in ("tenant", "scope", "reason")
        )

    def fits(self, entry: Entry) -> bool:
        return (
            self._tenant in (None, entry.tenant)
            and self._scope in (None, entry.scope)
            and self._reason in (None, entry.reason, entry.reason.partition(":")[0])
        )


def key_text(entry: Entry) -> str:
    """Where an entry stands in the list; the tenant is no part of any address."""
    return f"{entry.address} {entry.tenant}"


def walk_after(store: Store, after: str) -> Any:
    """The entries behind the key ``after``, from the beginning where it is ``""``."""
    if not after:
        yield from store.walk()
        return
    address, _, tenant = after.rpartition(" ")
    yield from store.walk_after(address, tenant)


def _own(row: Row, only: str | None) -> Row:
    if only is None or all(entry.tenant == only for entry in row.entries):
        return row
    return Row(row.line, (), f"tenant: a key of tenant {only} changes the list of no other")


def _addresses(params: Mapping[str, Any]) -> list[str]:
    found = [str(one) for one in params.get("addresses") or ()]
    if not 1 <= len(found) <= ADDRESSES_MAX:
        raise ControlError("bad-value", f"addresses: 1 to {ADDRESSES_MAX} of them")
    return found


def shown(addresses: list[str]) -> str:
    """The first ones, for a note."""
    first = ", ".join(addresses[:10])
    return f"{first} and {len(addresses) - 10} more" if len(addresses) > 10 else first


def note_of(
    action: str, params: Mapping[str, Any], tenant: str, about: Mapping[str, Any]
) -> dict[str, Any]:
    """Who did what, as an event will tell it."""
    return {
        "action": f"suppression {action}",
        "who": str(params.get("who") or "")[:500],
        "reason": str(params.get("why") or "")[:500],
        "tenant": tenant,
        "selector": {name: value for name, value in about.items() if value},
    }
