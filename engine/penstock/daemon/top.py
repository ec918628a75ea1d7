"""The live view, added up over all workers: one row for each provider and source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from penstock.daemon.workers import Worker, ask_those_there

REPLIES_SHOWN = 3
_SUMS = ("queued", "ready", "in_flight", "delivered_60", "deferred_60", "bounced_60")
_TIMEOUT_S = 5.0
_WINDOW_S = 60.0


class Rules(Protocol):
    """The operations in force, as plain values."""

    def rules(self) -> list[dict[str, Any]]: ...


class Top:
    def __init__(self, workers: Sequence[Worker], operations: Rules) -> None:
        self._workers, self._operations = workers, operations

    async def top(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """``{"rows": [...], "operations": [...], "away": [worker, ...]}``."""
        answers, away = await ask_those_there(self._workers, "top", {}, _TIMEOUT_S)
        operations = self._operations.rules()
        rows = added(row for answer in answers.values() for row in answer["rows"])
        for row in rows:
            row["operations"] = [one["id"] for one in operations if _concerns(one, row)]
        return {"rows": rows, "operations": operations, "away": away}


def added(parts: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows of all workers by provider and source. ``deferral_share`` is of the attempts of the
    last minute, ``None`` where there were none."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    replies: dict[tuple[str, str], Counter[str]] = {}
    for part in parts:
        key = (part["provider"], part["source"])
        row = rows.setdefault(
            key,
            {
                "provider": key[0],
                "source": key[1],
                **dict.fromkeys(_SUMS, 0),
                "rate_per_s": 0.0,
                "limit_per_s": None,
                "limit_where": "",
            },
        )
        for name in _SUMS:
            row[name] += part[name]
        row["rate_per_s"] += part.get("rate_per_s", _attempts(part) / _WINDOW_S)
        limit = part.get("limit_per_s")
        if limit is not None and (row["limit_per_s"] is None or limit < row["limit_per_s"]):
            row["limit_per_s"], row["limit_where"] = limit, part.get("limit_where") or ""
        counted = replies.setdefault(key, Counter())
        for count, text in part["replies"]:
            counted[text] += count
    for key, row in rows.items():
        attempts = _attempts(row)
        row["deferral_share"] = row["deferred_60"] / attempts if attempts else None
        row["replies"] = [[count, text] for text, count in replies[key].most_common(REPLIES_SHOWN)]
    return [rows[key] for key in sorted(rows)]


def _attempts(row: Mapping[str, Any]) -> int:
    return int(row["delivered_60"] + row["deferred_60"] + row["bounced_60"])


def _concerns(operation: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    """Whether it names this provider or source, and no other."""
    selector = operation["selector"]
    named = [selector[name] == row[name] for name in ("provider", "source") if name in selector]
    return bool(named) and all(named)
