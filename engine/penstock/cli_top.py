"""``penstock top``: what goes where at this moment, a line for each provider and source.

On a terminal it moves, and takes keys: ``s`` the next column to sort by, ``r`` the other way round,
``/`` a filter, ``q`` the end. Anywhere else it prints one table. Whatever ends it, the terminal is
as it was before.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from penstock.cli_common import CommandError
from penstock.cli_show import REPLY_CHARS_MAX, ago, console, operation_text, plain, time_left

Row = Mapping[str, Any]
SORTS: dict[str, Callable[[Row], Any]] = {
    "queued": lambda row: row["queued"],
    "ready": lambda row: row["ready"],
    "in-flight": lambda row: row["in_flight"],
    "rate": lambda row: row["rate_per_s"],
    "deferred": lambda row: row["deferral_share"] or 0.0,
    "provider": lambda row: (row["provider"], row["source"]),
    "source": lambda row: (row["source"], row["provider"]),
}
_UPWARDS = ("provider", "source")  # names; figures begin with the largest
_FILTER_CHARS_MAX = 100
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_HELP = "s sort   r reverse   / filter   q quit"
_QUIT, _ESCAPE, _ENTER, _ERASE = "q", "\x1b", "\r\n", "\x7f\b"


@dataclass(slots=True)
class View:
    """How the user wants to see it. ``typing``: keys go to the filter."""

    sort: str = "queued"
    reverse: bool = False
    filter: str = ""
    typing: bool = False

    def key(self, key: str) -> bool:
        """One key was pressed; whether that is the end."""
        if self.typing:
            self._typed(key)
        elif key == _QUIT:
            return True
        elif key == "s":
            names = list(SORTS)
            self.sort, self.reverse = names[(names.index(self.sort) + 1) % len(names)], False
        elif key == "r":
            self.reverse = not self.reverse
        elif key == "/":
            self.typing = True
        elif key == _ESCAPE:
            self.filter = ""
        return False

    def rows(self, rows: Iterable[Row]) -> list[Row]:
        """Those that the filter lets through, in order."""
        wanted = self.filter.lower()
        found = [row for row in rows if wanted in f"{row['provider']} {row['source']}".lower()]
        down = (self.sort not in _UPWARDS) != self.reverse
        return sorted(found, key=SORTS[self.sort], reverse=down)

    def _typed(self, key: str) -> None:
        if key in _ENTER:
            self.typing = False
        elif key == _ESCAPE:
            self.typing, self.filter = False, ""
        elif key in _ERASE:
            self.filter = self.filter[:-1]
        elif key.isprintable() and len(self.filter) < _FILTER_CHARS_MAX:
            self.filter += key


def show_once(answer: Mapping[str, Any], view: View) -> None:
    """One table, for a pipe or a look."""
    console().print(picture(answer, view, time.time()))


def watch(ask: Callable[[], Mapping[str, Any]], view: View, interval_s: float) -> None:
    """Until ``q`` or Ctrl-C, asking every ``interval_s`` seconds. A daemon that restarts is waited
    for; one that is not there at first is an error."""
    answer, trouble = ask(), ""
    out = console()
    with (
        contextlib.suppress(KeyboardInterrupt, EOFError),
        unwound_by_signals(),
        keys(sys.stdin.fileno()) as pressed,
        Live(console=out, screen=True, auto_refresh=False) as live,
    ):
        at = time.monotonic()
        while True:
            shown = picture(answer, view, time.time())
            with undisturbed():
                live.update(Group(shown, Text(_foot(view, trouble), style="dim")), refresh=True)
            for key in pressed(max(0.0, at + interval_s - time.monotonic())):
                if view.key(key):
                    return
            if time.monotonic() >= at + interval_s:
                at = time.monotonic()
                try:
                    answer, trouble = ask(), ""
                except CommandError as error:
                    trouble = str(error).partition("\n")[0]


def picture(answer: Mapping[str, Any], view: View, now: float) -> RenderableType:
    """Everything that is to be seen but the help."""
    operations = {one["id"]: one for one in answer["operations"]}
    rows = view.rows(answer["rows"])
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading, name in (
        ("provider", "provider"),
        ("source", "source"),
        ("queued", "queued"),
        ("ready", "ready"),
        ("in flight", "in-flight"),
        ("rate", "rate"),
        ("limit", ""),
        ("deferred", "deferred"),
        ("held", ""),
        ("last replies", ""),
    ):
        right = name in SORTS and name not in _UPWARDS
        mark = (" ^" if (view.sort in _UPWARDS) != view.reverse else " v") * (view.sort == name)
        table.add_column(heading + mark, justify="right" if right else "left", no_wrap=True)
    for row in rows:
        table.add_row(*_cells(row, operations, now))
    parts: list[RenderableType] = [table if rows else Text("nothing is queued or was sent lately")]
    if operations:
        parts += [Text(), _in_force(answer["operations"], now)]
    if answer["away"]:
        numbers = ", ".join(map(str, answer["away"]))
        parts += [Text(), Text(f"worker {numbers} is not there: its mail is not counted")]
    return Group(*parts)


def _cells(row: Row, operations: Mapping[str, Any], now: float) -> list[str]:
    share = row["deferral_share"]
    held = [operations[number] for number in row["operations"] if number in operations]
    return [
        plain(row["provider"] or "-"),
        plain(row["source"]),
        f"{row['queued']:,}",
        f"{row['ready']:,}",
        f"{row['in_flight']:,}",
        rate_text(row["rate_per_s"]),
        _limit(row),
        "-" if share is None else f"{share:.0%}",
        plain(", ".join(f"{one['id']} {one['verb']} {_left(one, now)}" for one in held)),
        "\n".join(f"{n}x {plain(str(text)[:REPLY_CHARS_MAX])}" for n, text in row["replies"]),
    ]


def _in_force(operations: Iterable[Mapping[str, Any]], now: float) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    for one in operations:
        selector = " ".join(f"{name}={value}" for name, value in one["selector"].items())
        cells = (one["id"], operation_text(one), selector, time_left(one, now), one["reason"])
        table.add_row(*map(plain, cells))
    return table


def rate_text(per_s: float) -> str:
    """``12.5/s``; what is slow, by the minute or the hour."""
    for factor, unit in ((1.0, "s"), (60.0, "min")):
        if per_s * factor >= 1 or per_s == 0:
            return f"{round(per_s * factor, 1):g}/{unit}"
    return f"{round(per_s * 3600, 1):g}/h"


def _limit(row: Row) -> str:
    """The rate, and whether it was found from the replies."""
    per_s = row["limit_per_s"]
    if per_s is None:
        return "-"
    if not str(row.get("limit_where") or "").startswith("pace: "):
        return rate_text(per_s)
    return f"{rate_text(per_s)} pace" if per_s else "paused"


def _left(operation: Mapping[str, Any], now: float) -> str:
    return ago(max(0.0, operation["until"] - now)) if operation["until"] else ""


def _foot(view: View, trouble: str) -> str:
    if view.typing:
        return f"\nfilter: {view.filter}_   (Enter keeps it, Esc clears it)"
    filtered = f"   filter: {view.filter} (Esc clears it)" if view.filter else ""
    return f"\n{trouble or _HELP}{filtered}"


@contextlib.contextmanager
def keys(fd: int) -> Iterator[Callable[[float], str]]:
    """A function that waits for keys so many seconds; the terminal gives them one by one until the
    end. ``EOFError`` when the terminal has gone away."""
    before = termios.tcgetattr(fd)
    waker, woken = socket.socketpair()  # for a signal that comes just before the wait

    def pressed(timeout_s: float) -> str:
        ready, _, _ = select.select([fd, woken.fileno()], [], [], timeout_s)
        if fd not in ready:
            return ""
        try:
            keys = os.read(fd, 64).decode("utf-8", "replace")
        except OSError:
            keys = ""
        if not keys:
            raise EOFError
        return "" if len(keys) > 1 and keys.startswith(_ESCAPE) else keys  # no arrows here

    with waker, woken:
        waker.setblocking(False)
        before_waker = signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        tty.setcbreak(fd)
        try:
            yield pressed
        finally:
            signal.set_wakeup_fd(before_waker)
            with contextlib.suppress(termios.error):
                termios.tcsetattr(fd, termios.TCSADRAIN, before)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """A signal waits until this is done. One that cuts a drawing short leaves the console in the
    middle of it: what is drawn after that, the way back to the old screen too, is kept back."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def unwound_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end the program by way of everything that wants to tidy up."""

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    ends = [number for number in _ENDING if number != signal.SIGINT]
    before = {number: signal.signal(number, end) for number in ends}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
