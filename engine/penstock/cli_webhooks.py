"""``penstock webhooks``: how the endpoints are that are told of events, and orders about them."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Annotated, Any

import typer

from penstock.cli_common import (
    CONFIG,
    FAILED,
    WRONG,
    AsJson,
    CommandError,
    Config,
    ask,
    asking,
    duration,
    print_json,
    user_name,
)

app = typer.Typer(no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="A webhook of config.toml.")]


@app.command("list")
@asking
def list_(config: Config = CONFIG, as_json: AsJson = False) -> None:
    """Show each endpoint: whether it answers, what waits for it, what it was never given."""
    answer = ask(config, "webhooks.list")
    if as_json:
        print_json(answer)
        return
    for row in answer["endpoints"]:
        typer.echo("\n".join(lines_of(row)))
    if not answer["endpoints"]:
        typer.echo("no webhooks: there is no [[webhook]] in the settings")


@app.command("test")
@asking
def try_(name: Name, config: Config = CONFIG, as_json: AsJson = False) -> None:
    """Send one event made for this, past the queue, and show the answer."""
    answer = ask(config, "webhooks.test", {"name": name, "who": user_name()}, timeout_s=180.0)
    if as_json:
        print_json(answer)
    else:
        typer.echo(f"{name}: event {answer['event']}: {said(answer)} in {answer['duration_s']:g} s")
    if answer["result"] != "delivered":
        raise typer.Exit(FAILED)


@app.command()
@asking
def enable(name: Name, config: Config = CONFIG, as_json: AsJson = False) -> None:
    """Deliver again after a 410 Gone; also end a pause after failures at once."""
    answer = ask(config, "webhooks.enable", {"name": name})
    if as_json:
        print_json(answer)
        return
    what = "enabled" if answer["was_disabled"] else "was not disabled; it is tried now"
    typer.echo(f"{name}: {what}")


@app.command()
@asking
def replay(
    name: Name,
    since: Annotated[
        str,
        typer.Option("--since", help="From here on: 2026-01-31T12:00Z, or 6h for six hours ago."),
    ],
    config: Config = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Deliver what happened since then once more, from the event log; ids stay the same."""
    params = {"name": name, "since_s": moment_s(since)}
    answer = ask(config, "webhooks.replay", params)
    if as_json:
        print_json(answer)
        return
    more = "; it is disabled: penstock webhooks enable" if answer["disabled"] else ""
    typer.echo(f"{name}: events since {answer['since']} are delivered once more{more}")


def moment_s(text: str) -> float:
    """A time given as an option, in seconds since the epoch; without a zone it is local time."""
    if text[:4].isdigit() and "-" in text:
        try:
            return datetime.fromisoformat(text).timestamp()
        except (ValueError, OverflowError):
            raise CommandError(f"--since: not a time: {text!r}", WRONG) from None
    return time.time() - duration(text)


def lines_of(row: dict[str, Any]) -> list[str]:
    """One endpoint as text."""
    whose = "all tenants" if row["tenant"] == "*" else row["tenant"]
    lines = [f"{row['name']}: {row['state']}, {row['url']} ({whose})"]
    if row["events"]:
        lines.append(f"    told of {', '.join(row['events'])}")
    waiting = f"    {row['waiting']:,} waiting"
    if row["waiting"]:
        waiting += f", the oldest {row['lag_s']:,.0f} s old"
    if row["behind"]:
        waiting += ", a part of them in the event log"
    lines.append(waiting)
    if row["disabled_at"]:
        lines.append(f"    disabled at {row['disabled_at']}: {row['disabled_why']}")
    if row["last"]:
        lines.append(f"    last try at {row['last_at']}: {said(row['last'])}")
    if row["failures"]:
        lines.append(f"    failures in a row: {row['failures']}; tried at {row['next_try_at']}")
    if row["dead"] or row["missed"]:
        lines.append(
            f"    never given: {row['dead']:,} after the last try, "
            f"{row['missed']:,} deleted from the log before"
        )
    return lines


def said(answer: dict[str, Any]) -> str:
    """What an attempt came to."""
    parts = [answer["result"]]
    if answer["status"]:
        parts.append(str(answer["status"]))
    text = " ".join(parts)
    return f"{text}: {answer['reply']}" if answer["reply"] else text
