"""``penstock queue``: see and steer the mail that waits, by way of the running daemon."""

from __future__ import annotations

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
    command,
    duration,
    print_json,
    user_name,
)

app = typer.Typer(no_args_is_help=True)

Domain = Annotated[str, typer.Option("--domain", "-d", help="Recipients' domain.")]
Provider = Annotated[str, typer.Option("--provider", "-p", help="Provider, as in the policies.")]
Tenant = Annotated[str, typer.Option("--tenant", "-t", help="Whose mail it is.")]
Campaign = Annotated[str, typer.Option("--campaign", help="What it belongs to.")]
Reason = Annotated[str, typer.Option("--reason", help="Why, for the log and for others.")]
_STEER_TIMEOUT_S = 300.0


def _selector(
    domain: str, provider: str, tenant: str, campaign: str, *, needed: bool = True
) -> dict[str, str]:
    given = {"domain": domain.lower(), "provider": provider, "tenant": tenant, "campaign": campaign}
    selector = {name: value for name, value in given.items() if value}
    if needed and not selector:
        raise CommandError(
            "say which mail: --domain, --provider, --tenant or --campaign, or several", WRONG
        )
    return selector


@app.command("list")
@command
def list_queued(
    domain: Domain = "",
    provider: Provider = "",
    tenant: Tenant = "",
    campaign: Campaign = "",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Rows at most.")] = 50,
    config: Config = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show what is queued."""
    selector = _selector(domain, provider, tenant, campaign, needed=False)
    answer = ask(config, "queue.list", {"selector": selector, "limit": limit})
    if as_json:
        print_json(answer)
        return
    from penstock.cli_show import show_rows

    show_rows(answer["rows"], answer["total"])


@app.command()
@command
def show(
    message: Annotated[str, typer.Argument(metavar="ID", help="As the client was told it.")],
    config: Config = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show one message and why it waits."""
    answer = ask(config, "queue.show", {"id": message})
    if as_json:
        print_json(answer)
        return
    from penstock.cli_show import show_message

    show_message(answer)


@app.command()
@command
def suspend(
    domain: Domain = "",
    provider: Provider = "",
    tenant: Tenant = "",
    campaign: Campaign = "",
    for_: Annotated[
        str, typer.Option("--for", metavar="30m", help="How long; without it until resumed.")
    ] = "",
    reason: Reason = "",
    config: Config = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Hold mail back: it is kept, and taken in, but not sent."""
    selector = _selector(domain, provider, tenant, campaign)
    seconds = duration(for_) if for_ else 0.0
    params = {"duration_s": seconds} if seconds else {}
    _steer("suspend", selector, reason, config, as_json, params)


@app.command()
@command
def resume(
    domain: Domain = "",
    provider: Provider = "",
    tenant: Tenant = "",
    campaign: Campaign = "",
    config: Config = CONFIG,
    as_json: AsJson = False,
) -> None:
    """End a suspension, named by the same options that began it."""
    selector = _selector(domain, provider, tenant, campaign)
    _steer("resume", selector, "", config, as_json)


@app.command()
@command
def retry(
    domain: Domain = "",
    provider: Provider = "",
    tenant: Tenant = "",
    campaign: Campaign = "",
    config: Config = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Try deferred mail now instead of when it is due."""
    _steer("retry", _selector(domain, provider, tenant, campaign), "", config, as_json)


@app.command()
@command
def bounce(
    domain: Domain = "",
    provider: Provider = "",
    tenant: Tenant = "",
    campaign: Campaign = "",
    reason: Reason = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    config: Config = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Give mail up: it leaves the queue, and its senders are told."""
    selector = _selector(domain, provider, tenant, campaign)
    if not yes:
        total = ask(config, "queue.list", {"selector": selector, "limit": 1})["total"]
        which = " ".join(f"{name}={value}" for name, value in selector.items())
        if not typer.confirm(f"Bounce {total} queued for {which}?", err=True):
            typer.echo("penstock: nothing was done", err=True)
            raise typer.Exit(FAILED)
    _steer("bounce", selector, reason, config, as_json)


def _steer(
    verb: str,
    selector: dict[str, str],
    reason: str,
    config: str,
    as_json: bool,
    more: dict[str, Any] | None = None,
) -> None:
    params = {"selector": selector, "reason": reason, "who": user_name(), **(more or {})}
    answer = ask(config, f"queue.{verb}", params, _STEER_TIMEOUT_S)
    if as_json:
        print_json(answer)
        return
    done = {"suspend": "suspended", "resume": "resumed", "retry": "due now", "bounce": "bounced"}
    typer.echo(f"{done[verb]}: {answer['messages']} in {answer['keys']} queues")
