"""``penstock tls report``: what was seen of the TLS of other domains, and telling them of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.table import Table

from penstock.cli_common import (
    CONFIG,
    WRONG,
    AsJson,
    CommandError,
    Config,
    ask,
    command,
    print_json,
)
from penstock.cli_show import console, plain

SEND_S = 600.0


@command
def report(
    day: Annotated[str, typer.Option("--day", help="In UTC, like 2026-11-28; else the last.")] = "",
    domain: Annotated[
        str, typer.Option("--domain", "-d", help="The report to this domain, as it is sent.")
    ] = "",
    send: Annotated[
        bool, typer.Option("--send", help="Send it now, or all of the day that were not sent.")
    ] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="Rows at most.")] = 50,
    config: Config = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show what was seen of TLS in a day, by domain, and the reports on it (RFC 8460)."""
    if day:
        try:
            time.strptime(day, "%Y-%m-%d")
        except ValueError:
            raise CommandError(f"--day: not a day like 2026-11-28: {day!r}", WRONG) from None
    asked = {"day": day, "domain": domain}
    if send:
        answer = ask(config, "tls.send", asked, timeout_s=SEND_S)
    else:
        answer = ask(config, "tls.report", {**asked, "limit": limit})
    if as_json or (domain and not send):
        found = answer if send or not domain else answer["report"]
        if found is None:
            raise CommandError(f"nothing was seen of {domain} on {answer['day']}")
        print_json(found)
    elif send:
        show_sent(answer)
    else:
        show_days(answer)


def show_days(answer: Mapping[str, Any]) -> None:
    """What ``tls.report`` answered, as a table."""
    out = console()
    out.print(f"{answer['day']} (UTC)")
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("domain")
    table.add_column("succeeded", justify="right")
    table.add_column("failed", justify="right")
    table.add_column("report")
    for row in answer["domains"]:
        table.add_row(
            plain(row["domain"]), f"{row['succeeded']:,}", f"{row['failed']:,}", plain(_state(row))
        )
    out.print(table)
    more = answer["total"] - len(answer["domains"])
    if more > 0:
        out.print(f"and {more} more (see --limit)")


def _state(row: Mapping[str, Any]) -> str:
    if not row["state"]:
        return "not due"
    text = str(row["state"])
    if text == "due":
        text += time.strftime(" %Y-%m-%d %H:%M", time.localtime(row["due_at"]))
    return f"{text}: {row['note']}" if row["note"] else text


def show_sent(answer: Mapping[str, Any]) -> None:
    """What ``tls.send`` answered, a line for each report."""
    for one in answer["sent"]:
        note = f": {one['note']}" if one["note"] else ""
        typer.echo(f"{one['domain']}: {one['state']}{note}")
    if not answer["sent"]:
        typer.echo(f"{answer['day']}: no report that was not sent")
