"""Asking all workers at once: those that must all answer, and those that may be away."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

from penstock.control import ControlError


class Worker(Protocol):
    """What is needed of a :class:`~penstock.daemon.children.Child`."""

    number: int

    async def call(self, method: str, params: Any = None, timeout_s: float = 30.0) -> Any: ...


async def ask_all(
    workers: Sequence[Worker], method: str, params: Any, timeout_s: float = 30.0
) -> list[Any]:
    """The answers of all workers; a worker that is away makes the whole call fail."""
    try:
        return list(await asyncio.gather(*(one.call(method, params, timeout_s) for one in workers)))
    except ConnectionError as error:
        raise ControlError("unavailable", str(error)) from None


async def ask_those_there(
    workers: Sequence[Worker], method: str, params: Any, timeout_s: float = 30.0
) -> tuple[dict[int, Any], list[int]]:
    """The answers by worker, and the numbers of those that are away or starting. What a worker
    refuses for another reason is raised, once all have answered."""
    answers = await asyncio.gather(
        *(one.call(method, params, timeout_s) for one in workers), return_exceptions=True
    )
    found: dict[int, Any] = {}
    away: list[int] = []
    for worker, answer in zip(workers, answers, strict=True):
        starting = isinstance(answer, ControlError) and answer.code == "starting"
        if starting or isinstance(answer, ConnectionError):
            away.append(worker.number)
        elif isinstance(answer, BaseException):
            raise answer
        else:
            found[worker.number] = answer
    return found, away
