"""Tasks that nobody waits for: where one fails, the log says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import structlog

log = structlog.get_logger("penstock.supervisor")


def logged(message: str) -> Callable[[asyncio.Future[Any]], None]:
    """A done-callback for what is done by itself."""

    def done(task: asyncio.Future[Any]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error(message, reason=str(error))

    return done
