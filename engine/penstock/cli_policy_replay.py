"""``penstock policy replay``: a log of attempts read again by the rules of the policies.

A record is a line of the attempt log in either format, or ``{"provider": ..., "reply": ...}``.
Other lines of the log are passed over.
"""

from __future__ import annotations

import datetime
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

import typer

from penstock.cli_classify import BadLine, lines_of, object_of
from penstock.events.attempts import parse
from penstock.feedback.normalise import of_text
from penstock.feedback.replay import Heard, Replay, Row
from penstock.mail.outcome import Phase

if TYPE_CHECKING:
    from penstock.feedback.classify import Classifier

_KINDS = ("deferred", "bounced")
_WAS_SHOWN = 3
_PHASES = {phase.value: phase for phase in Phase}


def replay_log(path: str, new: Classifier, old: Classifier | None) -> tuple[Replay, int]:
    """What is in the log ``path`` (``-``: standard input), and how many of its lines were no
    records; bad ones are told on standard error."""
    replay, passed = Replay(new, old), 0
    with _opened(path) as stream:
        for number, line in lines_of(stream):
            try:
                heard = heard_in(line)
            except BadLine as error:
                typer.echo(f"penstock: line {number}: {error}", err=True)
                heard = None
            if heard is None:
                passed += 1
            else:
                replay.add(heard)
    return replay, passed


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
        raise BadLine('the key "reply" is missing, or no text')
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


@contextmanager
def _opened(path: str) -> Iterator[IO[bytes]]:
    if path == "-":
        yield sys.stdin.buffer
        return
    with open(path, "rb") as stream:
        yield stream


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


def show_replay(replay: Replay, passed: int) -> None:
    """A table for each provider."""
    from rich.table import Table

    from penstock.cli_show import console, plain

    out = console()
    providers = replay.providers()
    for provider, rows in providers.items():
        replies, changed = (sum(getattr(row, name) for row in rows) for name in _SUMS)
        out.print(f"{plain(provider or 'no provider')}: {replies} replies, {changed} changed")
        table = Table(box=None, pad_edge=False, header_style="bold")
        for heading in ("replies", "rule", "category", "action", "fired", "was"):
            table.add_column(heading, overflow="fold")
        for row in rows:
            fired = "" if row.fired is None else str(row.fired)
            cells = (row.replies, row.rule or "-", row.category, row.action or "-", fired)
            table.add_row(*map(plain, (*cells, _was(row))))
        out.print(table)
        out.print()
    if not providers:
        out.print("no replies in it: deliveries alone, or no log of attempts")
    if passed:
        out.print(f"{passed} other lines were passed over")


_SUMS = ("replies", "changed")


def _was(row: Row) -> str:
    shown = [f"{count} {text}" for text, count in row.was.most_common(_WAS_SHOWN)]
    more = len(row.was) - _WAS_SHOWN
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")
