"""Recorded replies: lines of the attempt log in either format, or of JSON, as a replay takes them.

Other lines of a log are passed over; a line that makes no sense is :class:`BadRecord`.
"""

from __future__ import annotations

import datetime
import json
from typing import Any

from penstock.events.attempts import parse
from penstock.feedback.normalise import of_text
from penstock.feedback.replay import Heard, Replay
from penstock.mail.outcome import Phase

LINE_BYTES_MAX = 1 << 20
_KINDS = ("deferred", "bounced")
_PHASES = {phase.value: phase for phase in Phase}


class BadRecord(ValueError):
    """Why a line cannot be read."""


def heard_in(line: bytes) -> Heard | None:
    """The reply in one line; ``None`` for a line of another kind, such as a delivery."""
    text = line.decode("utf-8", "replace").strip()
    fields = parse(text)
    if fields is not None:
        return _of_log(fields)
    if not text.startswith("{"):
        return None
    found = object_of(line)
    if "event" in found:
        return None
    if not isinstance(found.get("reply"), str):
        raise BadRecord('the key "reply" is missing, or no text')
    return Heard(
        str(found.get("provider") or ""),
        of_text(found["reply"]),
        _PHASES.get(str(found.get("phase"))),
        rule=_text(found, "rule"),
        category=_text(found, "category"),
    )


def _of_log(fields: dict[str, str]) -> Heard | None:
    expired = fields.get("category") == "expired"  # its last reply has a line of its own
    if fields.get("kind") not in _KINDS or expired:
        return None
    reply = " ".join(fields.get(name, "") for name in ("code", "enhanced", "reply"))
    return Heard(
        fields.get("provider", ""),
        of_text(reply),
        _PHASES.get(fields.get("phase", "")),
        fields.get("source", ""),
        _moment(fields.get("ts", "")),
        fields.get("rule"),
        fields.get("category"),
    )


def _text(found: dict[str, Any], key: str) -> str | None:
    value = found.get(key)
    return value if isinstance(value, str) else None


def _moment(text: str) -> float | None:
    try:
        return datetime.datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def as_data(replay: Replay, passed: int) -> dict[str, Any]:
    """For programs."""
    rows = [
        {
            "provider": provider,
            "rule": row.rule,
            "category": row.category,
            "action": row.action,
            "replies": row.replies,
            "fired": row.fired,
            "changed": row.changed,
            "was": dict(row.was),
        }
        for provider, rows in replay.providers().items()
        for row in rows
    ]
    return {"rows": rows, "passed_over": passed}


def object_of(line: bytes) -> dict[str, Any]:
    """The JSON object in ``line``; :class:`BadRecord` where there is none."""
    if len(line) >= LINE_BYTES_MAX:
        raise BadRecord(f"longer than {LINE_BYTES_MAX} bytes")
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadRecord(f"not JSON: {error}") from None
    if not isinstance(found, dict):
        raise BadRecord(f"expected an object, not {type(found).__name__}")
    return found
