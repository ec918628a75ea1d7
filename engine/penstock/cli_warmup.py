"""``penstock warmup``: how far sources are warmed up, and orders about it, by the daemon."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from penstock.cli_common import (
    CONFIG,
    WRONG,
    AsJson,
    CommandError,
    Config,
    ask,
    asking,
    print_json,
    user_name,
)

app = typer.Typer(no_args_is_help=True)

Source = Annotated[str, typer.Argument(metavar="SOURCE", help="A source of sources.toml.")]
Provider = Annotated[
    str,
    typer.Option("--provider", "-p", help='At this provider only; "other": domains of none.'),
]
Reason = Annotated[str, typer.Option("--reason", help="Why, for the log and for others.")]
_BAR = 24
_BLOCKS = "▁▂▃▄▅▆▇█"
_SHOWN_DAYS = 30
_MARKS = {"advance": "", "hold": "=", "back": "<"}


@app.command()
@asking
def show(
    source: Annotated[str, typer.Argument(metavar="[SOURCE]", help="This source only.")] = "",
    provider: Provider = "",
    config: Config = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show how far each source is at each provider, and when it will be warm."""
    answer = ask(config, "warmup.show", {"source": source, "provider": provider or None})
    if as_json:
        print_json(answer)
        return
    for row in answer["rows"]:
        typer.echo("\n".join(lines_of(row)))
    for name in answer["unused"]:
        typer.echo(f"{name}: has a plan and has sent nothing yet")
    if not answer["rows"] and not answer["unused"]:
        typer.echo("no source is warmed up: none names a plan as warmup in sources.toml")


@app.command()
@asking
def start(
    source: Source,
    provider: Provider = "",
    reason: Reason = "",
    config: Config = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Begin again at the first day of the plan."""
    _order("start", config, as_json, source=source, provider=provider, reason=reason)


@app.command()
@asking
def hold(
    source: Source,
    provider: Provider = "",
    reason: Reason = "",
    config: Config = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Stay at the day of the plan that it is at, however well it goes."""
    _order("hold", config, as_json, source=source, provider=provider, reason=reason)


@app.command()
@asking
def resume(
    source: Source,
    provider: Provider = "",
    reason: Reason = "",
    config: Config = CONFIG,
    as_json: AsJson = False,
) -> None:
    """End a hold; also send again today where a block has stopped it."""
    _order("resume", config, as_json, source=source, provider=provider, reason=reason)


@app.command("set")
@asking
def set_(
    source: Source,
    day: Annotated[int, typer.Option("--day", min=0, help="This day of the plan, from 1.")] = 0,
    warm: Annotated[bool, typer.Option("--warm", help="It is warm: no limit by a plan.")] = False,
    provider: Provider = "",
    reason: Reason = "",
    config: Config = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Set it to a day of its plan, or to warm."""
    if bool(day) == warm:
        raise CommandError("give either --day or --warm", WRONG)
    more = {"day": day, "warm": warm}
    _order("set", config, as_json, source=source, provider=provider, reason=reason, **more)


@app.command()
@asking
def complained(
    source: Source,
    provider: Provider = "",
    count: Annotated[int, typer.Option("--count", min=1, help="So many more today.")] = 1,
    reason: Reason = "",
    config: Config = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Count complaints of a provider's feedback reports: too many hold the plan."""
    if not provider:
        raise CommandError("say whose report it is: --provider", WRONG)
    params = {"source": source, "provider": provider, "reason": reason, "count": count}
    _order("complained", config, as_json, **params)


def _order(verb: str, config: str, as_json: bool, **params: Any) -> None:
    params["provider"] = params["provider"] or None
    answer = ask(config, f"warmup.{verb}", {**params, "who": user_name()})
    if as_json:
        print_json(answer)
        return
    for row in answer["rows"]:
        typer.echo(lines_of(row)[0])


def lines_of(row: dict[str, Any]) -> list[str]:
    """A pair as text: where it stands, its days, when it is warm."""
    name = f"{row['source']} → {row['provider'] or 'other'}"
    if row["warm"]:
        return [f"{name}: warm (plan {row['plan']})"]
    filled = round(_BAR * (row["day"] - 1) / row["days"])
    bar = "█" * filled + "░" * (_BAR - filled)
    state = f"held: {row['held']}" if row["held"] else ""
    state = f"stopped today: {row['stopped']}" if row["stopped"] else state
    head = (
        f"{name}: {bar} day {row['day']} of {row['days']}, {row['sent']:,} of "
        f"{row['messages']:,} used today" + (f"; {state}" if state else "")
    )
    lines = [head]
    history = [day for day in row["history"] if day["messages"]][-_SHOWN_DAYS:]
    if history:
        lines.append(f"    {_sparks([day['sent'] for day in history])}")
        marks = "".join(_MARKS[day["verdict"]] or " " for day in history).rstrip()
        if marks:
            lines.append(f"    {marks}   = held, < set back")
        last = row["history"][-1]
        lines.append(f"    {last['date']}: {last['verdict']}: {last['reason']}")
    forecast = f"    plan {row['plan']}, "
    if row["warm_on"] is None:
        forecast += "no end while it is held"
    else:
        forecast += f"warm on {row['warm_on']} at best"
        if row["warm_on_at_pace"] not in (None, row["warm_on"]):
            forecast += f", {row['warm_on_at_pace']} at the pace of the last days"
    if not row["now"]:
        at = time.strftime("%Y-%m-%d %H:%M", time.localtime(row["next_at"]))
        forecast += f"; more may go at {at}"
    return [*lines, forecast]


def _sparks(numbers: list[int]) -> str:
    most = max([*numbers, 1])
    return "".join(_BLOCKS[round((len(_BLOCKS) - 1) * n / most)] for n in numbers)
