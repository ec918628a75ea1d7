"""``penstock queue``: see and steer the mail that waits, by way of the running daemon."""

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
from penstock.cli_select import selecting, shown

app = typer.Typer(no_args_is_help=True)

Reason = Annotated[str, typer.Option("--reason", help="Why, for the log and for others.")]
For = Annotated[str, typer.Option("--for", metavar="30m", help="How long; else until cancelled.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
_STEER_TIMEOUT_S = 300.0
_DONE = {
    "suspend": "suspended",
    "resume": "resumed",
    "bounce": "being bounced",
    "reroute": "rerouted",
    "retry": "due now",
    "expire": "with a new expiry",
    "cancel": "let go of",
}


@app.command("list")
@asking
@selecting(needed=False)
def list_queued(
    selector: dict[str, str],
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Rows at most.")] = 50,
    config: Config = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show what is queued, and why it waits."""
    answer = ask(config, "queue.list", {"selector": selector, "limit": limit})
    if as_json:
        print_json(answer)
        return
    from penstock.cli_show import show_rows

    show_rows(answer["rows"], answer["total"])


@app.command()
@asking
def show(
    message: Annotated[str, typer.Argument(metavar="ID", help="As the client was told it.")],
    config: Config = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show one message and its recipients; penstock explain says why it waits."""
    answer = ask(config, "queue.show", {"id": message})
    if as_json:
        print_json(answer)
        return
    from penstock.cli_show import show_message

    show_message(answer)


@app.command()
@asking
@selecting
def suspend(
    selector: dict[str, str],
    for_: For = "",
    reason: Reason = "",
    config: Config = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Hold mail back: it is kept, and taken in, but not sent."""
    _steer("suspend", selector, config, as_json, reason=reason, **_for(for_))


@app.command()
@asking
@selecting
def resume(selector: dict[str, str], config: Config = CONFIG, as_json: AsJson = False) -> None:
    """End a suspension, named by the same options that began it."""
    _steer("resume", selector, config, as_json)


@app.command()
@asking
@selecting
def reroute(
    selector: dict[str, str],
    to_pool: Annotated[str, typer.Option("--to-pool", help="The pool that is to send it.")],
    for_: For = "",
    reason: Reason = "",
    config: Config = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Send mail from another pool, also what still comes."""
    more = {"pool": to_pool, "reason": reason, **_for(for_)}
    _steer("reroute", selector, config, as_json, **more)


@app.command()
@asking
@selecting
def retry(
    selector: dict[str, str],
    reason: Reason = "",
    config: Config = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Try deferred mail now instead of when it is due."""
    _steer("retry", selector, config, as_json, reason=reason)


@app.command()
@asking
@selecting
def bounce(
    selector: dict[str, str],
    for_: Annotated[
        str, typer.Option("--for", metavar="30m", help="Also what comes in this time.")
    ] = "",
    tell: Annotated[
        bool, typer.Option("--tell-senders", help="Send them reports, as for other bounces.")
    ] = False,
    reason: Reason = "",
    yes: Yes = False,
    config: Config = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Give mail up: it leaves the queue, each message a line in the log."""
    more = {"tell": tell, "reason": reason, **_for(for_)}
    later = f", and what comes in the next {for_}" if for_ else ""
    _confirm(yes, config, selector, "Bounce {} queued for {}" + later + "?")
    _steer("bounce", selector, config, as_json, **more)


@app.command()
@asking
@selecting
def expire(
    selector: dict[str, str],
    at: Annotated[
        str,
        typer.Option(
            "--at", metavar="2026-12-01T08:00", help="When, in local time or with +02:00."
        ),
    ] = "",
    in_: Annotated[str, typer.Option("--in", metavar="2h", help="How long from now.")] = "",
    reason: Reason = "",
    yes: Yes = False,
    config: Config = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Move the expiry of the mail that is queued now, to sooner or to later."""
    expires_at = _moment(at, in_)
    text = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(expires_at))
    _confirm(yes, config, selector, "Let {} queued for {} expire at " + text + "?")
    _steer("expire", selector, config, as_json, reason=reason, expires_at=expires_at)


@app.command()
@asking
def operations(config: Config = CONFIG, as_json: AsJson = False) -> None:
    """List what is in force: suspensions, bounces, reroutes and moved expiries."""
    answer = ask(config, "queue.operations")
    if as_json:
        print_json(answer)
        return
    from penstock.cli_show import show_operations

    show_operations(answer["operations"])


@app.command()
@asking
def cancel(
    number: Annotated[str, typer.Argument(metavar="ID", help="As penstock queue operations says.")],
    config: Config = CONFIG,
    as_json: AsJson = False,
) -> None:
    """End an operation; what it did to mail already stays done."""
    _send("cancel", {"id": number}, config, as_json)


def _steer(verb: str, selector: dict[str, str], config: str, as_json: bool, **more: Any) -> None:
    _send(verb, {"selector": selector, **more}, config, as_json)


def _send(verb: str, params: dict[str, Any], config: str, as_json: bool) -> None:
    answer = ask(config, f"queue.{verb}", {**params, "who": user_name()}, _STEER_TIMEOUT_S)
    if as_json:
        print_json(answer)
        return
    number = f" ({answer['id']})" if answer.get("id") else ""
    typer.echo(f"{_DONE[verb]}: {answer['messages']} in {answer['keys']} queues{number}")
    if answer.get("away"):
        numbers = ", ".join(map(str, answer["away"]))
        typer.echo(f"worker {numbers} is starting: not counted; it hears of this when it serves")


def _confirm(yes: bool, config: str, selector: dict[str, str], question: str) -> None:
    if yes:
        return
    total = ask(config, "queue.list", {"selector": selector, "limit": 1})["total"]
    if not typer.confirm(question.format(total, shown(selector)), err=True):
        typer.echo("penstock: nothing was done", err=True)
        raise typer.Exit(FAILED)


def _for(text: str) -> dict[str, float]:
    if not text:
        return {}
    seconds = duration(text)
    if seconds <= 0:
        raise CommandError("--for: a time of nothing", WRONG)
    return {"duration_s": seconds}


def _moment(at: str, in_: str) -> float:
    if bool(at) == bool(in_):
        raise CommandError("say when: either --at or --in", WRONG)
    if in_:
        return time.time() + duration(in_)
    try:
        moment = datetime.fromisoformat(at).timestamp()
    except (ValueError, OverflowError):
        raise CommandError(f'--at: not a time: {at!r}; write "2026-12-01T08:00"', WRONG) from None
    if moment < time.time():
        raise CommandError(f"--at: {at} has passed; --in 0s lets mail expire now", WRONG)
    return moment
