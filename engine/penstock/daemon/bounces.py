"""What came back, added up over all workers: the replies for which there is no rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from penstock.daemon.workers import Worker, ask_those_there

ROWS_MAX = 10_000
_TIMEOUT_S = 10.0


class Owner(Protocol):
    """What is needed of the supervisor."""

    @property
    def children(self) -> Sequence[Worker]: ...


class Bounces:
    def __init__(self, owner: Owner) -> None:
        self._owner = owner

    async def unmatched(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """``{"rows": [...], "total": texts, "replies": n, "away": [worker, ...]}``, the most
        frequent first. Counted since the rules last changed, or the workers began."""
        provider, limit = params.get("provider"), int(params.get("limit") or 50)
        answers, away = await ask_those_there(
            self._owner.children, "bounces.unmatched", {}, _TIMEOUT_S
        )
        rows = added(row for answer in answers.values() for row in answer)
        if provider is not None:
            rows = [row for row in rows if row["provider"] == provider]
        return {
            "rows": rows[: min(limit, ROWS_MAX)],
            "total": len(rows),
            "replies": sum(row["count"] for row in rows),
            "away": away,
        }


def added(parts: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows of all workers, those with the same text as one."""
    counts: Counter[tuple[str, str, str]] = Counter()
    for part in parts:
        counts[part["provider"], part["reply"], part["category"]] += part["count"]
    return [
        {"provider": provider, "reply": reply, "category": category, "count": count}
        for (provider, reply, category), count in sorted(
            counts.items(), key=lambda item: (-item[1], item[0])
        )
    ]
