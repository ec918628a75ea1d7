"""Answers of the daemon as tables for people. Remote text is escaped: it is not ours to trust."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape as escape_markup
from rich.table import Table

from penstock.events.escape import quoted

REPLY_CHARS_MAX = 100
_FILE_COLUMNS = 240  # a pipe has no width: a line each, for grep


def console() -> Console:
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=_FILE_COLUMNS)


def plain(value: object) -> str:
    """``value`` in printable characters, its markup harmless."""
    return escape_markup(quoted(str(value))[1:-1].replace('\\"', '"'))


def ago(seconds: float) -> str:
    """``3725`` as ``1h02m``: two units at most."""
    whole = int(abs(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86_400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86_400}d{whole % 86_400 // 3600:02d}h"


def when(at: float, now: float) -> str:
    if at <= now:
        return "now"
    return f"in {ago(at - now)}"


def show_rows(rows: Iterable[Mapping[str, Any]], total: int) -> None:
    """Queued recipients, a line each."""
    now = time.time()
    table = Table(box=None, pad_edge=False, header_style="bold")
    headings = ("id", "state", "why", "due", "tries", "provider", "recipient", "last reply")
    for heading in headings:
        table.add_column(heading, overflow="fold", no_wrap=heading in headings[:4])
    count = 0
    for row in rows:
        count += 1
        due = when(row["due"], now) if row["state"] == "scheduled" else ""
        table.add_row(
            plain(row["id"]),
            plain(row["state"]),
            plain(row.get("reason", "")),
            due,
            str(row["attempts"]),
            plain(row["provider"] or "-"),
            plain(row["recipient"]),
            plain(row["last_reply"][:REPLY_CHARS_MAX]),
        )
    out = console()
    if count:
        out.print(table)
    more = f", {total - count} more (see --limit)" if total > count else ""
    out.print(f"{total} queued{more}")


def show_message(answer: Mapping[str, Any]) -> None:
    """One message: its envelope, then its recipients that are still queued."""
    out = console()
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, value in answer["message"].items():
        shown = _time(value) if name in ("received_at", "expires_at") else value
        if name != "recipients" and shown not in ("", [], {}, None):
            table.add_row(plain(name), plain(shown))
    out.print(table)
    show_rows(answer["recipients"], len(answer["recipients"]))


def _show_collector(out: Console, found: Mapping[str, Any] | None) -> None:
    """How far the readers of the event log are behind; a daemon of before has none."""
    if not found or not found["enabled"]:
        return
    if not found["ready"]:
        out.print("collector: away; events wait in the log")
        return
    out.print(f"collector: pid {found['pid']}")
    for one in found["consumers"]:
        if one["failures"]:
            text = f"failed {one['failures']} times in a row: {one['error']}"
        elif one["lag_events"] or one["lag_s"]:
            text = f"{one['lag_events']:,} events behind, {ago(one['lag_s'])}"
        else:
            text = "up to date"
        out.print(f"  {plain(one['name'])}: {plain(text)}")


def show_status(answer: Mapping[str, Any]) -> None:
    """The daemon, its workers, and what operators ordered."""
    out = console()
    state = "ready" if answer["ready"] else "not ready"
    out.print(
        f"penstock {plain(answer['version'])}, {state}, pid {answer['pid']}, "
        f"up {ago(answer['uptime_s'])}, delivery: {plain(answer['delivery'])}"
    )
    for reason in answer["reasons"]:
        out.print(f"  {plain(reason)}")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("worker", "pid", "shards", "queued", "ready", "in flight", "connections"):
        table.add_column(heading, justify="left" if heading == "worker" else "right")
    for worker in answer["workers"]:
        figures = [worker.get(name) for name in ("entries", "ready", "in_flight", "connections")]
        table.add_row(
            str(worker["number"]),
            str(worker["pid"]),
            ",".join(map(str, worker["shards"])),
            *("-" if figure is None else f"{figure:g}" for figure in figures),
        )
    out.print(table)
    _show_collector(out, answer.get("collector"))
    if answer["operations"]:
        out.print()
        show_operations(answer["operations"])


def show_operations(operations: Iterable[Mapping[str, Any]]) -> None:
    """What operators ordered and what still holds, a line each."""
    now = time.time()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("id", "what", "which mail", "since", "time left", "who", "why"):
        table.add_column(heading, overflow="fold", no_wrap=heading not in ("which mail", "why"))
    for one in operations:
        selector = " ".join(f"{name}={value}" for name, value in one["selector"].items())
        table.add_row(
            plain(one["id"]),
            plain(operation_text(one)),
            plain(selector),
            _time(one["since"]),
            plain(time_left(one, now)),
            plain(one["who"]),
            plain(one["reason"]),
        )
    out = console()
    out.print(table if table.row_count else "no operation is in force")


def operation_text(operation: Mapping[str, Any]) -> str:
    """``reroute to warm``: the verb and what goes with it."""
    verb, args = str(operation["verb"]), operation.get("args") or {}
    if verb == "reroute":
        return f"reroute to {args.get('pool', '')}"
    if verb == "expire":
        return f"expire at {_time(args.get('expires_at'))}"
    return f"{verb}, senders are told" if args.get("tell") else verb


def time_left(operation: Mapping[str, Any], now: float) -> str:
    if operation["until"]:
        return ago(max(0.0, operation["until"] - now))
    return "until done" if "before" in (operation.get("args") or {}) else "until cancelled"


def _time(at: object) -> str:
    if not isinstance(at, int | float) or not at:
        return ""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def show_unmatched(answer: Mapping[str, Any]) -> None:
    """Replies without a rule, a line each."""
    out = console()
    if not answer["rows"]:
        out.print("every reply so far was known to a rule")
    else:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for heading in ("count", "provider", "by its code", "reply"):
            table.add_column(heading, overflow="fold", no_wrap=heading != "reply")
        for row in answer["rows"]:
            named = row["provider"] or "-"
            table.add_row(*map(plain, (row["count"], named, row["category"], row["reply"])))
        out.print(table)
        more = answer["total"] - len(answer["rows"])
        if more > 0:
            out.print(f"and {more} more texts; --limit shows more")
    if answer["away"]:
        numbers = ", ".join(map(str, answer["away"]))
        out.print(f"worker {numbers} could not be asked: it is starting")
