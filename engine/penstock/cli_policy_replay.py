"""``penstock policy replay``: a log of attempts read again by the rules of the policies.

A record is a line of the attempt log in either format, or ``{"provider": ..., "reply": ...}``.
Other lines of the log are passed over.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from typing import IO, TYPE_CHECKING, Any

import typer

from penstock.cli_classify import lines_of
from penstock.events.recorded import BadRecord, as_data, heard_in
from penstock.feedback.replay import Replay

if TYPE_CHECKING:
    from penstock.feedback.classify import Classifier

_WAS_SHOWN = 3


def replay_log(path: str, new: Classifier, old: Classifier | None) -> dict[str, Any]:
    """What is in the log ``path`` (``-``: standard input), with how many of its lines were no
    records; bad ones are told on standard error."""
    replay, passed = Replay(new, old), 0
    with _opened(path) as stream:
        for number, line in lines_of(stream):
            try:
                heard = heard_in(line)
            except BadRecord as error:
                typer.echo(f"penstock: line {number}: {error}", err=True)
                heard = None
            if heard is None:
                passed += 1
            else:
                replay.add(heard)
    return as_data(replay, passed)


@contextmanager
def _opened(path: str) -> Iterator[IO[bytes]]:
    if path == "-":
        yield sys.stdin.buffer
        return
    with open(path, "rb") as stream:
        yield stream


def show_replay(found: dict[str, Any]) -> None:
    """A table for each provider, of what :func:`replay_log` has found, or a daemon."""
    from rich.table import Table

    from penstock.cli_show import console, plain

    out = console()
    for provider, group in groupby(found["rows"], key=lambda row: str(row["provider"])):
        rows = [*group]
        replies, changed = (sum(row[name] for row in rows) for name in ("replies", "changed"))
        out.print(f"{plain(provider or 'no provider')}: {replies} replies, {changed} changed")
        table = Table(box=None, pad_edge=False, header_style="bold")
        for heading in ("replies", "rule", "category", "action", "fired", "was"):
            table.add_column(heading, overflow="fold")
        for row in rows:
            fired = "" if row["fired"] is None else str(row["fired"])
            said = (row["replies"], row["rule"] or "-", row["category"], row["action"] or "-")
            cells = (*said, fired)
            table.add_row(*map(plain, (*cells, _was(row))))
        out.print(table)
        out.print()
    if not found["rows"]:
        out.print("no replies in it: deliveries alone, or no log of attempts")
    if found["passed_over"]:
        out.print(f"{found['passed_over']} other lines were passed over")


def _was(row: dict[str, Any]) -> str:
    was = Counter(row["was"])
    shown = [f"{count} {text}" for text, count in was.most_common(_WAS_SHOWN)]
    more = len(was) - _WAS_SHOWN
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")
