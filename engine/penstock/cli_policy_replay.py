"""``penstock policy replay``: a log of attempts read again by the rules of the policies.

A record is a line of the attempt log in either format, or ``{"provider": ..., "reply": ...}``.
Other lines of the log are passed over.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

import typer

from penstock.cli_classify import lines_of
from penstock.events.recorded import BadRecord, heard_in
from penstock.feedback.replay import Replay, Row

if TYPE_CHECKING:
    from penstock.feedback.classify import Classifier

_WAS_SHOWN = 3


def replay_log(path: str, new: Classifier, old: Classifier | None) -> tuple[Replay, int]:
    """What is in the log ``path`` (``-``: standard input), and how many of its lines were no
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
    return replay, passed


@contextmanager
def _opened(path: str) -> Iterator[IO[bytes]]:
    if path == "-":
        yield sys.stdin.buffer
        return
    with open(path, "rb") as stream:
        yield stream


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
