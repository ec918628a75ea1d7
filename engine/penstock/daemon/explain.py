"""Why mail waits, asked of all workers: each knows its own queue, the governor what is in use.

A target is a message id, a recipient's address, or a queue: a domain, optionally with tenant and
campaign behind slashes. What may be two of these is looked up as the first of them that it may be.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from penstock.control import ControlError
from penstock.daemon.workers import Worker, ask_those_there
from penstock.mail.envelope import id_number
from penstock.policy.names import plain_name

EXPLANATIONS_MAX = 20
TARGET_CHARS_MAX = 1000
KEYS_AT_ONCE = 256  # as many as the governor answers
_STATES = ("in-flight", "ready", "waiting", "scheduled")
_TIMEOUT_S = 30.0


Trips = Callable[[str, str], Awaitable[list[dict[str, Any]]]]


class GovernorPort(Protocol):
    """What is needed of :class:`~penstock.limits.governor.Governor`."""

    def handle(self, worker: int, method: str, params: Any) -> Any: ...


class Owner(Protocol):
    """What is needed of the supervisor."""

    @property
    def children(self) -> Sequence[Worker]: ...
    @property
    def governor(self) -> GovernorPort: ...


class Explain:
    """``trips``: the guards that tripped for mail of a tenant and campaign."""

    def __init__(self, owner: Owner, trips: Trips | None = None) -> None:
        self._owner, self._trips = owner, trips

    async def explain(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """``{"explanations": [...], "more": n, "away": [worker, ...]}`` for ``target``, of the
        mail of ``tenant`` alone where that is given; refuses with ``not-found`` where nothing
        fits."""
        target = str(params.get("target", "")).strip()
        if not target or len(target) > TARGET_CHARS_MAX:
            raise ControlError("bad-target", "say what: a message id, an address, or a queue")
        away: list[int] = []
        more = 0
        tenant = str(params.get("tenant") or "")
        for method, asked in questions(target, tenant):
            answers, away = await ask_those_there(self._owner.children, method, asked, _TIMEOUT_S)
            found, more = merged(answers)
            if tenant:
                found = [one for one in found if one["queue"]["tenant"] == tenant]
            if found:
                self._add_uses(found)
                await self._add_guards(found)
                return {"explanations": found, "more": more, "away": away}
        if more:
            raise ControlError(
                "not-found",
                f"{target} was not found yet, and {more} messages were not looked through; "
                "explain it by its message id",
            )
        if away:
            numbers = ", ".join(map(str, away))
            raise ControlError("unavailable", f"not found; worker {numbers} could not be asked")
        raise ControlError(
            "not-found",
            f"nothing of {target} is queued: it was delivered, bounced, or never accepted here",
        )

    async def _add_guards(self, explanations: Iterable[dict[str, Any]]) -> None:
        """``guards`` that tripped lately, where there are any."""
        known: dict[tuple[str, str], list[dict[str, Any]]] = {}
        if self._trips is None:
            return
        for one in explanations:
            queue = one.get("queue") or {}
            whose = (str(queue.get("tenant", "")), str(queue.get("campaign", "")))
            if whose not in known:
                known[whose] = await self._trips(*whose)
            if known[whose]:
                one["guards"] = known[whose]

    def _add_uses(self, explanations: Iterable[dict[str, Any]]) -> None:
        """Over all workers: ``used`` and ``free`` of every limit, and how many workers are
        ``waiting`` for it. What the governor does not know nobody has asked for lately."""
        caps = [cap for one in explanations for cap in one.get("caps", ()) if cap["key"]]
        keys = list(dict.fromkeys((str(cap["key"]), _kind(cap)) for cap in caps))
        uses: dict[tuple[str, str], Any] = {}
        number = self._owner.children[0].number if self._owner.children else 0
        with contextlib.suppress(ValueError):  # better an answer without than none
            for start in range(0, len(keys), KEYS_AT_ONCE):
                part = keys[start : start + KEYS_AT_ONCE]
                asked = [list(key) for key in part]
                answer = self._owner.governor.handle(number, "uses", asked)
                uses.update(zip(part, answer, strict=True))
        for cap in caps:
            use = uses.get((str(cap["key"]), _kind(cap)))
            if use is not None:
                cap["used"], cap["free"], cap["waiting"] = use[0], use[2], use[4]
            elif cap.get("used") is None:
                cap["used"] = 0


def _kind(cap: Mapping[str, Any]) -> str:
    return "seat" if cap["field"] == "connections" else "rate"


def questions(target: str, only: str = "") -> list[tuple[str, dict[str, Any]]]:
    """What to ask of the workers, in order, until something is found; of the tenant ``only`` where
    one is given."""
    asked: list[tuple[str, dict[str, Any]]] = []
    if "@" in target:
        domain = plain_name(target.rpartition("@")[2])
        asked.append(("explain.queue", _queue(domain, only, recipient=target)))
        if "/" not in target:
            return asked
    elif "/" not in target:
        with contextlib.suppress(ValueError):
            asked.append(("explain.message", {"ref": id_number(target)}))
    domain, tenant, campaign, *_ = [*target.split("/", 2), "", ""]
    if only and tenant not in ("", only):
        return asked
    asked.append(("explain.queue", _queue(plain_name(domain), only or tenant, campaign)))
    return asked


def merged(answers: Mapping[int, Any]) -> tuple[list[dict[str, Any]], int]:
    """The explanations of all workers, those nearest to the wire first, and how many more there
    are. A worker answers with a list, or with ``{"explanations", "more"}`` where it has more."""
    found: list[dict[str, Any]] = []
    more = 0
    for number, answer in answers.items():
        rows = answer or []
        if isinstance(answer, Mapping):
            rows, more = answer["explanations"], more + int(answer["more"])
        found += [{"worker": number, **row} for row in rows]
    found.sort(key=_nearness)
    more += max(0, len(found) - EXPLANATIONS_MAX)
    return found[:EXPLANATIONS_MAX], more


def _nearness(row: Mapping[str, Any]) -> tuple[int, float, int, str]:
    state = str(row["state"])
    order = _STATES.index(state) if state in _STATES else len(_STATES)
    position = row.get("position")
    soon = float(row.get("next_attempt") or 0)
    return order, soon, position if position is not None else 1 << 62, str(row["id"])


def _queue(
    domain: str, tenant: str = "", campaign: str = "", recipient: str = ""
) -> dict[str, str]:
    return {"domain": domain, "tenant": tenant, "campaign": campaign, "recipient": recipient}
