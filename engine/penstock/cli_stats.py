"""``penstock stats``: what became of the mail, by hour, tenant, campaign, provider or class."""

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
    asking,
    duration,
    print_json,
)
from penstock.cli_show import console, plain

app = typer.Typer(invoke_without_command=True)
_BY = ("hour", "tenant", "campaign", "provider", "class")
_COUNTS = ("accepted", "sent", "delivered", "deferred", "bounced", "expired", "suppressed")
_FEEDBACK = ("complaints", "unsubscribes")
_RATES = (
    ("delivered", "delivered"),
    ("deferred", "deferred"),
    ("hard bounced", "hard_bounced"),
    ("complaints", "complaints"),
    ("unsubscribes", "unsubscribes"),
)


@app.callback()
@asking
def stats(
    tenant: Annotated[str | None, typer.Option("--tenant", help="Of this tenant.")] = None,
    campaign: Annotated[str | None, typer.Option("--campaign", help="Of this campaign.")] = None,
    provider: Annotated[
        str | None, typer.Option("--provider", "-p", help='To this provider; "": to none of them.')
    ] = None,
    class_: Annotated[str | None, typer.Option("--class", help="Of this class of mail.")] = None,
    since: Annotated[
        str, typer.Option("--since", help="How far back, like 24h or 30d; whole hours.")
    ] = "24h",
    by: Annotated[str, typer.Option("--by", help=f"A row for each {', '.join(_BY)}.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="Rows at most.")] = 50,
    config: Config = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show what became of the mail: counts and rates."""
    if by and by not in _BY:
        raise CommandError(f"--by: no {by!r}; there are {', '.join(_BY)}", WRONG)
    asked = {
        "tenant": tenant,
        "campaign": campaign,
        "provider": provider,
        "class": class_,
        "since_s": duration(since),
        "by": by,
        "limit": limit,
    }
    answer = ask(config, "stats", asked)
    if as_json:
        print_json(answer)
    else:
        show_stats(answer)


def show_stats(answer: Mapping[str, Any]) -> None:
    """What ``stats`` of the control socket answered, as tables."""
    out = console()
    since = time.strftime("%Y-%m-%d %H:%M", time.localtime(answer["since"]))
    out.print(f"since {since}")
    table = Table(box=None, pad_edge=False, header_style="bold")
    by = answer["by"]
    table.add_column(by or "")
    for heading in (*_COUNTS, *_FEEDBACK, *(f"% {heading}" for heading, _ in _RATES)):
        table.add_column(heading, justify="right")
    for row in answer["rows"]:
        table.add_row(plain(_name(by, row)), *_figures(row))
    table.add_row("total", *_figures(answer["total"]), style="bold" if by else "")
    out.print(table)
    if answer["more"]:
        out.print(f"and {answer['more']} more (see --limit)")
    if answer["total"]["cancelled"]:
        out.print(f"cancelled: {answer['total']['cancelled']:,}")
    bounces = answer["total"]["bounces"]
    if bounces:
        told = ", ".join(f"{name} {count:,}" for name, count in bounces.items())
        out.print(f"bounced: {plain(told)}")


def _name(by: str, row: Mapping[str, Any]) -> str:
    if by == "hour":
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(row["hour"]))
    if by == "campaign":
        return f"{row['tenant'] or '-'}/{row['campaign'] or '-'}"
    return str(row[by]) or "-"


def _figures(row: Mapping[str, Any]) -> list[str]:
    counts = [f"{row[name]:,}" for name in (*_COUNTS, *_FEEDBACK)]
    shares = [row["rates"][name] for _, name in _RATES]
    return counts + ["-" if share is None else f"{share * 100:.2f}" for share in shares]
