"""Ordinary log records: structlog, as ``key=value`` for people or JSON for machines.

What the standard library's loggers say (uvicorn, asyncio, libraries) goes through the same pipe, so
one process has one format. Two promises are kept in one place, whoever logs: no secrets and no
message content. A value under a name that sounds like a secret is replaced, content becomes its
length. Lines for attempts have their own, cheaper way: :mod:`penstock.events.attempts`.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import re
from collections.abc import MutableMapping
from typing import Any, Literal, TextIO

import structlog

from penstock.events.escape import bare, quoted
from penstock.events.types import Accepted, Expired, Rejected, Steered

VALUE_CHARS_MAX = 8000
_SECRET = re.compile(
    r"(?i)pass(word|wd|phrase)|secret|token|authorization|credential|private_key|api_key|cookie"
)
_CONTENT = frozenset({"body", "content", "data", "payload"})
_QUIET = (
    "mail",
    "mail.log",
    "uvicorn.access",
    "uvicorn.error",
    "asyncio",
)  # they say little at INFO, and often

Fields = MutableMapping[str, Any]


def configure(format: Literal["console", "json"], level: str, stream: TextIO) -> None:
    """Set up structlog and the standard loggers of this process. ``level``: ``"info"`` and such."""
    number = logging.getLevelNamesMapping()[level.upper()]
    render = _render_json if format == "json" else _render_console
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer())
        if format == "json"
        else structlog.processors.format_exc_info,
        _redact,
    ]
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, *shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))


def tell(event: Accepted | Rejected | Expired | Steered) -> None:
    """Log a record of :mod:`penstock.events.types`; its own time is kept as ``at``."""
    fields = {one.name: getattr(event, one.name) for one in dataclasses.fields(event)}
    if isinstance(event, Steered):
        fields["selector"] = ",".join(f"{name}={value}" for name, value in event.selector)
    logger = structlog.get_logger()
    log = logger.debug if isinstance(event, Accepted) else logger.info
    log(type(event).__name__.lower(), **fields)


def _redact(_logger: object, _method: str, fields: Fields) -> Fields:
    for name, value in fields.items():
        if _SECRET.search(name):
            fields[name] = "[redacted]"
        elif isinstance(value, bytes | bytearray | memoryview) or name in _CONTENT:
            size = len(value) if hasattr(value, "__len__") else 0
            fields[name] = f"[{size} bytes]"
    return fields


def _render_console(_logger: object, _method: str, fields: Fields) -> str:
    event = quoted(_text(fields.pop("event", "")))
    head = f"ts={fields.pop('ts', '')} level={fields.pop('level', '')} event={event}"
    return " ".join((head, *(f"{name}={bare(_text(value))}" for name, value in fields.items())))


def _render_json(_logger: object, _method: str, fields: Fields) -> str:
    return json.dumps(fields, default=_text, ensure_ascii=True)


def _text(value: object) -> str:
    return str(value)[:VALUE_CHARS_MAX]
